"""Sample masks along rays from an axis between the lungs, slice by slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import Spacing

ANGLES = 180
RADIAL_MM = 1.5
LONGEST_MM = 260.0
# Share of the largest lung area that a slice must have to define the axis.
AXIS_SHARE = 0.35


@dataclass(frozen=True)
class Rays:
    """Rays from an axis through the chest, and the mapping between voxels and samples.

    Attributes:
        centre: per slice the axis' row and column ``(j, i)``.
        spacing: mm per axis.
        shape: the grid's.
    """

    centre: np.ndarray
    spacing: Spacing
    shape: tuple[int, int, int]

    @property
    def radii(self) -> np.ndarray:
        """Distances of the samples from the axis, mm."""
        return np.arange(0.0, LONGEST_MM, RADIAL_MM)

    @property
    def angles(self) -> np.ndarray:
        """Directions of the rays: 0 to the patient's left, a quarter turn to the back."""
        return np.arange(ANGLES) * (2 * np.pi / ANGLES)

    def sample(self, mask: np.ndarray) -> np.ndarray:
        """A mask's values ``[k, angle, radius]``; false beyond the grid."""
        rows = np.outer(np.sin(self.angles), self.radii) / self.spacing[1]
        columns = np.outer(np.cos(self.angles), self.radii) / self.spacing[2]
        sampled = np.zeros((self.shape[0], ANGLES, len(self.radii)), mask.dtype)
        for k, (row, column) in enumerate(self.centre):
            j = np.rint(rows + row).astype(np.intp)
            i = np.rint(columns + column).astype(np.intp)
            inside = (j >= 0) & (i >= 0) & (j < self.shape[1]) & (i < self.shape[2])
            sampled[k][inside] = mask[k, j[inside], i[inside]]
        return sampled

    def between(self, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
        """The voxels whose radius lies between two maps ``[k, angle]`` of radii (mm; NaN: none)."""
        within = np.zeros(self.shape, bool)
        for k in np.flatnonzero((outer > inner).any(axis=1)):
            y = (np.arange(self.shape[1])[:, None] - self.centre[k, 0]) * self.spacing[1]
            x = (np.arange(self.shape[2])[None, :] - self.centre[k, 1]) * self.spacing[2]
            turn = np.rint(np.arctan2(y, x) * (ANGLES / (2 * np.pi))).astype(np.intp) % ANGLES
            radius = np.hypot(y, x)
            within[k] = (radius >= inner[k][turn]) & (radius <= outer[k][turn])
        return within


def rays_of(lung: np.ndarray, spacing: Spacing) -> Rays:
    """Rays from the middle of the lungs' extent, smoothed over the slices.

    Slices with only an apex or a recess do not define the middle.
    """
    shape = (lung.shape[0], lung.shape[1], lung.shape[2])
    middles = np.full((shape[0], 2), np.nan)
    areas = lung.sum(axis=(1, 2))
    for k in np.flatnonzero(areas > AXIS_SHARE * areas.max()):
        rows, columns = np.flatnonzero(lung[k].any(axis=1)), np.flatnonzero(lung[k].any(axis=0))
        middles[k] = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
    known = np.flatnonzero(~np.isnan(middles[:, 0]))
    slices = np.arange(shape[0])
    filled = np.stack([np.interp(slices, known, middles[known, axis]) for axis in (0, 1)], axis=1)
    return Rays(ndimage.gaussian_filter1d(filled, 20.0 / spacing[0], axis=0, mode="nearest"), spacing, shape)
