"""Image evidence for a fissure near a sheet: a thin bright plate with few vessels around it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import Spacing, bounding_box

FloatArray = np.ndarray

_AIR_HU, _SOFT_HU = -1000.0, -500.0
_BACKGROUND_MM = 8.0
# A fissure is brighter than lung by less than this; anything brighter is a vessel or disease.
_FAINT_HU = 150.0
_PLATE_HU = 60.0
_PLATE_MM = 4.0
_VESSEL_COST = 1.5
# Slopes of a plate against the sheet along its two coordinates, millimetres across per millimetre along.
_SLOPES = ((0.0, 0.0), (0.4, 0.0), (-0.4, 0.0), (0.0, 0.4), (0.0, -0.4))


def image_cost(hu: FloatArray, inside: np.ndarray, spacing: Spacing, width_mm: float) -> FloatArray:
    """Low where a fissure is likely.

    Args:
        hu: Hounsfield units, ``(first, second, levels)``: two directions along the sheet and one across; only those
            inside count.
        inside: bool, where to search.
        spacing: millimetres between the values along each axis.
        width_mm: standard deviation of a plate across, as these sections show it.

    Returns:
        float32 of the same shape; 0 is no evidence, −6 the clearest plate.
    """
    cost = np.full(hu.shape, _VESSEL_COST, np.float32)
    box = bounding_box(inside)
    if box is not None:
        within = inside[box]
        value = np.clip(hu[box], _AIR_HU, _SOFT_HU)
        rise = hu[box] - _blurred(value, within, [_BACKGROUND_MM / mm for mm in spacing])
        plate = plate_evidence(rise, within, spacing, width_mm)
        cost[box] = _VESSEL_COST * vessel_density(rise, within, spacing) - plate
    return cost


def plate_evidence(rise: FloatArray, inside: np.ndarray, spacing: Spacing, width_mm: float) -> FloatArray:
    """How much each place looks like a thin bright plate nearly along the sheet, in noise units 0..6.

    Args:
        rise: HU above the lung around.
        inside: bool, where to search.
        spacing: millimetres along each axis.
        width_mm: as in :func:`image_cost`.
    """
    faint = inside & (rise < _FAINT_HU)
    across = width_mm / spacing[2]
    value = np.clip(rise, -_FAINT_HU, _FAINT_HU)
    contrast = _blurred(value, faint, [0, 0, across]) - _blurred(value, faint, [0, 0, 2.5 * across])
    contrast = np.clip(contrast, -_PLATE_HU, _PLATE_HU) * faint
    best = np.zeros_like(contrast)
    noise = 0.0
    for slopes in _SLOPES:
        mean = contrast
        for axis, slope in enumerate(slopes):
            mean = _mean_along(mean, axis, _PLATE_MM / spacing[axis], slope * spacing[axis] / spacing[2])
        if not noise:
            noise = 1.4826 * float(np.median(np.abs(mean[inside]))) + 1e-3 if inside.any() else 1.0
        best = np.maximum(best, mean)
    return np.where(inside, np.clip(best / noise - 0.8, 0, 6), 0).astype(np.float32)


def vessel_density(rise: FloatArray, inside: np.ndarray, spacing: Spacing) -> FloatArray:
    """Local density of vessels relative to the whole band's, 0..3; arguments as above."""
    vessel = np.clip((rise - 80.0) / 120.0, 0, 1)
    share = _blurred(vessel, inside, [5.0 / spacing[0], 5.0 / spacing[1], 2.0 / spacing[2]])
    usual = float(share[inside].mean()) if inside.any() else 1.0
    return np.where(inside, np.clip(share / max(usual, 1e-3), 0, 3), 1.0).astype(np.float32)


def _blurred(value: FloatArray, counts: np.ndarray, sigma: list[float]) -> FloatArray:
    """Gaussian mean of the valid values."""
    weight = counts.astype(np.float32)
    total = ndimage.gaussian_filter(weight, sigma, mode="constant", truncate=3.0)
    mean = ndimage.gaussian_filter(value * weight, sigma, mode="constant", truncate=3.0)
    return np.where(total > 0.02, mean / np.maximum(total, 0.02), 0.0)


def _mean_along(value: FloatArray, axis: int, sigma: float, slope: float) -> FloatArray:
    """Gaussian mean along an axis of the sheet that climbs ``slope`` levels per step."""
    reach = int(np.ceil(2 * sigma))
    result = np.zeros_like(value)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    size, levels = value.shape[axis], value.shape[2]
    for step, weight in zip(range(-reach, reach + 1), weights / weights.sum(), strict=True):
        rise = round(slope * step)
        if abs(step) >= size or abs(rise) >= levels:
            continue
        to, source = [slice(None)] * 3, [slice(None)] * 3
        to[axis], source[axis] = slice(max(0, -step), size - max(0, step)), slice(max(0, step), size - max(0, -step))
        to[2], source[2] = slice(max(0, -rise), levels - max(0, rise)), slice(max(0, rise), levels - max(0, -rise))
        result[tuple(to)] += np.float32(weight) * value[tuple(source)]
    return result
