"""Measure this patient's normal lung: its density, the gradient towards the back, and the noise."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.segmentation.lesions.lung_blocks import LungBlocks

# Aerated lung, from deep inspiration to expiration; its most frequent HU is searched between these.
AERATED_HU = (-980.0, -660.0)
# Normal parenchyma for the gradient: this far below and above the level, so that disease stays out of the fit.
NORMAL_BAND_HU = (-120.0, 90.0)
STRIP_MM = 12.0
MIN_STRIP_BLOCKS = 200


@dataclass
class Background:
    """Normal lung of one patient.

    Attributes:
        level: most frequent HU of the aerated lung.
        slope: rise towards the back, HU per mm.
        noise: standard deviation of the blocks' HU.
        base: float32 ``[1, j, 1]``, the expected HU of normal lung at each height.
    """

    level: float
    slope: float
    noise: float
    base: np.ndarray


def measure_background(grid: LungBlocks) -> Background:
    """Level, gradient and noise of the lung's normal parts; reliable if at least a fifth of the lung is normal."""
    full = grid.hu[grid.weight > 0.99] if (grid.weight > 0.99).any() else grid.hu[grid.weight > 0]
    level = lung_level(full)
    slope, centre = dependent_gradient(grid, level)
    heights = np.arange(grid.hu.shape[1], dtype=np.float32) * grid.spacing[1]
    base = (level + slope * (heights - centre)).astype(np.float32)
    return Background(level, slope, noise_level(grid, level), base[None, :, None])


def lung_level(hu: np.ndarray) -> float:
    """The most frequent HU of aerated lung among float values; −850 if there is none."""
    counts, edges = np.histogram(hu, np.arange(AERATED_HU[0], AERATED_HU[1] + 5.0, 5.0))
    if not counts.any():
        return -850.0
    smoothed = ndimage.gaussian_filter1d(counts.astype(float), 4.0)
    return float(edges[smoothed.argmax()] + 2.5)


def noise_level(grid: LungBlocks, level: float) -> float:
    """Noise of the blocks (HU), from neighbours in normal lung; the median keeps vessels out."""
    normal = (grid.weight > 0.99) & (np.abs(grid.hu - level) < 150.0)
    pairs = normal[:, :, 1:] & normal[:, :, :-1]
    steps = np.diff(grid.hu, axis=2)[pairs]
    return float(np.median(np.abs(steps)) * 1.4826 / np.sqrt(2.0)) if steps.size else 0.0


def dependent_gradient(grid: LungBlocks, level: float) -> tuple[float, float]:
    """Rise of normal lung towards the back, which lies lowest, and the height where the level holds.

    The slope is the weighted median of the slopes between coronal strips (Theil and Sen), so that strips full of
    disease do not bias it; it is limited to what normal lung shows at this inflation.

    Returns:
        HU per mm (never below 0), and the mean height of the strips in mm from the grid's front.
    """
    normal = (grid.weight > 0.9) & (grid.hu > level + NORMAL_BAND_HU[0]) & (grid.hu < level + NORMAL_BAND_HU[1])
    rows = np.nonzero(normal)[1]
    values = grid.hu[normal]
    strip = (rows * grid.spacing[1] / STRIP_MM).astype(np.intp)
    points = []
    for n in np.flatnonzero(np.bincount(strip) >= MIN_STRIP_BLOCKS):
        inside = values[strip == n]
        points.append(((n + 0.5) * STRIP_MM, float(np.percentile(inside, 25)), len(inside)))
    if len(points) < 3:
        return 0.0, 0.0
    pairs = [((b[1] - a[1]) / (b[0] - a[0]), (b[0] - a[0]) * min(a[2], b[2])) for a, b in combinations(points, 2)]
    slopes, weights = np.array(sorted(pairs)).T
    total = np.cumsum(weights)
    slope = slopes[np.searchsorted(total, total[-1] / 2)]
    centre = np.average([p[0] for p in points], weights=[p[2] for p in points])
    return float(np.clip(slope, 0.0, steepest_gradient(level))), float(centre)


def steepest_gradient(level: float) -> float:
    """The steepest dependent gradient considered normal (HU per mm): more in expiration, where the level is high."""
    return float(np.clip(0.25 + 0.006 * (level + 830.0), 0.25, 0.8))
