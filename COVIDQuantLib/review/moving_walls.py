"""The surfaces of the lungs that move while the scanner turns: the heart's border and the diaphragm.

Both are found from the lungs' shape and the CT numbers beside them, so that nothing but a lung mask is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from COVIDQuantLib.voxels.geometry import Triple
from COVIDQuantLib.voxels.morphology import distance_to

# Below this no soft tissue fills most of a block.
TISSUE_HU = -300.0
# The diaphragm is looked for this far under the lung, and what lies that far under it counts as its body.
UNDER_MM, BODY_MM = 6.0, 30.0
# The dome does not rise further above the diaphragm's height in the rear half, where the heart is not in the way.
DOME_MM = 20.0
DOME_PERCENTILE = 90
# Of the columns of lung in the rear half, so many must be seen to end on tissue; else the CT ends above the domes.
DOMES_SHARE = 0.3
# Where the lungs' underside rises this steeply towards the edge of their shadow it is chest wall or mediastinum.
EDGE_SLOPE, EDGE_SMOOTH_MM = 0.8, 4.0
# The heart lies in the front and lower part of the lungs' box; shares from the front and from the top.
HEART_FRONT, HEART_BELOW = 0.64, 0.40
# Where a part of the heart lies under lung: not further out than this share of half the lungs' width.
HEART_WIDTH = 0.65


@dataclass(frozen=True)
class Walls:
    """Bodies beside the lungs that move, bool ``[k, j, i]`` each.

    Attributes:
        heart: heart and what moves with it.
        diaphragm: what lies under the domes.
    """

    heart: np.ndarray
    diaphragm: np.ndarray

    def distances(self, spacing: Triple) -> tuple[np.ndarray, np.ndarray]:
        """Distances in mm from the blocks' centres to the faces of heart and diaphragm."""
        half = 0.5 * float(np.cbrt(np.prod(spacing)))
        heart, diaphragm = (np.maximum(distance_to(body, spacing) - half, 0.0) for body in (self.heart, self.diaphragm))
        return heart.astype(np.float32), diaphragm.astype(np.float32)


def find_walls(hu: np.ndarray, lung: np.ndarray, spacing: Triple, *, top_is_cut: bool) -> Walls:
    """Heart and diaphragm of a chest in blocks; canonical orientation (k to the head, j to the back).

    Args:
        hu: float32 ``[k, j, i]``, mean HU of each block.
        lung: bool, same shape.
        spacing: size of a block, mm.
        top_is_cut: the lungs' apices lie beyond the CT, so that heights cannot be told from the lungs.
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
    """Lowest lung block of every column ``[j, i]``, and where soft tissue is seen beneath it."""
    floor = lung.argmax(axis=0)
    seen = np.zeros(floor.shape, bool)
    for step in range(1, max(1, round(UNDER_MM / spacing[0])) + 1):
        below = np.maximum(floor - step, 0)[None]
        seen |= np.take_along_axis(tissue, below, 0)[0] & (floor >= step)
    return floor, seen & lung.any(axis=0)


def _rises_outwards(floor: np.ndarray, shadow: np.ndarray, spacing: Triple) -> np.ndarray:
    """Columns ``[j, i]`` where the underside of the lungs climbs towards the edge of their shadow seen from above."""
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
    """What lies between the innermost lung on the two sides of the middle, row by row."""
    columns = np.arange(lung.shape[2])
    low, high = lung & (columns < middle), lung & (columns >= middle)
    after_low = ~np.logical_or.accumulate(low[:, :, ::-1], axis=2)[:, :, ::-1] & low.any(axis=2, keepdims=True)
    before_high = ~np.logical_or.accumulate(high, axis=2) & high.any(axis=2, keepdims=True)
    return after_low & before_high


def _heart_zone(lung: np.ndarray, rows: np.ndarray, *, top_is_cut: bool) -> np.ndarray:
    """The lower front part of the lungs' box, ``[k, j, 1]``."""
    heights = np.flatnonzero(lung.any(axis=(1, 2)))
    top = heights[-1] if top_is_cut else heights[-1] - HEART_BELOW * (heights[-1] - heights[0])
    back = rows[0] + HEART_FRONT * (rows[-1] - rows[0])
    low = np.arange(lung.shape[0])[:, None, None] <= top
    return low & (np.arange(lung.shape[1])[None, :, None] <= back)
