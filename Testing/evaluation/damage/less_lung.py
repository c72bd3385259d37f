"""Lungs of which something is missing."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import dilate, erode
from Testing.evaluation.damage.right_masks import Masks, Right, ball, remove_lung


def lobe_missing(right: Right, rng: np.random.Generator) -> Masks:
    """A lobe was not found."""
    return remove_lung(right, right.lobes == int(rng.integers(1, 6)))


def lung_missing(right: Right, rng: np.random.Generator) -> Masks:
    """A whole lung was not found."""
    return remove_lung(right, right.lobes <= 3 if rng.random() < 0.5 else right.lobes >= 4)


def half_lung(right: Right, rng: np.random.Generator) -> Masks:
    """The lower half of a lung was lost."""
    side = (right.lobes > 0) & ((right.lobes <= 3) if rng.random() < 0.5 else (right.lobes >= 4))
    k = np.flatnonzero(side.any(axis=(1, 2)))
    side[int(k.mean()) :] = False
    return remove_lung(right, side)


def apices_lost(right: Right, rng: np.random.Generator) -> Masks:
    """The highest quarter was lost."""
    k = np.flatnonzero(right.lung.any(axis=(1, 2)))
    gone = np.zeros_like(right.lung)
    gone[int(k[0] + 0.75 * (k[-1] - k[0])) :] = True
    return remove_lung(right, gone)


def bases_lost(right: Right, rng: np.random.Generator) -> Masks:
    """The lowest quarter was lost."""
    k = np.flatnonzero(right.lung.any(axis=(1, 2)))
    gone = np.zeros_like(right.lung)
    gone[: int(k[0] + 0.25 * (k[-1] - k[0]))] = True
    return remove_lung(right, gone)


def slices_missing(right: Right, rng: np.random.Generator) -> Masks:
    """A slab in the middle is empty."""
    k = np.flatnonzero(right.lung.any(axis=(1, 2)))
    start = int(rng.integers(k[len(k) // 4], k[3 * len(k) // 4]))
    gone = np.zeros_like(right.lung)
    gone[start : start + max(2, len(k) // 20)] = True
    return remove_lung(right, gone)


def eroded_1mm(right: Right, rng: np.random.Generator) -> Masks:
    """One voxel in the slice too small all around."""
    return remove_lung(right, right.lung & ~ndimage.binary_erosion(right.lung, np.ones((1, 3, 3))))


def eroded_4mm(right: Right, rng: np.random.Generator) -> Masks:
    """Four millimetres too small all around."""
    return remove_lung(right, right.lung & ~erode(right.lung, 4.0, right.spacing))


def holes_cut(right: Right, rng: np.random.Generator) -> Masks:
    """Balls of lung were left out."""
    inner = np.argwhere(erode(right.lung, 12.0, right.spacing))
    gone = np.zeros_like(right.lung)
    for n in rng.integers(0, len(inner), 12):
        gone |= ball(right, inner[n], 16)
    return remove_lung(right, gone)


def dense_left_out(right: Right, rng: np.random.Generator) -> Masks:
    """Consolidations are taken for wall or heart."""
    solid = ndimage.binary_opening(right.lesions & (right.hu > -350))
    return remove_lung(right, dilate(solid, 3.0, right.spacing) & right.lesions)


def sick_lung_left_out(right: Right, rng: np.random.Generator) -> Masks:
    """All of the pneumonia is left out of the lungs."""
    return remove_lung(right, right.lesions)
