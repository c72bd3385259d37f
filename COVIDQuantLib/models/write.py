"""Write bundles from trained networks and their facts, completely or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, Unpack

from COVIDQuantLib import __version__
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.models.bundle import Bundle, read_bundle
from COVIDQuantLib.models.metadata import FORMAT, INFERENCE, METADATA, TASKS, WEIGHTS_SUFFIX, check_metadata
from COVIDQuantLib.system.atomic_files import write_folder_atomically

if TYPE_CHECKING:
    import torch

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_BUILDER = "COVIDQuantLib.networks.registry.build_network"


@dataclass(frozen=True)
class TrainedNetwork:
    """A network to write into a bundle.

    Attributes:
        architecture: name in the registry of ``networks``.
        settings: arguments it was built with.
        module: the network with its weights, on any device.
        input: its input (spacing, window, size ...), for inference; JSON values.
        half: store the parameters as float16; statistics of normalisation stay float32.
    """

    architecture: str
    settings: Mapping[str, Any]
    module: torch.nn.Module
    input: Mapping[str, Any] = field(default_factory=dict)
    half: bool = False


class Facts(TypedDict):
    """Facts about a bundle.

    ``name``: lower case, also the folder's once installed; ``version``: of this model; ``task``: ``lobes``, ``lungs``
    or ``lesions``; ``description``: a sentence or two; ``licence``: of the weights; ``data_source``: what it was
    trained on and under what licence; ``training``: recipe, seed, epochs ..., free; ``measured``: records of ``data``,
    ``measure``, ``value``, ``n``, ``machine``; ``network_data_format``: MONAI's, made from the networks by default.
    """

    name: str
    version: str
    task: str
    description: str
    licence: str
    data_source: str
    training: NotRequired[Mapping[str, Any]]
    measured: NotRequired[Sequence[Mapping[str, Any]]]
    authors: NotRequired[str]
    copyright: NotRequired[str]
    intended_use: NotRequired[str]
    references: NotRequired[Sequence[str]]
    network_data_format: NotRequired[Mapping[str, Any]]


def write_bundle(
    folder: str | Path,
    *,
    networks: Mapping[str, TrainedNetwork],
    replace: bool = False,
    texts: Mapping[str, str] | None = None,
    **facts: Unpack[Facts],
) -> Bundle:
    """Write a bundle; the folder then holds all of it, or is unchanged.

    Args:
        folder: the bundle's own folder, ``.../<name>``.
        networks: by role.
        replace: replace an existing bundle.
        texts: further text files by their path in the bundle, e.g. ``LICENSE``, ``docs/README.md``.
        facts: see :class:`Facts`.

    Raises:
        UsageError: the folder exists and ``replace`` is not set, or there is no network.
        UnfitInputError: the facts or weights fail the checks that are also made on reading.
        OutputError: it cannot be written; names the cause.
    """
    target = Path(folder)
    if not networks:
        raise UsageError("a bundle without a network was to be written", str(target), "Give at least one.")
    with new_folder(target, replace=replace) as staging:
        sums = {role: _write_weights(staging / _weights_path(role), network) for role, network in networks.items()}
        metadata = _metadata(networks, sums, facts)
        check_metadata(metadata, str(target))
        _write_json(staging / METADATA, metadata)
        _write_json(staging / INFERENCE, _inference(networks, facts))
        for name, text in (texts or {}).items():
            _write_text(staging / name, text)
        read_bundle(staging).verify()
    return read_bundle(target)


@contextmanager
def new_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """A folder to fill that becomes ``target`` if the block succeeds, and is removed otherwise.

    Raises:
        UsageError: the target exists and ``replace`` is not set, or is not a bundle.
        OutputError: anything in the block or around it could not be written.
    """
    if target.exists() and not replace:
        raise UsageError("a bundle exists here already", str(target), "Choose another name, or ask to replace it.")
    if target.exists() and not (target / METADATA).is_file():
        raise UsageError("what is in the way is no bundle", str(target), "Move it away, or choose another name.")
    with write_folder_atomically(target) as folder:
        yield folder


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        what = f"the facts about the bundle cannot be written as JSON ({error})"
        raise UsageError(what, path.name, "Give text, finite numbers, lists and objects.") from error
    _write_text(path, text + "\n")


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_bytes(path, text.encode("utf-8"))


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _weights_path(role: str) -> str:
    return f"models/{role}{WEIGHTS_SUFFIX}"


def _write_weights(path: Path, network: TrainedNetwork) -> str:
    """Write the weights; returns their SHA-256."""
    import safetensors.torch

    data = safetensors.torch.save(_stored(network), metadata={"format": "pt"})
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def _stored(network: TrainedNetwork) -> dict[str, torch.Tensor]:
    """The tensors as written to the file, each in its own memory on the CPU."""
    import torch

    parameters = {name for name, _ in network.module.named_parameters()}
    stored = {}
    for name, tensor in network.module.state_dict().items():
        kept = tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype)
        # Running variances overflow or vanish in float16; so may a single weight, whose tensor then stays float32.
        if network.half and name in parameters and torch.isfinite(kept.half()).all():
            kept = kept.half()
        stored[name] = kept.clone().contiguous()
    return stored


def _metadata(networks: Mapping[str, TrainedNetwork], sums: Mapping[str, str], facts: Facts) -> dict[str, Any]:
    """MONAI's fields and ours."""
    packages = ("monai", "torch", "numpy")
    versions = {f"{'pytorch' if name == 'torch' else name}_version": _version(name) for name in packages}
    return {
        "schema": SCHEMA,
        "version": facts["version"],
        **versions,
        "required_packages_version": {"safetensors": _version("safetensors"), "COVIDQuant": __version__},
        "name": facts["name"],
        "task": TASKS.get(facts["task"], facts["task"]),
        "description": facts["description"],
        "authors": facts.get("authors", "COVIDQuant"),
        "copyright": facts.get("copyright", facts["licence"]),
        "data_source": facts["data_source"],
        "data_type": "CT in Hounsfield units",
        "intended_use": facts.get("intended_use", "Research. Not a medical device."),
        "references": list(facts.get("references", ())),
        "network_data_format": facts.get("network_data_format") or _data_format(networks),
        "covidquant": {
            "format": FORMAT,
            "name": facts["name"],
            "task": facts["task"],
            "networks": {
                role: {
                    "architecture": network.architecture,
                    "settings": dict(network.settings),
                    "weights": _weights_path(role),
                    "sha256": sums[role],
                    "input": dict(network.input),
                }
                for role, network in networks.items()
            },
            "training": dict(facts.get("training", {})),
            "measured": [dict(figure) for figure in facts.get("measured", ())],
            "licence": facts["licence"],
            "not_a_medical_device": True,
        },
    }


def _version(package: str) -> str:
    try:
        return installed_version(package)
    except PackageNotFoundError:
        return ""


def _data_format(networks: Mapping[str, TrainedNetwork]) -> dict[str, Any]:
    """MONAI's description of the last network's input and output, which gives the result."""
    from COVIDQuantLib.networks.registry import ARCHITECTURES, checked_settings

    network = list(networks.values())[-1]
    settings = checked_settings(network.architecture, network.settings)
    dims = ARCHITECTURES[network.architecture].spatial_dims

    def tensor(kind: str, channels: int, names: Mapping[str, str]) -> dict[str, Any]:
        return {
            "type": kind,
            "format": "hounsfield" if kind == "image" else "segmentation",
            "modality": "CT",
            "num_channels": channels,
            "spatial_shape": ["*"] * dims,
            "dtype": "float32",
            "value_range": [],
            "is_patch_data": False,
            "channel_def": dict(names),
        }

    ins, outs = settings["in_channels"], settings["out_channels"]
    return {
        "inputs": {"image": tensor("image", ins, {str(n): f"input {n}" for n in range(ins)})},
        "outputs": {"pred": tensor("image", outs, {str(n): f"output {n}" for n in range(outs)})},
    }


def _inference(networks: Mapping[str, TrainedNetwork], facts: Facts) -> dict[str, Any]:
    """``configs/inference.json`` for users of MONAI; COVIDQuant itself never evaluates it."""
    roles = list(networks)
    return {
        "bundle_root": ".",
        "task": facts["task"],
        "preprocessing": {role: dict(network.input) for role, network in networks.items()},
        "networks_def": {
            role: {"_target_": _BUILDER, "name": network.architecture, **network.settings}
            for role, network in networks.items()
        },
        "network_def": f"@networks_def::{roles[-1]}",
        "weights": {
            role: {"_target_": "safetensors.torch.load_file", "filename": f"$@bundle_root + '/{_weights_path(role)}'"}
            for role in roles
        },
    }
