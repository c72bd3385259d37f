"""Lungs given by the user as one mask or as two labels: identify right and left."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.segmentation.lungs.sides import LEFT, RIGHT, part_sides, spread_sides
from COVIDQuantLib.voxels.block_grid import block_factors, enlarge, shrink_mean
from COVIDQuantLib.voxels.geometry import Geometry

_GRID_MM = 2.0


def part_lungs(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Right and left lung of a given mask, by position, since programs number them differently.

    Args:
        mask: label values ``[k, j, i]`` on a canonical grid, 0 outside the lungs.
        geometry: that grid.

    Returns:
        uint8, 1 right and 2 left, the same voxels as the mask's.
    """
    values = np.unique(mask)
    values = values[values > 0]
    if len(values) == 2:
        columns = [np.average(np.arange(mask.shape[2]), weights=(mask == v).sum(axis=(0, 1))) for v in values]
        right = values[int(np.argmin(columns))]
        return np.where(mask == 0, 0, np.where(mask == right, RIGHT, LEFT)).astype(np.uint8)
    factors = block_factors(geometry.spacing_kji, _GRID_MM)
    coarse = shrink_mean((mask > 0).astype(np.int16) * 100, factors) >= 50
    k, j, i = (s * f for s, f in zip(geometry.spacing_kji, factors, strict=True))
    lungs = mask > 0
    if not coarse.any():
        return lungs.astype(np.uint8) * RIGHT
    middle = np.full(len(coarse), np.flatnonzero(coarse.any(axis=(0, 1))).mean())
    sides = part_sides(coarse, middle, (k, j, i))
    everywhere = spread_sides(sides, np.ones(coarse.shape, bool))
    return enlarge(everywhere, factors, mask.shape) * lungs
