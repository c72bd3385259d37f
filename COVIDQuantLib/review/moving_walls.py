"""The surfaces of the lungs that move while the scanner turns: the heart's border and the diaphragm.

Both are found from the shape of the lungs and the HU beside them, so only a lung mask is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from COVIDQuantLib.voxels.geometry import Triple
from COVIDQuantLib.voxels.morphology import distance_to

# A block of mainly soft tissue lies above this.
TISSUE_HU = -300.0
# The diaphragm is searched this far below the lung, and tissue this far below it counts as its body.
UNDER_MM, BODY_MM = 6.0, 30.0
# The dome rises at most this far above the diaphragm's height in the posterior half, where the heart is not in the
# way.
DOME_MM = 20.0
DOME_PERCENTILE = 90
# At least this share of the lung columns in the posterior half must end on tissue; else the CT ends above the domes.
DOMES_SHARE = 0.3
# Where the lungs' underside rises this steeply towards the edge of their projection it is chest wall or mediastinum.
EDGE_SLOPE, EDGE_SMOOTH_MM = 0.8, 4.0
# The heart lies in the anterior lower part of the lungs' box; fractions from the front and from the top.
HEART_FRONT, HEART_BELOW = 0.64, 0.40
# Where part of the heart lies below lung: at most this fraction of half the lungs' width from the middle.
HEART_WIDTH = 0.65


@dataclass(frozen=True)
class Walls:
    """Moving organs beside the lungs, bool ``[k, j, i]`` each.

    Attributes:
        heart: the heart and tissue that moves with it.
        diaphragm: the organs below the domes.
    """

    heart: np.ndarray
    diaphragm: np.ndarray

    def distances(self, spacing: Triple) -> tuple[np.ndarray, np.ndarray]:
        """Distances in mm from the centres of blocks to the surfaces of heart and diaphragm."""
        half = 0.5 * float(np.cbrt(np.prod(spacing)))
        heart, diaphragm = (np.maximum(distance_to(body, spacing) - half, 0.0) for body in (self.heart, self.diaphragm))
        return heart.astype(np.float32), diaphragm.astype(np.float32)


def find_walls(hu: np.ndarray, lung: np.ndarray, spacing: Triple, *, top_is_cut: bool) -> Walls:
    """Heart and diaphragm of a chest in blocks; canonical orientation (k to the head, j to the back).

    Args:
        hu: float32 ``[k, j, i]``, mean HU of each block.
        lung: bool, same shape.
        spacing: size of a block, mm.
        top_is_cut: the lung apices are outside the CT, so heights cannot be measured from the lungs.
    """
    nothing = np.zeros(lung.shape, bool)
    if not lung.any():
        return Walls(nothing, nothing)
    tissue = (hu > TISSUE_HU) & ~lung
    floor, known = _floor(lung, tissue, spacing)
    outer = _rises_outwards(floor, np.asarray(lung.any(axis=0)), spacing)
    k = np.arange(lung.shape[0])[:, None, None]
    under = known & (k < floor) & (k >= floor - max(1, round(BODY_MM / spacing[0])))
    rows, columns = (np.flatnonzero(lung.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    rear = lung.any(axis=0) & (np.arange(lung.shape[1])[:, None] > (rows[0] + rows[-1]) / 2)
    low = floor <= _dome(floor, known & ~outer, rear, spacing)
    middle, half_width = (columns[0] + columns[-1]) / 2, (columns[-1] - columns[0] + 1) / 2
    central = np.abs(np.arange(lung.shape[2]) - middle) <= HEART_WIDTH * half_width
    diaphragm = under & low & ~outer
    heart = (_between(lung, middle) & ~diaphragm) | (under & ~low & central)
    return Walls(heart & tissue & _heart_zone(lung, rows, top_is_cut=top_is_cut), diaphragm)


def _floor(lung: np.ndarray, tissue: np.ndarray, spacing: Triple) -> tuple[np.ndarray, np.ndarray]:
    """Lowest lung block of every column ``[j, i]``, and whether soft tissue lies below it."""
    floor = lung.argmax(axis=0)
    seen = np.zeros(floor.shape, bool)
    for step in range(1, max(1, round(UNDER_MM / spacing[0])) + 1):
        below = np.maximum(floor - step, 0)[None]
        seen |= np.take_along_axis(tissue, below, 0)[0] & (floor >= step)
    return floor, seen & lung.any(axis=0)


def _rises_outwards(floor: np.ndarray, shadow: np.ndarray, spacing: Triple) -> np.ndarray:
    """Columns ``[j, i]`` where the underside of the lungs rises towards the edge of their axial projection."""
    within = np.pad(shadow, 1)
    weight = shadow.astype(np.float32)
    sigma = [EDGE_SMOOTH_MM / mm for mm in spacing[1:]]

    def smooth(field: np.ndarray) -> np.ndarray:
        return gaussian_filter(field, sigma, mode="constant", truncate=2.5)

    height = smooth(floor * weight * np.float32(spacing[0])) / np.maximum(smooth(weight), 1e-3)
    depth = smooth(distance_transform_edt(within, sampling=spacing[1:])[1:-1, 1:-1].astype(np.float32))
    (height_j, height_i), (depth_j, depth_i) = (np.gradient(field, *spacing[1:]) for field in (height, depth))
    steepness = np.maximum(np.hypot(depth_j, depth_i), 0.3)
    return -(height_j * depth_j + height_i * depth_i) / steepness > EDGE_SLOPE


def _dome(floor: np.ndarray, known: np.ndarray, rear: np.ndarray, spacing: Triple) -> float:
    """The height (blocks) above which no lung rests on the diaphragm; -1 where the CT ends above the domes."""
    seen = known & rear
    if np.count_nonzero(seen) < DOMES_SHARE * np.count_nonzero(rear):
        return -1.0
    return float(np.percentile(floor[seen], DOME_PERCENTILE)) + DOME_MM / spacing[0]


def _between(lung: np.ndarray, middle: float) -> np.ndarray:
    """The region between the innermost lung on both sides of the middle, row by row."""
    columns = np.arange(lung.shape[2])
    low, high = lung & (columns < middle), lung & (columns >= middle)
    after_low = ~np.logical_or.accumulate(low[:, :, ::-1], axis=2)[:, :, ::-1] & low.any(axis=2, keepdims=True)
    before_high = ~np.logical_or.accumulate(high, axis=2) & high.any(axis=2, keepdims=True)
    return after_low & before_high


def _heart_zone(lung: np.ndarray, rows: np.ndarray, *, top_is_cut: bool) -> np.ndarray:
    """The anterior lower part of the lungs' box, ``[k, j, 1]``."""
    heights = np.flatnonzero(lung.any(axis=(1, 2)))
    top = heights[-1] if top_is_cut else heights[-1] - HEART_BELOW * (heights[-1] - heights[0])
    back = rows[0] + HEART_FRONT * (rows[-1] - rows[0])
    low = np.arange(lung.shape[0])[:, None, None] <= top
    return low & (np.arange(lung.shape[1])[None, :, None] <= back)
