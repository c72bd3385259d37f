"""The costal surface: the inside of ribs, breastbone and spine around the lungs, smooth over angle and height.

Around an axis between the lungs each ray (slice, angle) is followed from the aerated lung's edge to the first bone.
Ribs leave gaps, shoulder blades lie behind them, and dense lung in front of them, so the surface is taken from the
nearer bones around each place, then smoothed and extended to where no bone was found.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.segmentation.patient.rays import ANGLES, Rays
from COVIDQuantLib.voxels.morphology import Spacing, dilate, open_, without_small

FloatArray = np.ndarray

BONE_HU = 130
SMALLEST_BONE_ML = 0.3
# Bright parts in which a ball of this radius fits are blood with contrast medium, a kidney, or marrow of a vertebra.
BLOOD_BALL_MM = 8.0
# A rib is looked for from a little within the lung's edge to this far beyond it.
WITHIN_MM, BEYOND_MM = 8.0, 75.0
# Of the bones around a place (this far up, down and along the wall) the nearer ones are ribs.
AROUND_MM = (18.0, 14.0)
NEARER_PERCENT = 30
# Bone this far behind the nearer ones is a shoulder blade or clavicle, this far in front of them a calcification.
BEHIND_MM, BEFORE_MM = 7.0, 9.0
SMOOTH_MM = 9.0
# Where no bone is near, bones from increasing distances are used.
DRAWN_OUT_MM = (9.0, 18.0, 36.0, 72.0)


def costal_radius(bone: np.ndarray, rays: Rays, lung: FloatArray) -> FloatArray:
    """Radius of the costal surface along every ray.

    Args:
        bone: bool, the bones on the rays' grid (:func:`bones`).
        rays: from an axis between the lungs.
        lung: radius ``[k, angle]`` of the lung's edge in mm, NaN where the ray meets no lung.

    Returns:
        float ``[k, angle]`` in mm; NaN everywhere if no ribs are found.
    """
    cell = (rays.spacing[0], 2 * np.pi * float(np.nanmedian(lung)) / ANGLES)
    start = drawn_out(lung, cell)[:, :, None]
    sampled = rays.sample(bone) & (rays.radii >= start - WITHIN_MM) & (rays.radii <= start + BEYOND_MM)
    first = np.where(sampled.any(axis=2), rays.radii[sampled.argmax(axis=2)], np.nan)
    return drawn_out(_ribs_alone(first, cell), cell)


def bones(hu: np.ndarray, patient: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Bright voxels of the patient except large blobs (blood with contrast medium) and specks."""
    bright = (hu > BONE_HU) & patient
    blood = dilate(open_(bright, BLOOD_BALL_MM, spacing), 1.01 * max(spacing[1:]), spacing)
    return without_small(bright & ~blood, SMALLEST_BONE_ML * 1000.0 / float(np.prod(spacing)))


def _ribs_alone(first: FloatArray, cell: tuple[float, float]) -> FloatArray:
    """The first bones without those behind or in front of the surrounding ribs."""
    size = [2 * round(reach / mm) + 1 for reach, mm in zip(AROUND_MM, cell, strict=True)]
    usual = _nearer(first, size)
    ribs = np.where((first <= usual + BEHIND_MM) & (first >= usual - BEFORE_MM), first, np.nan)
    smooth = weighted_mean(ribs, (SMOOTH_MM / cell[0], SMOOTH_MM / cell[1]))
    return np.where(np.abs(ribs - smooth) <= 5.0, ribs, np.nan)


def _nearer(values: FloatArray, size: list[int]) -> FloatArray:
    """A low percentile of the finite values in a window; infinity where there are too few."""
    far = np.where(np.isfinite(values), values, np.inf)
    known = ndimage.uniform_filter(np.isfinite(values).astype(np.float32), size, mode=("nearest", "wrap"))
    # Missing values count as far ones, so the percentile is taken of the known share only, in steps.
    result = np.full(values.shape, np.inf)
    turn = size[1]
    around = np.pad(far, ((0, 0), (turn, turn)), mode="wrap")
    for share in (0.15, 0.3, 0.5, 0.75):
        low = ndimage.percentile_filter(around, NEARER_PERCENT * share, size, mode="nearest")[:, turn:-turn]
        result = np.where(known >= share, low, result)
    return result


def drawn_out(values: FloatArray, cell: tuple[float, float]) -> FloatArray:
    """A map ``[k, angle]`` smoothed, with gaps filled from increasing distances."""
    result = np.full(values.shape, np.nan)
    for mm in DRAWN_OUT_MM:
        result = np.where(np.isfinite(result), result, weighted_mean(values, (mm / cell[0], mm / cell[1])))
    return result


def weighted_mean(values: FloatArray, sigma: tuple[float, float]) -> FloatArray:
    """Gaussian mean of the finite values of a map ``[k, angle]``; NaN where hardly any value is near."""
    known = np.isfinite(values)
    modes = ("nearest", "wrap")
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma, mode=modes)
    total = ndimage.gaussian_filter(np.where(known, values, 0.0).astype(np.float32), sigma, mode=modes)
    return np.where(weight > 0.05, total / np.maximum(weight, 1e-6), np.nan)
