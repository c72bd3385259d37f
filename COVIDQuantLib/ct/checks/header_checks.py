"""What the header of a volume file leaves open: 1 mm and ITK's own directions are put there, which must be told."""

from __future__ import annotations

from COVIDQuantLib.ct.files.volume_header import VolumeHeader
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError


def check_header_gaps(header: VolumeHeader) -> list[CTWarning]:
    """Say what the header of a CT does not tell.

    Raises:
        UnfitInputError: it does not tell the size of its voxels, on which every volume depends.
    """
    if not header.tells_spacing:
        raise UnfitInputError(
            "the header does not tell the size of its voxels",
            header.name,
            "Export the CT with spacing.",
            "no-voxel-size",
        )
    if header.tells_direction:
        return []
    text = f"{header.name} does not say how it lies in the patient: check that right and left are right."
    return [CTWarning("no-orientation", text)]
