"""Load a network's weights: exactly the bytes that were checked, none of them executed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.models.metadata import NetworkRecord

if TYPE_CHECKING:
    import torch

# Far above any network of the papers.
MAX_WEIGHT_BYTES = 2 << 30
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_LENGTH_BYTES = 8
_REMEDY = "Download the bundle again from its source."


def load_network(record: NetworkRecord, *, half_to_float: bool = True) -> torch.nn.Module:
    """The network with its weights, in eval mode on the CPU.

    Args:
        record: the architecture and weights.
        half_to_float: convert float16 weights to float32; otherwise every tensor keeps its stored type.

    Raises:
        UnfitInputError: the weights are damaged, altered, or another architecture's; or the architecture is unknown.
    """
    import torch

    tensors = checked_tensors(record)
    if half_to_float:
        tensors = {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
    network = _build(record)
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def checked_tensors(record: NetworkRecord) -> dict[str, torch.Tensor]:
    """The tensors of a weights file, after all checks.

    Raises:
        UnfitInputError: as in :func:`load_network`.
    """
    import safetensors
    import safetensors.torch
    import torch

    data = _checked_bytes(record)
    where = str(record.weights)
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise UnfitInputError("the weights are not a safetensors file", where, _REMEDY) from error
    # Without allocating: settings in an untrusted bundle may describe a network of any size.
    with torch.device("meta"):
        expected = _build(record).state_dict()
    check_shapes(tensors, expected, record.architecture, where)
    check_finite(tensors, where)
    return tensors


def _checked_bytes(record: NetworkRecord) -> bytes:
    """The whole file, read once, if its SHA-256 matches."""
    where = str(record.weights)
    try:
        if record.weights.stat().st_size > MAX_WEIGHT_BYTES:
            raise UnfitInputError("the weights are too large to be a network's", where, "Do not use this bundle.")
        data = record.weights.read_bytes()
    except OSError as error:
        raise UnfitInputError(f"the weights cannot be read ({error.strerror or error})", where, _REMEDY) from error
    if data.startswith((_ZIP, _PICKLE)):
        what = "the weights are a pickle file in disguise; it could run code and is not opened"
        raise UnfitInputError(what, where, "Do not use this bundle.")
    if hashlib.sha256(data).hexdigest() != record.sha256:
        promised = _promised_bytes(data)
        if promised > len(data):
            raise UnfitInputError(f"the weights are truncated: {len(data)} of {promised} bytes", where, _REMEDY)
        what = "the weights are not those of this bundle: their SHA-256 differs"
        raise UnfitInputError(what, where, f"They are damaged or altered. {_REMEDY}")
    return data


def _promised_bytes(data: bytes) -> int:
    """The length that a safetensors file declares; 0 if it declares none."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    head = data[_LENGTH_BYTES : _LENGTH_BYTES + length]
    if len(head) < length:
        return _LENGTH_BYTES + length if length < MAX_WEIGHT_BYTES else 0
    try:
        ends = [entry["data_offsets"][1] for name, entry in json.loads(head).items() if name != "__metadata__"]
        return _LENGTH_BYTES + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return 0


def _build(record: NetworkRecord) -> torch.nn.Module:
    from COVIDQuantLib.networks.registry import ARCHITECTURES, build_network

    where = str(record.weights)
    if record.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        what = f"unknown architecture {record.architecture!r:.80}"
        raise UnfitInputError(what, where, f"This version of COVIDQuant knows {known}.")
    try:
        return build_network(record.architecture, **record.settings)
    except UsageError as error:
        what = f"the bundle's settings do not fit the architecture {record.architecture}: {error.what}"
        raise UnfitInputError(what, where, error.remedy, code="bundle-settings") from error
    except TypeError as error:
        what = "the bundle's settings are not an architecture's"
        raise UnfitInputError(what, where, _REMEDY, code="bundle-settings") from error
    except (RuntimeError, ValueError, ArithmeticError) as error:
        what = f"no network {record.architecture} can be built with the bundle's settings"
        raise UnfitInputError(what, where, _REMEDY, code="bundle-settings") from error


def check_finite(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """Refuse tensors with infinite or NaN values.

    Args:
        tensors: by name.
        where: the file, for the message.

    Raises:
        UnfitInputError: names the first such tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UnfitInputError(f"the weights {name} contain values that are not finite numbers", where, _REMEDY)


def check_shapes(tensors: Mapping[str, Any], expected: Mapping[str, Any], architecture: str, where: str) -> None:
    """Refuse tensors whose names, shapes or types differ from the architecture's.

    Args:
        tensors: by name, from the file.
        expected: the architecture's own ``state_dict``.
        architecture: its name, for the message.
        where: the file, for the message.

    Raises:
        UnfitInputError: names the first tensor that differs.
    """
    missing = sorted(set(expected) - set(tensors))
    extra = sorted(set(tensors) - set(expected))
    for names, said in ((missing, "lack"), (extra, "have an unknown")):
        if names:
            what = f"the weights {said} {names[0]!r:.80} ({len(names)} such) for the architecture {architecture}"
            raise UnfitInputError(what, where, "They belong to another network.")
    for name, tensor in expected.items():
        given = tensors[name]
        if given.shape != tensor.shape or given.is_floating_point() != tensor.is_floating_point():
            what = f"the weights {name} have shape {tuple(given.shape)} instead of {tuple(tensor.shape)}"
            raise UnfitInputError(what, where, f"They belong to another network than {architecture}.")
