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
# Share of the greatest area of lung that a slice must hold to tell where the axis runs.
AXIS_SHARE = 0.35
BONE_HU = 120
SMALLEST_BONE_ML = 0.3
# A rib is looked for from a little within the air's edge to this far beyond it.
RIB_WITHIN_MM = 6.0
RIB_BEYOND_MM = 70.0
SMOOTH_MM = 9.0
# A rib lies this near every place of the wall (up or down, along the angle); beside it the wall slopes so far.
NEAREST_RIB_MM = (15.0, 8.0)
RIB_SLOPE_MM = 7.0
WALL_MM = (1.0, 9.0)
LEAST_HEALTHY = 50
APEX_MM = 30.0
# A gap to the pleura below this is blur and muscle, not disease.
LEAST_FILL_MM = 3.0
NARROWEST_MM = 12.0
# Deeper patches are liver or heart; disease is deepest at the back.
DEEPEST_BACK_MM = 60.0
DEEPEST_MM = 35.0
BACK = 0.3
# Further forward the dome of the diaphragm too has lung above and, across it, below.
BESIDE = -0.1
RECESS_MM = 15.0
RECESS_FILL_MM = 12.0
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
    """Rays from the middle of the lungs' extent, smoothed over the slices.

    Slices that hold but an apex or a recess do not tell where the middle is.
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
    outermost = _outermost(rays.sample(lung), rays.radii)
    arc_mm = 2 * np.pi * float(np.nanmedian(outermost)) / ANGLES
    cell = (spacing[0], arc_mm)
    bone = without_small((hu > BONE_HU) & body, SMALLEST_BONE_ML * 1000.0 / float(np.prod(spacing)))
    surface = _smooth_surface(_rib_radius(rays.sample(bone), outermost, rays.radii), cell)
    gap = surface - outermost
    wall = _wall_thickness(gap, cell)
    # At the apex the wall curves over the lung and the rays do not measure its thickness.
    fill = np.where(_air_beyond(np.isfinite(outermost), APEX_MM / spacing[0]), gap - wall, np.nan)
    outer = np.where(_believable(fill, cell), surface - wall, np.nan)
    return rays.between(outermost, outer) & body & ~bone & (hu > -500)


def _outermost(air: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Radius ``[k, angle]`` of the air furthest out; NaN where there is none.

    Single rays that slip past the lung's thin rim are closed over.
    """
    furthest = np.where(air.any(axis=2), radii[air.shape[2] - 1 - air[:, :, ::-1].argmax(axis=2)], 0.0)
    closed = ndimage.grey_closing(furthest, (1, 7), mode="wrap")
    return np.where(furthest > 0, closed, np.nan)


def _air_beyond(aerated: np.ndarray, slices: float) -> np.ndarray:
    """Where lung still reaches so many slices higher (lower if negative) in about the same direction."""
    near = ndimage.maximum_filter1d(aerated.astype(np.uint8), 7, axis=1, mode="wrap") > 0
    steps = max(1, round(abs(slices)))
    # Lung that reaches the end of the CT is taken to go on there.
    reached = np.arange(len(near)) + (steps if slices > 0 else -steps)
    return near[np.clip(reached, 0, len(near) - 1)]


def _wall_thickness(gap: np.ndarray, cell: tuple[float, float]) -> np.ndarray:
    """Thickness of the wall between ribs' inner surface and aerated lung, from healthy places around."""
    healthy = np.where(gap < WALL_MM[1], gap, np.nan)
    if np.isfinite(healthy).sum() < LEAST_HEALTHY:
        return np.full(gap.shape, np.inf)
    usual = float(np.nanmedian(healthy))
    local = _weighted_mean(np.where(healthy < usual + 4.0, healthy, np.nan), (30.0 / cell[0], 30.0 / cell[1]))
    return np.clip(np.where(np.isfinite(local), local, usual), *WALL_MM)


def _believable(fill: np.ndarray, cell: tuple[float, float]) -> np.ndarray:
    """Where the depth between air and pleura is disease and not liver.

    A believable patch is broad, and deep nowhere or with aerated lung above and below.
    """
    # Where lung ends soon below, diaphragm lies between it and the ribs.
    least = np.where(_air_beyond(np.isfinite(fill), -RECESS_MM / cell[0]), LEAST_FILL_MM, RECESS_FILL_MM)
    patch = np.nan_to_num(fill, nan=-1.0) > least
    wide = [max(1, round(NARROWEST_MM / mm)) for mm in cell]
    patch = ndimage.binary_opening(np.pad(patch, ((0, 0), (wide[1], wide[1])), mode="wrap"), np.ones(wide))
    patch = patch[:, wide[1] : -wide[1]]
    labels, _ = ndimage.label(patch, np.ones((3, 3)))
    for right, left in zip(labels[:, 0], labels[:, -1], strict=True):  # angles come full circle
        if right and left and right != left:
            labels[labels == left] = right
    sizes = np.bincount(labels.ravel())
    backward = np.sin(np.arange(ANGLES) * (2 * np.pi / ANGLES))
    deepest = np.where(backward > BACK, DEEPEST_BACK_MM, DEEPEST_MM)
    deep = np.bincount(labels.ravel(), weights=(fill > deepest).ravel())
    aerated = np.nan_to_num(fill, nan=np.inf) <= WALL_MM[1]
    below = np.maximum.accumulate(aerated, axis=0)
    above = np.maximum.accumulate(aerated[::-1], axis=0)[::-1]
    good = deep <= DEEP_SHARE * sizes
    good[0] = False
    return good[labels] | (patch & above & below & (backward > BESIDE))


def _rib_radius(bone: np.ndarray, outermost: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Radius of the first bone beyond each ray's outermost air; NaN where there is none near."""
    start = outermost[:, :, None]
    beyond = bone & (radii >= start - RIB_WITHIN_MM) & (radii <= start + RIB_BEYOND_MM)
    return np.where(beyond.any(axis=2), radii[beyond.argmax(axis=2)], np.nan)


def _smooth_surface(rib: np.ndarray, cell: tuple[float, float]) -> np.ndarray:
    """The ribs' inner surface over angle and height, also between the ribs."""
    sigma = (SMOOTH_MM / cell[0], SMOOTH_MM / cell[1])
    # Shoulder blade and collar bone lie behind the ribs.
    nearest = ndimage.minimum_filter(
        np.where(np.isfinite(rib), rib, np.inf),
        [2 * round(reach / mm) + 1 for reach, mm in zip(NEAREST_RIB_MM, cell, strict=True)],
        mode=("nearest", "wrap"),
    )
    surface = _weighted_mean(np.where(rib <= nearest + RIB_SLOPE_MM, rib, np.nan), sigma)
    return _weighted_mean(np.where(rib <= surface + 4.0, rib, np.nan), sigma)


def _weighted_mean(values: np.ndarray, sigma: tuple[float, float]) -> np.ndarray:
    known = np.isfinite(values)
    modes = ("nearest", "wrap")
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma, mode=modes)
    total = ndimage.gaussian_filter(np.where(known, values, 0.0).astype(np.float32), sigma, mode=modes)
    return np.where(weight > 0.1, total / np.maximum(weight, 1e-6), np.nan)
