"""Dense lung at the chest wall: the costal pleura is modelled from the ribs, and tissue between it and air is lung.

Around an axis between the lungs each ray (angle, slice) meets mediastinum, air of the lung, perhaps dense lung, and a
rib or the muscle between ribs. The ribs' inner surface is smooth over angle and height, so the pleura behind dense
lung is derived from the ribs there and the wall thickness where the lung is aerated.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.segmentation.patient.costal_surface import bones, costal_radius, weighted_mean
from COVIDQuantLib.segmentation.patient.rays import ANGLES, rays_of
from COVIDQuantLib.voxels.morphology import Spacing, on_both_sides

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
# Further forward the dome of the diaphragm also has lung above and, across it, below.
BESIDE = -0.1
RECESS_MM = 15.0
RECESS_FILL_MM = 12.0
DEEP_SHARE = 0.03
# Disease at the back that continues into liver is at least this tall above it; over a dome the depth grows at once.
TALLEST_DOME_MM = 25.0


def dense_at_wall(hu: np.ndarray, lung: np.ndarray, body: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Dense lung between the aerated lung and the chest wall.

    Args:
        hu: working grid ``[k, j, i]``, canonical.
        lung: aerated lung.
        body: the patient.
        spacing: mm per axis.

    Returns:
        Bool array of voxels to add; empty if no ribs are found.
    """
    rays = rays_of(lung, spacing)
    outermost = _outermost(rays.sample(lung), rays.radii)
    cell = (spacing[0], 2 * np.pi * float(np.nanmedian(outermost)) / ANGLES)
    bone = bones(hu, body, spacing)
    surface = costal_radius(bone, rays, outermost)
    gap = surface - outermost
    wall = _wall_thickness(gap, cell)
    # At the apex the wall curves over the lung and the rays do not measure its thickness.
    fill = np.where(_air_beyond(np.isfinite(outermost), APEX_MM / spacing[0]), gap - wall, np.nan)
    outer = np.where(believable(fill, cell), surface - wall, np.nan)
    return rays.between(outermost, outer) & body & ~bone & (hu > -500)


def _outermost(air: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Radius ``[k, angle]`` of the air furthest out; NaN where there is none.

    Gaps of single rays at the lung's thin rim are closed.
    """
    furthest = np.where(air.any(axis=2), radii[air.shape[2] - 1 - air[:, :, ::-1].argmax(axis=2)], 0.0)
    closed = ndimage.grey_closing(furthest, (1, 7), mode="wrap")
    return np.where(furthest > 0, closed, np.nan)


def _air_beyond(aerated: np.ndarray, slices: float) -> np.ndarray:
    """Where lung is present this many slices higher (lower if negative) in about the same direction."""
    near = ndimage.maximum_filter1d(aerated.astype(np.uint8), 7, axis=1, mode="wrap") > 0
    steps = max(1, round(abs(slices)))
    # Lung that reaches the end of the CT is assumed to continue.
    reached = np.arange(len(near)) + (steps if slices > 0 else -steps)
    return near[np.clip(reached, 0, len(near) - 1)]


def _wall_thickness(gap: np.ndarray, cell: tuple[float, float]) -> np.ndarray:
    """Thickness of the wall between ribs' inner surface and aerated lung, from healthy places around."""
    healthy = np.where(gap < WALL_MM[1], gap, np.nan)
    if np.isfinite(healthy).sum() < LEAST_HEALTHY:
        return np.full(gap.shape, np.inf)
    usual = float(np.nanmedian(healthy))
    local = weighted_mean(np.where(healthy < usual + 4.0, healthy, np.nan), (30.0 / cell[0], 30.0 / cell[1]))
    return np.clip(np.where(np.isfinite(local), local, usual), *WALL_MM)


def believable(fill: np.ndarray, cell: tuple[float, float]) -> np.ndarray:
    """Where tissue between air and pleura is plausibly disease, not liver.

    A plausible patch is broad, and either shallow or with aerated lung above and below.
    """
    # Where lung ends just below, the diaphragm is between it and the ribs.
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
    good = deep <= DEEP_SHARE * sizes
    good[0] = False
    tall = _above_dome(patch & (backward > BACK), aerated, fill <= deepest, wide, cell[0])
    return good[labels] | tall | (patch & on_both_sides(aerated, 0) & (backward > BESIDE))


def _above_dome(
    patch: np.ndarray, aerated: np.ndarray, shallow: np.ndarray, wide: list[int], slice_mm: float
) -> np.ndarray:
    """The part of a patch at the back between aerated lung above and the first deep place below, if tall enough.

    Args:
        patch: ``[k, angle]``, where dense tissue lies before the pleura.
        aerated: where the lung reaches the pleura.
        shallow: where it is not too deep for disease.
        wide: the narrowest disease, in slices and angles.
        slice_mm: height of a slice.
    """
    reached = np.zeros(patch.shape, bool)
    going_on = np.zeros(patch.shape[1], bool)
    for k in range(len(patch) - 1, -1, -1):
        going_on = aerated[k] | (going_on & shallow[k])
        reached[k] = going_on & patch[k]
    reached = ndimage.binary_opening(reached, np.ones(wide))
    labels, count = ndimage.label(reached, np.ones((3, 3)))
    heights = [0, *((labels == number).sum(axis=0).max() * slice_mm for number in range(1, count + 1))]
    return (np.array(heights) >= TALLEST_DOME_MM)[labels]
