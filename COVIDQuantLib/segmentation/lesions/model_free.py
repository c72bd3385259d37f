"""Model-free segmentation of pneumonia: lung denser than this patient's normal lung, minus vessels, walls and rims.

The simple path of Pan 2021 (papers.md, P2 and P3): it uses only density and calibre. It also includes anything else
that is dense and large: nodules, atelectasis, motion artefacts, oedema.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.segmentation.lesions.lung_blocks import LungBlocks, local_mean, lung_blocks
from COVIDQuantLib.segmentation.lesions.normal_lung import Background, measure_background
from COVIDQuantLib.segmentation.lesions.vessels import (
    find_vessels,
    hilar_radius,
    inner_wall_distance,
    mediastinum_distance,
    thick_part,
)

# Range of normal lung, so that emphysema or expiration does not shift the threshold.
BASE_HU = (-900.0, -700.0)
# HU above normal lung at which a block starts to count as lesion, and at which it counts fully.
OPACITY_HU = (40.0, 200.0)
# A lesion is where the mean opacity of this neighbourhood exceeds this.
NEIGHBOURHOOD_MM = 3.0
LESION_OPACITY = 0.45
# Each lesion must reach this opacity somewhere, and this size.
CORE_OPACITY = 0.7
MIN_LESION_ML = 0.3
# Near heart and diaphragm a layer needs this half thickness: thinner ones are motion blur.
MOVING_MM = 10.0
LAYER_RADIUS_MM = 4.2
# Noise that needs no smoothing beforehand (HU, standard deviation of a block).
TOLERABLE_NOISE_HU = 25.0
MAX_NOISE_SIGMA_MM = 2.0


def find_lesions(
    ct: CTVolume, lungs: np.ndarray, airways: np.ndarray | None = None, report: Report = silent
) -> np.ndarray:
    """Segment pneumonia in a chest CT by density.

    Args:
        ct: the CT in canonical orientation.
        lungs: uint8 ``[k, j, i]``: 0, 1 right, 2 left.
        airways: bool, same shape: the air of trachea and bronchi; None if unknown.
        report: progress; may raise ``Cancelled``.

    Returns:
        bool ``[k, j, i]``, within the lungs, never in padding or airways.

    Raises:
        ValueError: shapes differ.
    """
    if any(mask is not None and mask.shape != ct.hu.shape for mask in (lungs, airways)):
        raise ValueError(f"lungs or airways are not on the CT's grid of shape {ct.hu.shape}")
    report(0.0)
    allowed = lungs > 0
    for excluded in (ct.padding, airways):
        if excluded is not None:
            allowed &= ~excluded
    grid = lung_blocks(ct.hu, lungs, without_rim(allowed), ct.geometry.spacing_kji)
    if grid is None:
        return np.zeros(ct.hu.shape, bool)
    report(0.3)
    background = measure_background(grid)
    calm(grid, background)
    opacity = lesion_opacity(grid, background, report)
    report(0.8)
    lesions = refine(grid, drop_faint_and_small(opacity, grid), allowed)
    report(1.0)
    return lesions


def without_rim(mask: np.ndarray) -> np.ndarray:
    """The mask without its outermost voxels, which are blurred with chest wall, heart and diaphragm."""
    return ndimage.binary_erosion(mask, border_value=1)


def calm(grid: LungBlocks, background: Background) -> None:
    """Smooth the blocks, in place, where a sharp kernel's noise would look like ground glass."""
    excess = background.noise / TOLERABLE_NOISE_HU
    if excess <= 1.0:
        return
    # The inverse of a Gaussian's reduction of white noise in three dimensions; wider would thicken vessels.
    sigma = min(0.4 * excess ** (2 / 3) * grid.spacing[2], MAX_NOISE_SIGMA_MM)
    smoothed = local_mean(grid.hu + 1000.0, grid.weight, sigma, grid.spacing) - 1000.0
    grid.hu = np.where(grid.weight > 0, smoothed, grid.hu).astype(np.float32)


def lesion_opacity(grid: LungBlocks, background: Background, report: Report = silent) -> np.ndarray:
    """Opacity of each block's neighbourhood without vessels: float32 0 (normal lung) to 1 (lesion)."""
    base = np.clip(background.base, *BASE_HU)
    begins, full = OPACITY_HU
    opacity = np.clip((grid.hu - base - begins) / (full - begins), 0, 1).astype(np.float32)
    weight = np.where(grid.weight >= 0.5, grid.weight, 0).astype(np.float32)
    to_mediastinum = mediastinum_distance(grid)
    vessels = find_vessels(grid, base, opacity, weight, to_mediastinum)
    report(0.6)
    mean = local_mean(opacity, np.where(vessels, 0, weight), NEIGHBOURHOOD_MM, grid.spacing)
    mean = np.where(grid.side > 0, mean, 0).astype(np.float32)
    # Remains of the hilar structures are too thin for pneumonia so near to them.
    lesions = mean > LESION_OPACITY
    radius = hilar_radius(to_mediastinum)
    moving = inner_wall_distance(grid.side, grid.spacing) < MOVING_MM
    radius[moving] = np.maximum(radius[moving], LAYER_RADIUS_MM)
    return np.where(lesions & ~thick_part(lesions, radius, grid), 0, mean)


def drop_faint_and_small(opacity: np.ndarray, grid: LungBlocks) -> np.ndarray:
    """The opacity without lesions that are too faint or too small."""
    labels, count = ndimage.label(opacity > LESION_OPACITY)
    volume_ml = np.bincount(labels.ravel(), minlength=count + 1) * float(np.prod(grid.spacing)) / 1000.0
    has_core = np.zeros(count + 1, bool)
    has_core[labels[opacity >= CORE_OPACITY]] = True
    kept = has_core & (volume_ml >= MIN_LESION_ML)
    kept[0] = True
    return np.where(kept[labels], opacity, 0).astype(np.float32)


def refine(grid: LungBlocks, opacity: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The lesions at the CT's own resolution, restricted to where they are allowed."""
    lesions = np.zeros(allowed.shape, bool)
    box = lesions[grid.box]
    for k in range(len(box)):
        box[k] = grid.refine(opacity, k) > LESION_OPACITY
    lesions &= allowed
    return lesions
