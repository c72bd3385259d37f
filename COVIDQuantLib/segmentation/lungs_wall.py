"""Dense lung at the chest wall: the costal pleura is modelled from the ribs, and what lies between it and air is lung.

Around an axis between the lungs each ray (angle, slice) meets mediastinum, air of the lung, perhaps dense lung, and a
rib or the muscle between ribs. The ribs' inner surface is smooth over angle and height, so that the pleura behind
dense lung follows from the ribs there and from the thickness of the wall where the lung is aerated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.segmentation.morphology import Spacing, without_small

ANGLES = 180
RADIAL_MM = 1.5
LONGEST_MM = 260.0
BONE_HU = 160
SMALLEST_BONE_ML = 0.3
# A rib is looked for from a little within the air's edge to this far beyond it.
RIB_WITHIN_MM = 6.0
RIB_BEYOND_MM = 70.0
SMOOTH_MM = 9.0
WALL_MM = (1.5, 9.0)
# A gap to the pleura below this is blur and muscle, not disease.
LEAST_FILL_MM = 3.0
DEEPEST_FILL_MM = 45.0
DEEP_SHARE = 0.03


@dataclass(frozen=True)
class Rays:
    """Rays from an axis through the chest: where each voxel lies, and each sample's voxel.

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
    """Rays from the middle of the lungs' extent, smoothed over the slices."""
    shape = (lung.shape[0], lung.shape[1], lung.shape[2])
    middles = np.full((shape[0], 2), np.nan)
    for k in np.flatnonzero(lung.any(axis=(1, 2))):
        rows, columns = np.flatnonzero(lung[k].any(axis=1)), np.flatnonzero(lung[k].any(axis=0))
        middles[k] = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
    known = np.flatnonzero(~np.isnan(middles[:, 0]))
    slices = np.arange(shape[0])
    filled = np.stack([np.interp(slices, known, middles[known, axis]) for axis in (0, 1)], axis=1)
    return Rays(ndimage.gaussian_filter1d(filled, 20.0 / spacing[0], axis=0, mode="nearest"), spacing, shape)


def dense_at_wall(hu: np.ndarray, lung: np.ndarray, body: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Dense lung between the aerated lung and the chest wall.

    Args:
        hu: working grid ``[k, j, i]``, canonical.
        lung: aerated lung.
        body: the patient.
        spacing: mm per axis.

    Returns:
        Bool array of voxels to add; empty where no ribs are seen.
    """
    rays = rays_of(lung, spacing)
    radii = rays.radii
    air = rays.sample(lung)
    has_air = air.any(axis=2)
    outermost = np.where(has_air, radii[air.shape[2] - 1 - air[:, :, ::-1].argmax(axis=2)], np.nan)
    bone = without_small((hu > BONE_HU) & body, SMALLEST_BONE_ML * 1000.0 / float(np.prod(spacing)))
    rib = _rib_radius(rays.sample(bone), outermost, radii)
    surface = _smooth_surface(rib, outermost, spacing[0])
    gap = surface - outermost
    healthy = np.isfinite(gap) & (gap < 12.0)
    if healthy.sum() < 50:
        return np.zeros(lung.shape, bool)
    wall = float(np.clip(np.quantile(gap[healthy], 0.5), *WALL_MM))
    outer = np.where(_believable(gap - wall), surface - wall, np.nan)
    return rays.between(outermost, outer) & body & ~bone & (hu > -500)


def _believable(fill: np.ndarray) -> np.ndarray:
    """Where the depth between air and pleura is disease: patches that are deep nowhere (there lie liver and heart)."""
    patch = np.nan_to_num(fill, nan=-1.0) > LEAST_FILL_MM
    labels, _ = ndimage.label(patch, np.ones((3, 3)))
    for right, left in zip(labels[:, 0], labels[:, -1], strict=True):  # angles come full circle
        if right and left and right != left:
            labels[labels == left] = right
    deep = np.bincount(labels.ravel(), weights=(fill > DEEPEST_FILL_MM).ravel())
    sizes = np.bincount(labels.ravel())
    good = deep <= DEEP_SHARE * sizes
    good[0] = False
    return good[labels]


def _rib_radius(bone: np.ndarray, outermost: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Radius of the first bone beyond each ray's outermost air; NaN where there is none near."""
    start = outermost[:, :, None]
    beyond = bone & (radii >= start - RIB_WITHIN_MM) & (radii <= start + RIB_BEYOND_MM)
    return np.where(beyond.any(axis=2), radii[beyond.argmax(axis=2)], np.nan)


def _smooth_surface(rib: np.ndarray, outermost: np.ndarray, slice_mm: float) -> np.ndarray:
    """The ribs' inner surface over angle and height, also between the ribs."""
    arc_mm = 2 * np.pi * float(np.nanmedian(outermost)) / ANGLES if np.isfinite(outermost).any() else 4.0
    sigma = (SMOOTH_MM / slice_mm, SMOOTH_MM / arc_mm)
    surface = _weighted_mean(rib, sigma)
    for _ in range(2):  # shoulder blade and collar bone lie behind the ribs
        surface = _weighted_mean(np.where(rib <= surface + 4.0, rib, np.nan), sigma)
    return surface


def _weighted_mean(values: np.ndarray, sigma: tuple[float, float]) -> np.ndarray:
    known = np.isfinite(values)
    modes = ("nearest", "wrap")
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma, mode=modes)
    total = ndimage.gaussian_filter(np.where(known, values, 0.0).astype(np.float32), sigma, mode=modes)
    return np.where(weight > 0.1, total / np.maximum(weight, 1e-6), np.nan)
