"""Pneumonia that is too large, too small or elsewhere."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.voxels.morphology import dilate
from Testing.evaluation.damage.right_masks import Masks, Right, ball, moved, surface_voxel


def all_lung_sick(right: Right, rng: np.random.Generator) -> Masks:
    """The whole lung is called pneumonia."""
    return right.lobes, right.lung.copy()


def a_lobe_sick(right: Right, rng: np.random.Generator) -> Masks:
    """A whole lobe is called pneumonia."""
    return right.lobes, right.lesions | (right.lobes == int(rng.integers(1, 6)))


def no_lesion(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia was not found."""
    return right.lobes, np.zeros_like(right.lesions)


def half_the_lesions(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia of one lung was not found."""
    kept = right.lobes >= 4 if rng.random() < 0.5 else right.lobes <= 3
    return right.lobes, right.lesions & kept


def dense_not_sick(right: Right, rng: np.random.Generator) -> Masks:
    """Consolidations are lung, but not called pneumonia."""
    return right.lobes, right.lesions & (right.hu < -350)


def lesions_elsewhere(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia lies 5 cm too high."""
    return right.lobes, moved(right, (50, 0, 0))[1]


def lesions_mirrored(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia lies on the other side."""
    return right.lobes, right.lesions[:, :, ::-1].copy()


def lesions_grown(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia is 6 mm too large all around."""
    return right.lobes, dilate(right.lesions, 6.0, right.spacing) & right.lung


def lesions_out_of_lung(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia goes on into the wall, the lungs do not."""
    lump = ball(right, surface_voxel(right, rng, lambda p: p[:, 1]), 35) & right.patient
    return right.lobes, right.lesions | lump
