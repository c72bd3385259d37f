"""Smooth borders between lobes: steps where a fissure is detected in patches are not anatomical."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import SIDES, labels_of_side
from COVIDQuantLib.voxels.block_grid import block_factors
from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.morphology import Spacing, bounding_box

_GRID_MM = 2.5
SMOOTH_MM = 4.0
# A lobe's smoothed share above which no border is near.
_SURE = 0.98


def smooth_lobes(lobes: np.ndarray, spacing: Spacing, mm: float = SMOOTH_MM) -> None:
    """Smooth the borders between the lobes of each lung, in place; the lungs are unchanged.

    The share of each lobe among the lung around a voxel, weighted by a Gaussian, decides the voxel's lobe.

    Args:
        lobes: uint8 ``[k, j, i]``, label values of the contract.
        spacing: along k, j, i, millimetres.
        mm: standard deviation of the Gaussian.
    """
    for side in SIDES:
        values = labels_of_side(side)
        box = bounding_box(np.isin(lobes, values))
        if box is not None:
            _smooth_side(lobes, box, values, spacing, mm)


def _smooth_side(lobes: np.ndarray, box: Slices, values: tuple[int, ...], spacing: Spacing, mm: float) -> None:
    here = lobes[box]
    factors = block_factors(spacing, _GRID_MM)
    coarse = here[tuple(slice(f // 2, None, f) for f in factors)]
    if min(coarse.shape) < 2:
        return
    sigma = [mm / (s * f) for s, f in zip(spacing, factors, strict=True)]
    shares = np.stack([ndimage.gaussian_filter((coarse == value).astype(np.float32), sigma) for value in values])
    total = shares.sum(axis=0)
    shares /= np.maximum(total, 1e-3)
    near = np.isin(coarse, values) & (shares.max(axis=0) < _SURE)
    near = ndimage.maximum_filter(near, 3)
    index = [np.clip(np.arange(n) // f, 0, m - 1) for n, f, m in zip(here.shape, factors, coarse.shape, strict=True)]
    voxels = np.nonzero(near[np.ix_(*index)] & np.isin(here, values))
    places = [(at - f // 2) / f for at, f in zip(voxels, factors, strict=True)]
    found = np.stack([ndimage.map_coordinates(share, places, order=1, mode="nearest") for share in shares])
    here[voxels] = np.array(values, np.uint8)[found.argmax(axis=0)]
