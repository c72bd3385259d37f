"""Vessels and airways grown into the lobes of lungs of any shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES, SIDES, labels_of_side
from COVIDQuantLib.simulation.anatomy.trees import TIP_MM, VEIN_SHARE, beside_artery, grow_tree, jittered_points
from COVIDQuantLib.simulation.anatomy.tubes import Tubes
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.painted.aorta import Aorta
from COVIDQuantLib.simulation.painted.chest_wall import LungExtent

_SMALLEST_AIRWAY_MM = 0.8
_CARINA_SHARE = 0.62
_HILUM_BELOW_MM = 28.0


@dataclass(frozen=True)
class Trees:
    """Tubes in millimetres from voxel (0, 0, 0) along x, y, z.

    Attributes:
        vessels: arteries and veins within the lungs.
        great: vessels between the lungs.
        airways: lumen of the bronchi.
        trachea: lumen of trachea and main bronchi.
    """

    vessels: Tubes
    great: Tubes
    airways: Tubes
    trachea: Tubes


class _Lobes:
    """Lookups in a label map by position.

    Args:
        lobes: uint8 ``[k, j, i]``.
        spacing: millimetres along k, j, i.
    """

    def __init__(self, lobes: np.ndarray, spacing: FloatArray) -> None:
        self.labels = lobes
        self._spacing = spacing

    def at(self, points: FloatArray) -> np.ndarray:
        """Labels at points ``(n, 3)`` x, y, z in millimetres."""
        index = np.rint(points[:, ::-1] / self._spacing).astype(int)
        return self.labels[tuple(np.clip(index, 0, np.array(self.labels.shape) - 1).T)]

    def cloud(self, rng: np.random.Generator, step: float, clear_mm: float) -> dict[int, FloatArray]:
        """Jittered points throughout each lobe, away from its border, by label."""
        size = (np.array(self.labels.shape) * self._spacing)[::-1]
        lines = [np.arange(0, length, step) for length in size]
        points = jittered_points(rng, lines, step)
        labels = self.at(points)
        keep = labels > 0
        points, labels = points[keep], labels[keep]
        clear = np.ones(len(points), bool)
        for axis in range(3):
            for way in (-clear_mm, clear_mm):
                clear &= self.at(points + np.eye(3)[axis] * way) == labels
        return {lobe.label: points[clear & (labels == lobe.label)] for lobe in LOBES}

    def within_lobe(self, tubes: Tubes, label: int) -> np.ndarray:
        """Mask of the pieces that do not pass through another lobe."""
        keep = np.ones(len(tubes), bool)
        for points in (tubes.start, 0.5 * (tubes.start + tubes.stop), tubes.stop):
            found = self.at(points)
            keep &= (found == label) | (found == 0)
        return keep


def grow_trees(
    rng: np.random.Generator, lobes: np.ndarray, spacing: FloatArray, frame: LungExtent, aorta: Aorta | None = None
) -> Trees:
    """Grow the vessels and airways of one patient.

    Args:
        rng: random generator.
        lobes: uint8 ``[k, j, i]``, five lobes.
        spacing: millimetres along k, j, i.
        frame: of the lobes.
        aorta: its course; None for an approximate one.
    """
    look = _Lobes(lobes, spacing)
    trachea, hila = _trachea(rng, look, spacing, frame)
    step = (1e6 / rng.uniform(600, 1500)) ** (1 / 3)
    tip = TIP_MM * rng.uniform(0.85, 1.15)
    crossing = rng.uniform(0, 0.25)
    vessels, airways = [], []
    for is_artery in (True, False):
        clouds = look.cloud(rng, step, rng.uniform(1.5, 4.0))
        for label, cloud in clouds.items():
            if len(cloud) < 4:
                continue
            hilum = hila["right" if label in labels_of_side("right") else "left"]
            if not is_artery:
                hilum = hilum + np.array([0.0, -8.0, -10.0]) + rng.normal(0, 2, 3)
            way = cloud.mean(axis=0) - hilum
            root = hilum + 0.12 * way
            tree = grow_tree(rng, root, way / np.linalg.norm(way), cloud, tip * (1 if is_artery else VEIN_SHARE))
            stays = look.within_lobe(tree, label) | (rng.random(len(tree)) < crossing)
            trunk = Tubes.smooth_path(np.stack([hilum, root]), np.array([1.15, 1.0]) * tree.radius.max())
            vessels.append(Tubes.joined([trunk, tree.select(stays)]))
            if is_artery:
                branch = _beside(rng, tree.select(stays))
                airways += [branch, Tubes.smooth_path(np.stack([hilum, root]), np.array([5.0, 4.2]))]
    return Trees(
        Tubes.joined(vessels),
        _great(rng, hila, aorta),
        Tubes.joined(airways).wider_than(_SMALLEST_AIRWAY_MM),
        trachea,
    )


def _beside(rng: np.random.Generator, tree: Tubes) -> Tubes:
    """Bronchi close beside the arteries that they accompany."""
    away = rng.normal(size=3)
    away /= np.linalg.norm(away)
    return Tubes(
        tree.start + away * beside_artery(tree.radius[:, :1]),
        tree.stop + away * beside_artery(tree.radius[:, 1:]),
        tree.radius * rng.uniform(0.7, 0.95),
    )


def _trachea(
    rng: np.random.Generator, look: _Lobes, spacing: FloatArray, frame: LungExtent
) -> tuple[Tubes, dict[str, FloatArray]]:
    """Trachea and main bronchi between the lungs, and the position of each hilum."""
    height = frame.high[2] - frame.low[2]
    carina_z = frame.low[2] + (_CARINA_SHARE + rng.uniform(-0.04, 0.04)) * height
    gap = _gap(look.labels, spacing)
    tops = np.linspace(carina_z, (look.labels.shape[0] - 1) * spacing[0], 7)
    way = np.array([_widest(gap, z, frame) for z in tops])
    way[:, :2] = ndimage.gaussian_filter1d(way[:, :2], 1.0, axis=0, mode="nearest")
    carina = way[0]
    radius = rng.uniform(6.5, 10.0)
    hila = {side: _hilum(look.labels, spacing, carina, side) for side in SIDES}
    tubes = [Tubes.smooth_path(way[::-1], np.full(len(way), radius))]
    for side, hilum in hila.items():
        size = radius * (0.78 if side == "right" else 0.68)
        middle = 0.5 * (carina + hilum) + np.array([0.0, 1.0, 3.0])
        tubes.append(Tubes.smooth_path(np.stack([carina, middle, hilum]), np.array([size, size * 0.95, size * 0.8])))
    return Tubes.joined(tubes), hila


def _gap(labels: np.ndarray, spacing: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Millimetres from the nearest lung within each section, on every third voxel, and that grid's spacing."""
    coarse = labels[::3, ::3, ::3] > 0
    step = spacing * 3
    far = [ndimage.distance_transform_edt(~section, sampling=step[1:]) for section in coarse]
    return np.array(far), step


def _widest(gap: tuple[FloatArray, FloatArray], z: float, frame: LungExtent) -> FloatArray:
    """Position between the lungs at some height, far from both and near the midline."""
    far, step = gap
    section = far[min(round(z / step[0]), len(far) - 1)]
    y = np.arange(section.shape[0])[:, None] * step[1] - frame.middle[1]
    x = np.arange(section.shape[1])[None, :] * step[2] - frame.middle[0]
    score = np.minimum(section, 12.0) - 0.012 * x**2 - 0.006 * (y - 6) ** 2
    j, i = np.unravel_index(np.argmax(score), score.shape)
    return np.array([i * step[2], j * step[1], z])


def _hilum(labels: np.ndarray, spacing: FloatArray, carina: FloatArray, side: str) -> FloatArray:
    """The lung voxel of a side nearest to a point below and beside the carina, a little towards the midline."""
    wanted = carina + np.array([-20.0 if side == "right" else 22.0, 4.0, -_HILUM_BELOW_MM])
    own = np.isin(labels[::3, ::3, ::3], labels_of_side(side))
    points = (np.argwhere(own) * 3 * spacing)[:, ::-1]
    nearest = points[np.argmin(((points - wanted) ** 2).sum(axis=1))]
    return nearest + 0.25 * (wanted - nearest)


def _great(rng: np.random.Generator, hila: dict[str, FloatArray], aorta: Aorta | None) -> Tubes:
    """Approximate aorta, superior vena cava and pulmonary arteries."""
    right, left = hila["right"], hila["left"]
    centre = 0.5 * (right + left)
    x, y, z = centre
    size = rng.uniform(0.85, 1.2)
    ways = (
        (((x + 2, y - 28, z - 20), (x - 8, y - 30, z + 20), (x + 6, y - 10, z + 48), (x + 18, y + 20, z + 30)), 14),
        (((x + 18, y + 20, z + 30), (x + 20, y + 34, z - 20), (x + 14, y + 36, z - 90), (x + 6, y + 34, z - 170)), 11),
        (((x - 24, y - 22, z - 20), (x - 24, y - 24, z + 30), (x - 26, y - 26, z + 70)), 9),
        (((x + 10, y - 24, z), tuple(0.6 * right + 0.4 * centre), tuple(right)), 8),
        (((x + 10, y - 24, z), tuple(0.6 * left + 0.4 * centre), tuple(left)), 8),
    )
    tubes = [Tubes.smooth_path(np.array(way), np.full(len(way), size * radius)) for way, radius in ways]
    if aorta is not None and aorta.whole:
        tubes[:2] = [Tubes.smooth_path(aorta.path[:, :3], aorta.path[:, 3])]
    elif aorta is not None and len(aorta.path) > 3:
        below = np.vstack([[x + 18, y + 20, z + 30, 13.0], aorta.path[aorta.path[:, 2] < z + 20]])
        tubes[1] = Tubes.smooth_path(below[:, :3], below[:, 3])
    return Tubes.joined(tubes)
