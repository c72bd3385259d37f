"""The largest image size accepted: one limit for every reader, stated in the message.

A header's claim decides how much memory is allocated, so it is compared with this limit, and with the file's actual
length, first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from COVIDQuantLib.errors import UnfitInputError

# 1024 slices of 1024 × 1024: above every chest CT of a clinical scanner.
MAX_VOXELS = 1 << 30
# Memory limit for the voxels: that many 32-bit numbers.
MAX_BYTES = 1 << 32


def check_size(sizes: Sequence[int], bytes_per_voxel: int, name: str) -> int:
    """Refuse a size that no chest CT has.

    Args:
        sizes: voxels (or frames, rows, columns) along each axis.
        bytes_per_voxel: for all its values together.
        name: the file or series, for the message.

    Returns:
        Bytes of all voxels.

    Raises:
        UnfitInputError: an axis without voxels, or more than the limit.
    """
    described = " × ".join(_short(size) for size in sizes)
    if not sizes or any(size < 1 for size in sizes):
        raise UnfitInputError(
            f"the header's size {described or 'of no axis'} is impossible", name, "Export it again.", "bad-size"
        )
    voxels = math.prod(sizes)
    if voxels > MAX_VOXELS or voxels * bytes_per_voxel > MAX_BYTES:
        limit = f"{MAX_VOXELS / 1e6:.0f} million voxels and {MAX_BYTES >> 30} GiB are read at most"
        raise UnfitInputError(
            f"the header claims {described} voxels of {bytes_per_voxel} bytes; {limit}",
            name,
            "Crop the image to the chest or resample it.",
            "too-large",
        )
    return voxels * bytes_per_voxel


def _short(size: int) -> str:
    return str(size) if -(10**18) < size < 10**18 else f"{'-' if size < 0 else ''}10^18 or more"
