"""How large an image may claim to be: one limit for every reader, told in the message.

A header's claim decides how much memory is asked for, so it is compared with this limit, and with the file's true
length, before anything is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from COVIDQuantLib.errors import UnfitInputError

# 1024 slices of 1024 × 1024: above every chest CT of a clinical scanner.
MAX_VOXELS = 1 << 30
# What the voxels may take in memory: that many as 32-bit numbers.
MAX_BYTES = 1 << 32


def check_size(sizes: Sequence[int], bytes_per_voxel: int, name: str) -> int:
    """Refuse a claim that no chest CT makes.

    Args:
        sizes: voxels (or frames, rows, columns) along each axis.
        bytes_per_voxel: of all its values together.
        name: the file or series, for the message.

    Returns:
        Bytes of all voxels.

    Raises:
        UnfitInputError: an axis without voxels, or more than the limit.
    """
    told = " × ".join(_short(size) for size in sizes)
    if not sizes or any(size < 1 for size in sizes):
        raise UnfitInputError(
            f"the header's size {told or 'of no axis'} cannot be", name, "Export it again.", "bad-size"
        )
    voxels = math.prod(sizes)
    if voxels > MAX_VOXELS or voxels * bytes_per_voxel > MAX_BYTES:
        limit = f"{MAX_VOXELS / 1e6:.0f} million voxels and {MAX_BYTES >> 30} GiB are read at most"
        raise UnfitInputError(
            f"the header claims {told} voxels of {bytes_per_voxel} bytes; {limit}",
            name,
            "Crop the image to the chest or resample it.",
            "too-large",
        )
    return voxels * bytes_per_voxel


def _short(size: int) -> str:
    return str(size) if -(10**18) < size < 10**18 else f"{'-' if size < 0 else ''}10^18 or more"
