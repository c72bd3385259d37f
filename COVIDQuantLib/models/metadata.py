"""Validate ``configs/metadata.json`` of a bundle.

The file is untrusted: types are checked before use, paths may not leave the bundle, and nothing in it is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from COVIDQuantLib import __version__
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.system.json_file import read_json

FORMAT = 1
TASKS = {
    "lobes": "Segmentation of the lungs and their five lobes in chest CT",
    "lungs": "Segmentation of the right and left lung in chest CT",
    "lesions": "Segmentation of pneumonia in chest CT",
}
# Per task the alternative sets of networks that it needs; a bundle may have more.
ROLES_NEEDED: Mapping[str, tuple[frozenset[str], ...]] = {
    "lobes": (frozenset({"coarse", "fine"}), frozenset({"slices"})),
    "lungs": (frozenset({"slices"}),),
    "lesions": (frozenset({"slices"}),),
}
METADATA = PurePosixPath("configs", "metadata.json")
INFERENCE = PurePosixPath("configs", "inference.json")
WEIGHTS_SUFFIX = ".safetensors"

_MAX_METADATA_BYTES = 4 << 20
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Names that Windows reserves for devices, whatever follows the first dot.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}

# Required fields of MONAI's bundle specification, and ours.
_MONAI_FIELDS: dict[str, type] = {
    "version": str,
    "monai_version": str,
    "pytorch_version": str,
    "numpy_version": str,
    "required_packages_version": dict,
    "task": str,
    "description": str,
    "authors": str,
    "copyright": str,
    "data_source": str,
    "data_type": str,
    "network_data_format": dict,
}
_OUR_FIELDS: dict[str, type] = {
    "name": str,
    "task": str,
    "networks": dict,
    "training": dict,
    "measured": list,
    "licence": str,
    "not_a_medical_device": bool,
}
_NETWORK_FIELDS: dict[str, type] = {
    "architecture": str,
    "settings": dict,
    "weights": str,
    "sha256": str,
    "input": dict,
}
_MEASURED_FIELDS = ("data", "measure", "value", "n", "machine")
_TYPE_NAMES = {str: "text", dict: "an object", list: "a list", bool: "true or false", int: "a whole number"}
_REMEDY = "Download the bundle again from its source."


@dataclass(frozen=True)
class NetworkRecord:
    """One network of a bundle.

    Attributes:
        role: its part in the task, e.g. ``coarse``, ``fine``, ``slices``.
        architecture: name in the registry of ``networks``.
        settings: arguments of the architecture.
        weights: absolute path of its safetensors file.
        sha256: of that file, lower-case hexadecimal.
        input: the network's input: spacing, window, size ...
    """

    role: str
    architecture: str
    settings: dict[str, Any] = field(hash=False)
    weights: Path
    sha256: str
    input: dict[str, Any] = field(hash=False)


def valid_name(name: str) -> bool:
    """Whether a name is valid for a bundle: lower-case letters, digits, ``.``, ``_``, ``-``; a valid folder name."""
    return bool(_NAME.fullmatch(name)) and name.split(".", maxsplit=1)[0] not in _DEVICES


def leaves(relative: str) -> bool:
    """Whether a path in a bundle or zip leads out of it, on this system or another."""
    windows = PureWindowsPath(relative)
    return bool(windows.drive or windows.root or "\0" in relative or ".." in windows.parts)


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read the metadata of the bundle in a folder, checking completeness and types.

    Raises:
        UnfitInputError: it is missing, broken, incomplete, or of a newer format.
    """
    path = folder / METADATA
    if not folder.is_dir():
        raise UnfitInputError("there is no such model bundle", str(folder), "Give a bundle's folder.")
    refuse_outside(path, folder)
    try:
        metadata = read_json(path, _REMEDY, _MAX_METADATA_BYTES, what="the metadata are")
    except FileNotFoundError as error:
        what = "not a model bundle: configs/metadata.json is missing"
        raise UnfitInputError(what, str(folder), _REMEDY) from error
    check_metadata(metadata, str(path))
    return metadata


def refuse_outside(path: Path, folder: Path) -> None:
    """Refuse a file of a bundle that is, or is reached by, a link out of it.

    Raises:
        UnfitInputError: following it would read a file outside the bundle.
    """
    if not lies_within(path, folder):
        what = f"{path.relative_to(folder).as_posix():.80} is a link out of the bundle"
        raise UnfitInputError(what, str(folder), "Do not use this bundle.", code="bundle-link")


def lies_within(path: Path, folder: Path) -> bool:
    """Whether a file is in a folder after resolving all links."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a name too long, or links that form a loop
        return False


def check_metadata(metadata: Any, where: str) -> None:
    """Refuse metadata that lack a field, have one of the wrong type, or are of a format this version cannot read.

    Args:
        metadata: the parsed JSON.
        where: the file, for the message.

    Raises:
        UnfitInputError: names the field.
    """
    if not isinstance(metadata, dict):
        raise UnfitInputError("the metadata are not an object", where, _REMEDY)
    ours = metadata.get("covidquant")
    if not isinstance(ours, dict):
        what = 'a MONAI bundle, but not one of COVIDQuant\'s: "covidquant" is missing in its metadata'
        raise UnfitInputError(what, where, "Only bundles made for COVIDQuant describe their networks' input.")
    _check_format(ours.get("format"), where)
    _check_fields(metadata, _MONAI_FIELDS, "", where)
    _check_fields(ours, _OUR_FIELDS, "covidquant.", where)
    if not valid_name(ours["name"]):
        raise UnfitInputError(f"{ours['name']!r:.80} is not a valid bundle name", where, _REMEDY)
    if ours["task"] not in TASKS:
        raise UnfitInputError(f"unknown task {ours['task']!r:.80}", where, f"Known are {', '.join(TASKS)}.")
    if not ours["networks"]:
        raise UnfitInputError("the bundle contains no network", where, _REMEDY)
    for role, network in ours["networks"].items():
        _check_network(role, network, where)
    _check_roles(ours["task"], ours["networks"], where)
    for number, figure in enumerate(ours["measured"]):
        _check_measured(figure, f"covidquant.measured[{number}]", where)


def _check_format(number: Any, where: str) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise UnfitInputError('"covidquant.format" is not a format number', where, _REMEDY)
    if number > FORMAT:
        what = f"the bundle has format {number}, COVIDQuant {__version__} reads up to format {FORMAT}"
        raise UnfitInputError(what, where, "Install a newer COVIDQuant.")


def _check_fields(record: Mapping[str, Any], fields: Mapping[str, type], prefix: str, where: str) -> None:
    for name, kind in fields.items():
        if name not in record:
            raise UnfitInputError(f'"{prefix}{name}" is missing', where, _REMEDY)
        if not isinstance(record[name], kind):
            raise UnfitInputError(f'"{prefix}{name}" is not {_TYPE_NAMES[kind]}', where, _REMEDY)


def _check_network(role: str, network: Any, where: str) -> None:
    prefix = f"covidquant.networks.{role:.40}"
    if not _ROLE.fullmatch(role):
        raise UnfitInputError(f"{role!r:.80} is not a valid role of a network", where, _REMEDY)
    if not isinstance(network, dict):
        raise UnfitInputError(f'"{prefix}" is not an object', where, _REMEDY)
    _check_fields(network, _NETWORK_FIELDS, f"{prefix}.", where)
    if not _SHA256.fullmatch(network["sha256"]):
        raise UnfitInputError(f'"{prefix}.sha256" is not a SHA-256', where, _REMEDY)
    weights = network["weights"]
    if not weights.endswith(WEIGHTS_SUFFIX):
        what = f"the weights {weights!r:.80} are not a safetensors file; other formats can run code and are not opened"
        raise UnfitInputError(what, where, "Convert them, or import them with --format.")
    if leaves(weights):
        raise UnfitInputError(
            f"the weights' path {weights!r:.80} points outside the bundle", where, "Do not use this bundle."
        )


def _check_roles(task: str, roles: Collection[str], where: str) -> None:
    """Refuse a bundle without the networks that its task needs."""
    if not any(needed <= set(roles) for needed in ROLES_NEEDED[task]):
        described = " or ".join(" and ".join(sorted(needed)) for needed in ROLES_NEEDED[task])
        what = f"a bundle for {task} needs the networks {described}; it has {', '.join(roles):.80}"
        raise UnfitInputError(what, where, _REMEDY, code="bundle-roles")


def _check_measured(figure: Any, prefix: str, where: str) -> None:
    if not isinstance(figure, dict) or not set(_MEASURED_FIELDS) <= set(figure):
        raise UnfitInputError(f'"{prefix}" lacks one of {", ".join(_MEASURED_FIELDS)}', where, _REMEDY)


def network_records(metadata: Mapping[str, Any], folder: Path) -> dict[str, NetworkRecord]:
    """The networks of checked metadata by role.

    Raises:
        UnfitInputError: a weights file is missing, or is a link out of the bundle.
    """
    records = {}
    for role, network in metadata["covidquant"]["networks"].items():
        path = folder.joinpath(*PurePosixPath(network["weights"]).parts)
        refuse_outside(path, folder)
        if not path.is_file():
            raise UnfitInputError("the weights are missing", str(path), _REMEDY)
        records[role] = NetworkRecord(
            role, network["architecture"], network["settings"], path.absolute(), network["sha256"], network["input"]
        )
    return records
