"""The lungs in blocks, on which lesions are sought: lung-only means over small blocks of voxels, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.block_grid import Factors, block_factors, block_shares, block_sums
from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.geometry import Triple
from COVIDQuantLib.voxels.interpolation import neighbours

# Blocks come to at most this size: fine enough for a 3 mm lesion, coarse enough to calm a sharp kernel.
BLOCK_MM = 1.8
# Share of a neighbourhood that must carry weight for its mean to be told.
MIN_WEIGHT = 0.1


@dataclass
class LungBlocks:
    """A box around the lungs in blocks of whole voxels.

    Attributes:
        hu: float32 mean HU of each block's lung voxels, ``[k, j, i]``; the background's level where there is none.
        weight: float32 share of the block that is lung, 0..1.
        side: uint8 lung of the block: 0 none, 1 right, 2 left.
        spacing: block size in millimetres along ``k, j, i``.
        box: where the box lies in the CT.
        factors: voxels per block along ``k, j, i``.
    """

    hu: np.ndarray
    weight: np.ndarray
    side: np.ndarray
    spacing: Triple
    box: Slices
    factors: Factors

    def blocks(self, mask: np.ndarray) -> np.ndarray:
        """Share (float32, 0..1) of each block that a bool mask of the CT covers."""
        return block_shares(mask[self.box], self.factors)

    def refine(self, field: np.ndarray, k: int) -> np.ndarray:
        """A field of the blocks at slice ``k`` of the box at the CT's resolution, linear between block centres."""
        shape = tuple(s.stop - s.start for s in self.box)
        at = np.clip((k + 0.5) / self.factors[0] - 0.5, 0, len(field) - 1)
        below = floor(at)
        above = min(below + 1, len(field) - 1)
        plane = field[below] + (at - below) * (field[above] - field[below])
        for axis in (0, 1):
            plane = _to_voxels(plane, axis, self.factors[axis + 1], shape[axis + 1])
        return plane


def _to_voxels(plane: np.ndarray, axis: int, factor: int, size: int) -> np.ndarray:
    """Linear interpolation of blocks to voxels along one axis, constant beyond the outer centres."""
    if factor == 1:
        return plane[tuple(slice(size) if a == axis else slice(None) for a in range(2))]
    at = np.clip((np.arange(size) + 0.5) / factor - 0.5, 0, plane.shape[axis] - 1)
    low, high, share = neighbours(at, plane.shape[axis])
    share = share.astype(np.float32)
    share = share[:, None] if axis == 0 else share[None]
    first = np.take(plane, low, axis)
    return first + share * (np.take(plane, high, axis) - first)


def lung_blocks(hu: np.ndarray, lungs: np.ndarray, usable: np.ndarray | None, spacing: Triple) -> LungBlocks | None:
    """Gather the lungs into blocks of about 1.6 mm.

    Args:
        hu: int16 ``[k, j, i]``.
        lungs: uint8, same shape: 0, 1 right, 2 left.
        usable: false where a voxel must not count (padding, airways); None if all do.
        spacing: millimetres along ``k, j, i``.

    Returns:
        The blocks, or None if there is no lung.
    """
    found = ndimage.find_objects((lungs > 0).view(np.uint8))
    if not found:
        return None
    box = found[0]
    factors = block_factors(spacing, BLOCK_MM, at_most=True)
    inside = lungs[box] > 0
    if usable is not None:
        inside &= usable[box]
    count = block_sums(inside, factors, np.float32)
    total = block_sums(hu[box] * inside, factors, np.float32)
    right, left = block_sums(lungs[box] == 1, factors), block_sums(lungs[box] == 2, factors)
    mean = np.divide(total, count, out=np.full_like(total, -1000.0), where=count > 0)
    side = np.where(right + left > 0, np.where(right >= left, 1, 2), 0).astype(np.uint8)
    blocks = (spacing[0] * factors[0], spacing[1] * factors[1], spacing[2] * factors[2])
    return LungBlocks(mean, count / float(np.prod(factors)), side, blocks, box, factors)


def smooth(field: np.ndarray, sigma_mm: float, spacing: Triple) -> np.ndarray:
    """Gaussian smoothing in millimetres; nothing along an axis whose voxels are coarser than that."""
    sigmas = [sigma_mm / mm if mm < 2.5 * sigma_mm else 0.0 for mm in spacing]
    return ndimage.gaussian_filter(field, sigmas, mode="constant", truncate=3.0)


def local_mean(field: np.ndarray, weight: np.ndarray, sigma_mm: float, spacing: Triple) -> np.ndarray:
    """Weighted mean of a field around each block (Gaussian); 0 where nothing near has weight."""
    total = smooth(weight.astype(np.float32), sigma_mm, spacing)
    return np.where(total > MIN_WEIGHT, smooth(field * weight, sigma_mm, spacing) / np.maximum(total, MIN_WEIGHT), 0)
