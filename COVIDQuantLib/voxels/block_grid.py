"""The coarser grid on which lesions are sought: lung-only means over small blocks of voxels, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from COVIDQuantLib.voxels.geometry import Triple

# Blocks come to at most this size: fine enough for a 3 mm lesion, coarse enough to calm a sharp kernel.
BLOCK_MM = 1.8
# Share of a neighbourhood that must carry weight for its mean to be told.
MIN_WEIGHT = 0.1
_THREADS = 2


@dataclass
class WorkingGrid:
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
    box: tuple[slice, slice, slice]
    factors: tuple[int, int, int]

    def blocks(self, mask: np.ndarray) -> np.ndarray:
        """Share (float32, 0..1) of each block that a mask of the CT covers."""
        return block_sums(mask[self.box].astype(np.float32), self.factors) / float(np.prod(self.factors))

    def refine(self, field: np.ndarray, k: int) -> np.ndarray:
        """A field of the blocks at slice ``k`` of the box at the CT's resolution, linear between block centres."""
        shape = tuple(s.stop - s.start for s in self.box)
        at = np.clip((k + 0.5) / self.factors[0] - 0.5, 0, len(field) - 1)
        below = floor(at)
        above = min(below + 1, len(field) - 1)
        plane = field[below] + (at - below) * (field[above] - field[below])
        for axis in (0, 1):
            plane = _stretch(plane, axis, self.factors[axis + 1], shape[axis + 1])
        return plane


def _stretch(plane: np.ndarray, axis: int, factor: int, size: int) -> np.ndarray:
    """Linear interpolation of blocks to voxels along one axis, constant beyond the outer centres."""
    if factor == 1:
        return plane[tuple(slice(size) if a == axis else slice(None) for a in range(2))]
    at = np.clip((np.arange(size) + 0.5) / factor - 0.5, 0, plane.shape[axis] - 1)
    low = np.floor(at).astype(np.intp)
    high = np.minimum(low + 1, plane.shape[axis] - 1)
    share = (at - low).astype(np.float32)
    share = share[:, None] if axis == 0 else share[None]
    first = np.take(plane, low, axis)
    return first + share * (np.take(plane, high, axis) - first)


def block_sums(array: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Sums over blocks of an array ``[k, j, i]``; blocks cut by the far edge hold what there is."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            array = np.add.reduceat(array, np.arange(0, array.shape[axis], factor), axis=axis)
    return array


def working_grid(hu: np.ndarray, lungs: np.ndarray, usable: np.ndarray | None, spacing: Triple) -> WorkingGrid | None:
    """Gather the lungs into blocks of about 1.6 mm.

    Args:
        hu: int16 ``[k, j, i]``.
        lungs: uint8, same shape: 0, 1 right, 2 left.
        usable: false where a voxel must not count (padding, airways); None if all do.
        spacing: millimetres along ``k, j, i``.

    Returns:
        The grid, or None if there is no lung.
    """
    found = ndimage.find_objects((lungs > 0).view(np.uint8))
    if not found:
        return None
    box = found[0]
    factor_k, factor_j, factor_i = (max(1, floor(BLOCK_MM / mm)) for mm in spacing)
    factors = (factor_k, factor_j, factor_i)
    inside = lungs[box] > 0
    if usable is not None:
        inside &= usable[box]
    count = block_sums(inside.astype(np.float32), factors)
    total = block_sums(hu[box] * inside.astype(np.float32), factors)
    right = block_sums((lungs[box] == 1).astype(np.float32), factors)
    left = block_sums((lungs[box] == 2).astype(np.float32), factors)
    mean = np.divide(total, count, out=np.full_like(total, -1000.0), where=count > 0)
    side = np.where(right + left > 0, np.where(right >= left, 1, 2), 0).astype(np.uint8)
    blocks = (spacing[0] * factor_k, spacing[1] * factor_j, spacing[2] * factor_i)
    return WorkingGrid(mean, count / float(np.prod(factors)), side, blocks, box, factors)


def distance_mm(mask: np.ndarray, spacing: Triple) -> np.ndarray:
    """Distance (float32, mm) from every voxel to the nearest voxel of a mask; infinite if the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    edt = sitk.SignedMaurerDistanceMapImageFilter()
    edt.SetUseImageSpacing(True)
    edt.SetSquaredDistance(False)
    edt.SetInsideIsPositive(False)
    edt.SetNumberOfThreads(_THREADS)
    return np.maximum(sitk.GetArrayFromImage(edt.Execute(image)), 0)


def smooth(field: np.ndarray, sigma_mm: float, spacing: Triple) -> np.ndarray:
    """Gaussian smoothing in millimetres; nothing along an axis whose voxels are coarser than that."""
    sigmas = [sigma_mm / mm if mm < 2.5 * sigma_mm else 0.0 for mm in spacing]
    return ndimage.gaussian_filter(field, sigmas, mode="constant", truncate=3.0)


def local_mean(field: np.ndarray, weight: np.ndarray, sigma_mm: float, spacing: Triple) -> np.ndarray:
    """Weighted mean of a field around each block (Gaussian); 0 where nothing near has weight."""
    total = smooth(weight.astype(np.float32), sigma_mm, spacing)
    return np.where(total > MIN_WEIGHT, smooth(field * weight, sigma_mm, spacing) / np.maximum(total, MIN_WEIGHT), 0)
