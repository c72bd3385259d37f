"""Warn about information missing from a volume file's header, where readers silently assume defaults."""

from __future__ import annotations

from COVIDQuantLib.ct.files.volume_header import VolumeHeader
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError


def check_header_gaps(header: VolumeHeader) -> list[CTWarning]:
    """Warn about what a CT's header leaves out.

    Raises:
        UnfitInputError: it gives no voxel size, on which every volume depends.
    """
    if not header.tells_spacing:
        raise UnfitInputError(
            "the header gives no voxel size",
            header.name,
            "Export the CT with spacing.",
            "no-voxel-size",
        )
    if header.tells_direction:
        return []
    text = f"{header.name} does not state its orientation in the patient: check that left and right are correct."
    return [CTWarning("no-orientation", text)]
