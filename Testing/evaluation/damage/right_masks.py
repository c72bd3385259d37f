"""A CT with what is right of it, and how regions are added to its masks, taken away and moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import Spacing

Masks = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Right:
    """What is right of a canonical CT.

    Attributes:
        name: of the case.
        hu: int16 ``[k, j, i]``.
        lobes: label values 0..5.
        lesions: bool.
        patient: bool, the patient.
        spacing: mm along ``k, j, i``.
    """

    name: str
    hu: np.ndarray
    lobes: np.ndarray
    lesions: np.ndarray
    patient: np.ndarray
    spacing: Spacing

    @property
    def lung(self) -> np.ndarray:
        """In any lobe."""
        return self.lobes > 0

    def voxels(self, mm: float, axis: int) -> int:
        """A length as voxels along an axis, at least one."""
        return max(1, round(mm / self.spacing[axis]))


def add_lung(right: Right, extra: np.ndarray, *, sick: bool = False) -> Masks:
    """A region becomes lung, of the nearest lobe, and pneumonia if ``sick``."""
    extra &= ~right.lung
    nearest = ndimage.distance_transform_edt(
        ~right.lung[::2, ::2, ::2], right.spacing, return_distances=False, return_indices=True
    )
    coarse = right.lobes[::2, ::2, ::2][tuple(nearest)]
    for axis in range(3):
        coarse = np.repeat(coarse, 2, axis=axis)
    k, j, i = right.lobes.shape
    lobes = np.where(extra, coarse[:k, :j, :i], right.lobes).astype(np.uint8)
    return lobes, right.lesions | extra if sick else right.lesions


def remove_lung(right: Right, gone: np.ndarray) -> Masks:
    """A region is lung no more, nor pneumonia."""
    return np.where(gone, 0, right.lobes).astype(np.uint8), right.lesions & ~gone


def ball(right: Right, centre: np.ndarray, mm: float) -> np.ndarray:
    """A ball around a voxel."""
    axes = np.ogrid[tuple(slice(0, n) for n in right.hu.shape)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, right.spacing, strict=True)) <= mm * mm


def surface_voxel(right: Right, rng: np.random.Generator, want: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A voxel on the lungs' surface, one of the best by a score of candidates ``[n, 3]``."""
    lung = right.lung
    found = np.argwhere(lung & ~ndimage.binary_erosion(lung))
    found = found[rng.choice(len(found), min(len(found), 20000), replace=False)]
    order = np.argsort(-want(found.astype(float)))
    return found[order[int(rng.integers(0, max(1, len(found) // 50)))]]


def lung_centre(right: Right) -> np.ndarray:
    """The middle of the lungs, in voxels."""
    return np.array(ndimage.center_of_mass(right.lung))


def moved(right: Right, mm: tuple[float, float, float]) -> Masks:
    """Lobes and lesions moved along ``k, j, i``."""
    steps = [round(m / s) for m, s in zip(mm, right.spacing, strict=True)]
    moved = [ndimage.shift(m.astype(np.uint8), steps, order=0) for m in (right.lobes, right.lesions)]
    return moved[0], moved[1] > 0
