"""What the header of a volume file leaves open: ITK puts 1 mm and its own directions there without a word."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError

# Names of the header fields that give spacing and directions, by format; any one of them does.
_SPACING = {"NRRD": ("space directions:", "spacings:"), "MetaImage": ("elementspacing", "elementsize")}
_DIRECTION = {"NRRD": ("space directions:",), "MetaImage": ("transformmatrix", "orientation", "rotation")}
_HEADER_BYTES = 1 << 16


def check_header_gaps(path: Path, image: sitk.Image, kind: str) -> list[CTWarning]:
    """Say what the header of a CT does not tell.

    Args:
        path: the file.
        image: what was read from it.
        kind: its format.

    Raises:
        UnfitInputError: it does not tell the size of its voxels, on which every volume depends.
    """
    if kind == "NIfTI":
        told = any(
            image.HasMetaDataKey(k) and image.GetMetaData(k).strip() != "0" for k in ("qform_code", "sform_code")
        )
        return [] if told else [_no_orientation(path)]
    fields = _field_names(path)
    if kind in _SPACING and not _any_of(_SPACING[kind], fields):
        raise UnfitInputError(
            "the header does not tell the size of its voxels", path.name, "Export the CT with spacing."
        )
    return [_no_orientation(path)] if kind in _DIRECTION and not _any_of(_DIRECTION[kind], fields) else []


def _field_names(path: Path) -> list[str]:
    """The lines of a text header in lower case, up to the blank line or the data."""
    with path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES)
    text = start.replace(b"\r\n", b"\n").split(b"\n\n")[0]
    return [line.strip().lower() for line in text.decode("utf-8", errors="replace").splitlines()]


def _any_of(names: tuple[str, ...], lines: list[str]) -> bool:
    return any(line.startswith(names) for line in lines)


def _no_orientation(path: Path) -> CTWarning:
    return CTWarning(
        "no-orientation", f"{path.name} does not say how it lies in the patient: check that right and left are right."
    )
