"""Refine the lungs from the working grid to the CT's own: in a thin band the edge follows the CT's voxels."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.voxels.block_grid import enlarge
from COVIDQuantLib.voxels.morphology import Spacing, dilate, erode

HALF = 127


def refine(
    hu: np.ndarray,
    lung: np.ndarray,
    dense: np.ndarray,
    allowed: np.ndarray,
    threshold: float,
    factors: tuple[int, int, int],
    spacing: Spacing,
) -> np.ndarray:
    """The lung on the CT's grid.

    Args:
        hu: the CT ``[k, j, i]``.
        lung: lung on the working grid, dense parts included.
        dense: the part of it that is not darker than the threshold.
        allowed: on the working grid, where the edge may move to (not airways, nor outside the body).
        threshold: HU threshold between lung and soft tissue.
        factors: CT voxels per working voxel ``(k, j, i)``.
        spacing: mm of the working grid.

    Returns:
        Bool array of the CT's shape: the core is taken over, dense parts are smoothed, and in the band around the
        aerated edge a voxel is lung where it is darker than the threshold.
    """
    step = 1.01 * max(spacing[1:])
    core = erode(lung, step, spacing)
    band = dilate(lung, step, spacing) & allowed
    fine = enlarge(core, factors, hu.shape) | (enlarge(band, factors, hu.shape) & (hu < threshold))
    soft_edge = dilate(dense, step, spacing)
    fine |= smooth_enlarge(lung, factors, hu.shape) & enlarge(soft_edge, factors, hu.shape)
    return fine


def smooth_enlarge(coarse: np.ndarray, factors: tuple[int, int, int], shape: tuple[int, ...]) -> np.ndarray:
    """A coarse mask on the fine grid, its steps smoothed by linear interpolation."""
    image = sitk.GetImageFromArray(coarse.astype(np.uint8) * 255)
    image.SetSpacing([float(f) for f in factors[::-1]])
    image.SetOrigin([(f - 1) / 2.0 for f in factors[::-1]])
    grid = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkUInt8)
    fine = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkUInt8, True)
    return sitk.GetArrayViewFromImage(fine) > HALF
