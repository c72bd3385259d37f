"""Postprocess the lobes networks' log odds: drop air and fat, connect each lobe, include dense disease at the edge."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES, SIDES, labels_of_side
from COVIDQuantLib.voxels.morphology import components

# Reduction of the log odds of an impossible class.
NEVER = 1e4
# A component smaller than this share of the largest does not belong to the lungs, or to that lobe.
_PIECE_SHARE = 0.03
# Half of any lung is denser than this, however emphysematous.
_AIR_HU = -970.0
# A component smaller than this share of the largest must have the HU spread of lung: median minus lower quartile.
_SMALL_SHARE, _FOAM_HU = 0.25, 20.0
# Log odds of a probability of 5 %; half the width of a gap in points.
_CONCEIVABLE, _GAP = -2.9, 3
# Tissue denser than this may be disease or wall; radius (mm) over which its log odds are averaged; limit of a single
# point.
_DENSE_HU, _AROUND_MM, _SURE, _FEW = -500.0, 4.0, 8.0, 0.05
# The mean log odds that dense tissue needs, and the minimum of the point itself.
_LIKELY, _HARDLY = -1.0, -5.0
# Mean and standard deviation of the CT numbers in a cube of so many points within fat. With wider limits, consolidation
# at the wall is dropped too.
_FAT_HU, _FAT_SPREAD_HU, _FAT_POINTS = (-125.0, -85.0), 20.0, 3
# A stretch of fat counts as outside the lungs if at least this share of it was found there.
_OUTSIDE_SHARE = 0.5


def lung_odds(logits: torch.Tensor) -> torch.Tensor:
    """Log odds of lung, ``[k, j, i]``, from logits ``[6, k, j, i]``."""
    return torch.logsumexp(logits[1:], dim=0) - logits[0]


def without_crumbs(mask: np.ndarray) -> np.ndarray:
    """A mask without components that are small relative to its largest."""
    pieces, sizes = components(mask)
    if len(sizes) <= 2:
        return mask
    sizes[0] = 0
    kept: np.ndarray = (sizes >= _PIECE_SHARE * sizes.max())[pieces]
    return kept


def leave_out_air(logits: torch.Tensor, hu: torch.Tensor) -> None:
    """Drop components with the HU statistics of air or foam: beside the patient, in or under the table, in the bowel.

    Args:
        logits: ``[6, k, j, i]`` on the CPU, changed in place.
        hu: the CT on the same points.
    """
    pieces, sizes = components(logits.argmax(dim=0).numpy() > 0)
    sizes[0] = 0
    values = hu.numpy()
    boxes = ndimage.find_objects(pieces)
    for number in range(1, len(sizes)):
        box = boxes[number - 1]
        here = pieces[box] == number
        quarter, middle = np.percentile(values[box][here], (25, 50))
        small = sizes[number] < _SMALL_SHARE * sizes.max()
        if middle < _AIR_HU or (small and middle - quarter < _FOAM_HU):
            logits[(slice(1, None), *box)] -= NEVER * torch.from_numpy(here)


def leave_out_fat(logits: torch.Tensor, hu: torch.Tensor) -> None:
    """Drop fat that continues outside the lungs, such as that on the heart, which dense disease is taken for.

    Aerated consolidation may have the same mean, but it is not as even, and ends where the lung does.

    Args:
        logits: ``[6, k, j, i]`` on the CPU, changed in place.
        hu: the CT on the same points.
    """
    values = hu.numpy()
    mean = ndimage.uniform_filter(values, _FAT_POINTS)
    variance = ndimage.uniform_filter(values * values, _FAT_POINTS) - mean * mean
    pieces, sizes = components((mean > _FAT_HU[0]) & (mean < _FAT_HU[1]) & (variance < _FAT_SPREAD_HU**2))
    outside = logits.argmax(dim=0).numpy() == 0
    continues = np.bincount(pieces[outside], minlength=len(sizes)) >= _OUTSIDE_SHARE * sizes
    continues[0] = False
    logits[1:] -= NEVER * torch.from_numpy(continues[pieces])


def tidy(logits: torch.Tensor) -> None:
    """Keep each lung and each lobe connected: small islands get the next most likely class.

    Args:
        logits: ``[6, k, j, i]`` on the CPU, changed in place.
    """
    labels = logits.argmax(dim=0).numpy()
    for side in SIDES:
        lung = np.isin(labels, labels_of_side(side))
        crumbs = torch.from_numpy(lung & ~without_crumbs(lung))
        logits[list(labels_of_side(side))] -= NEVER * crumbs
    labels = logits.argmax(dim=0).numpy()
    for lobe in LOBES:
        mask = labels == lobe.label
        crumbs = torch.from_numpy(mask & ~without_crumbs(mask))
        logits[lobe.label] -= NEVER * crumbs


def take_in_dense_disease(logits: torch.Tensor) -> None:
    """Fill narrow gaps and notches of the lungs where lung is at least plausible, as left by consolidation.

    Args:
        logits: ``[6, k, j, i]`` on the CPU, changed in place.
    """
    labels = logits.argmax(dim=0).numpy()
    conceivable = (lung_odds(logits) > _CONCEIVABLE).numpy() & (labels == 0)
    for side in SIDES:
        filled = np.isin(labels, labels_of_side(side)).astype(np.uint8)
        for filter_line in (ndimage.maximum_filter1d, ndimage.minimum_filter1d):
            for axis in range(3):
                filled = filter_line(filled, 2 * _GAP + 1, axis=axis)
        taken = torch.from_numpy(conceivable & (filled > 0))
        logits[0] = torch.where(taken, logits[1:].amax(dim=0) - 1.0, logits[0])


def take_in_likely_disease(logits: torch.Tensor, hu: torch.Tensor, step_mm: float) -> None:
    """Include dense tissue in the lungs where the average log odds of the dense tissue around it are high.

    At a single point chest wall and consolidation look alike; over some millimetres of dense tissue they do not. The
    lung's blurred rim is thin, so that its neighbours in the wall outweigh it.

    Args:
        logits: ``[6, k, j, i]`` on the CPU, changed in place.
        hu: the CT on the same points.
        step_mm: distance of the points.
    """
    odds = lung_odds(logits).numpy()
    dense = (hu > _DENSE_HU).numpy()
    sigma = _AROUND_MM / step_mm
    weight = ndimage.gaussian_filter(dense.astype(np.float32), sigma, truncate=3.0)
    total = ndimage.gaussian_filter(np.clip(odds, -_SURE, _SURE) * dense, sigma, truncate=3.0)
    likely = dense & (total > _LIKELY * np.maximum(weight, _FEW)) & (odds > _HARDLY)
    logits[0] = torch.where(torch.from_numpy(likely & (odds <= 0)), logits[1:].amax(dim=0) - 1.0, logits[0])
