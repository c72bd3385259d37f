"""Ribs, spine, sternum, shoulder blades, collar bones."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.fields.smooth_fields import (
    FloatArray,
    GrainField,
    capsule_distance,
    cover,
    ellipse_distance,
    paint,
    smooth_step,
)

_CORTEX_HU, _MARROW_HU, _CARTILAGE_HU, _DISC_HU, _CORD_HU, _SPONGY_HU = 620.0, 160.0, 100.0, 75.0, 35.0, 190.0
_MUSCLE_HU = 52.0
_RIB_STEP, _RIB_DROP = 25.0, 84.0


class Skeleton:
    """Paints the bones of one section.

    Args:
        thorax: the chest that the ribs surround.
        rng: for texture and small differences.
    """

    def __init__(self, thorax: Thorax, rng: np.random.Generator) -> None:
        self.thorax = thorax
        self._spongy = GrainField(rng, 2.6)
        self._phase = rng.uniform(0, 1)
        self._drop = _RIB_DROP * rng.uniform(0.85, 1.15)
        self._cartilage = rng.uniform(0.78, 0.86)

    def paint(
        self,
        hu: FloatArray,
        x: FloatArray,
        y: FloatArray,
        z: float,
        wall: FloatArray,
        outline: FloatArray,
        pixel: float,
    ) -> None:
        """Ribs, sternum, shoulder girdle."""
        self._paint_ribs(hu, x, y, z, wall, pixel)
        self._paint_sternum(hu, x, y, z, pixel)
        self._paint_shoulders(hu, x, y, z, (wall, outline), pixel)

    def _bone(self, hu: FloatArray, shape: FloatArray, shell: float, marrow: FloatArray | float, pixel: float) -> None:
        paint(hu, _CORTEX_HU, cover(shape, pixel))
        paint(hu, marrow, cover(shape - shell, pixel))

    def _paint_ribs(
        self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, wall: FloatArray, pixel: float
    ) -> None:
        p = self.thorax.patient
        near = (wall < 1) & (wall > -13)
        if not near.any():
            return
        rows = np.flatnonzero(near.any(axis=1))
        columns = np.flatnonzero(near.any(axis=0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        x, y, wall, near = x[:, box[1]], y[box[0]], wall[box], near[box]
        turn = self.thorax.angle(x, y, z)
        step = _RIB_STEP * p.height
        drop = self._drop * p.height * smooth_step(turn, 0.02, 0.9) * 1.05
        # Cartilages climb back to the sternum.
        drop = drop - 32 * p.height * smooth_step(turn, 0.8, 1.0)
        level = (p.z_apex + 6 - z - drop) / step + 0.5
        number = np.floor(level)
        off = (level - number - 0.5) * step
        broad = 6.6 - 1.2 * smooth_step(turn, 0.1, 0.0)
        shape = ellipse_distance(wall + 5.6, off, 4.0, broad)
        there = near & (np.abs(x) > 24) & (number >= 0) & (number < 12) & ((turn < 0.82) | (number < 9))
        shape = np.where(there, shape, -50)
        part = hu[box]
        bone = turn < self._cartilage
        spongy = _MARROW_HU + 40 * self._spongy.at(x, y, z)
        self._bone(part, np.where(bone, shape, -50), 1.5, spongy, pixel)
        paint(part, _CARTILAGE_HU, cover(np.where(bone, -50, shape), pixel))

    def _paint_sternum(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> None:
        p = self.thorax.patient
        top, bottom = 48 * p.height, -112 * p.height
        if not bottom < z < top:
            return
        _, _, cy, b = (float(v) for v in self.thorax.section(min(z, 30.0)))
        breadth = (15 + 13 * smooth_step(z, 5, 45)) * p.width * smooth_step(z, bottom, bottom + 12)
        shape = ellipse_distance(x, y - (cy - b) + 8.0, float(breadth) + 1e-2, 6.2)
        self._bone(hu, shape, 1.2, 110 + 30 * self._spongy.at(x, y, z), pixel)

    def _paint_shoulders(
        self,
        hu: FloatArray,
        x: FloatArray,
        y: FloatArray,
        z: float,
        surfaces: tuple[FloatArray, FloatArray],
        pixel: float,
    ) -> None:
        p = self.thorax.patient
        wall, outline = surfaces
        ax = np.abs(x) / p.width
        level = z / p.height
        _, _, cy, b = (float(v) for v in self.thorax.section(min(z, 20.0)))
        if -85 < level < 95:
            # The blade: broad at the shoulder, running to a tip below; it lies bent on the ribs' back.
            reach = float(smooth_step(level, -85, 30))
            back = cy + b
            inner, bend, outer = (
                (104 - 30 * reach, back - 8 + 12 * reach),
                (122 - 4 * reach, back - 20 + 6 * reach),
                (130 + 18 * reach, back - 36 - 30 * reach),
            )
            blade = np.maximum(
                capsule_distance(ax, y, inner, bend, 2.2), capsule_distance(ax, y, bend, outer, 2.2 + 1.8 * reach)
            )
            if level > 30:
                ridge = capsule_distance(ax, y, (132, back - 38), (158, back - 12), 2.8)
                blade = np.maximum(blade, ridge)
            clothed = np.minimum(blade + 6 + 11 * reach, outline - 3)
            paint(hu, _MUSCLE_HU, cover(clothed, pixel) * cover(-2.0 - wall, pixel))
            self._bone(hu, np.where(outline > 4, blade, -50), 1.2, _MARROW_HU, pixel)
        if 55 < level < 150:
            size = np.sqrt(max(1 - ((level - 105) / 48) ** 2, 0.0)) * 23
            if size > 1:
                head = size - np.hypot(ax - 176, y - cy - 12)
                paint(hu, _MUSCLE_HU, cover(np.minimum(head + 16, outline - 4), pixel))
                self._bone(hu, np.where(outline > 4, head, -50), 2.2, _SPONGY_HU, pixel)
        for start, stop, radius in (((20, -58, 46), (84, -52, 84), 6.0), ((84, -52, 84), (150, -6, 112), 6.0)):
            self._paint_bar(hu, ax * p.width, y, z, np.array(start), np.array(stop), radius, pixel)

    def _paint_bar(
        self,
        hu: FloatArray,
        x: FloatArray,
        y: FloatArray,
        z: float,
        start: FloatArray,
        stop: FloatArray,
        radius: float,
        pixel: float,
    ) -> None:
        p = self.thorax.patient
        start = start * (p.width, p.depth, p.height)
        way = stop * (p.width, p.depth, p.height) - start
        if not min(0, way[2]) - radius < z - start[2] < max(0, way[2]) + radius:
            return
        dx, dy, dz = x - start[0], y - start[1], z - start[2]
        along = np.clip((dx * way[0] + dy * way[1] + dz * way[2]) / float(way @ way), 0, 1)
        shape = radius - np.sqrt((dx - along * way[0]) ** 2 + (dy - along * way[1]) ** 2 + (dz - along * way[2]) ** 2)
        self._bone(hu, shape, 1.8, _MARROW_HU, pixel)

    def paint_spine(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> None:
        """Vertebral bodies with discs, arch, spinous and transverse processes, ribs' necks, spinal canal."""
        p = self.thorax.patient
        middle = float(self.thorax.spine_y(z))
        step = _RIB_STEP * p.height
        phase = ((z / step + self._phase) % 1.0) - 0.5
        ax = np.abs(x)
        dy = y - middle
        body = ellipse_distance(x, dy, 17.5, 15.0)
        muscle = cover(np.minimum(30 - ax + 0.4 * dy, np.minimum(dy + 2, 34 - dy)), pixel)
        paint(hu, 50.0, muscle)
        disc = float(smooth_step(abs(phase), 0.36, 0.42))
        spongy = _SPONGY_HU + 45 * self._spongy.at(x, y, z)
        endplate = 300.0 * float(np.exp(-(((abs(phase) - 0.37) / 0.04) ** 2)))
        self._bone(hu, body, 1.4, spongy + endplate, pixel)
        paint(hu, _DISC_HU, cover(body + 0.5, pixel) * disc)
        arch = float(smooth_step(0.33 - abs(phase), 0.0, 0.06))
        if arch > 0:
            parts = np.maximum.reduce(
                [
                    capsule_distance(ax, dy, (13, 10), (14, 20), 4.0),
                    capsule_distance(ax, dy, (14, 20), (2, 33), 4.0),
                    capsule_distance(ax, dy, (14, 20), (33, 30), 4.2),
                ]
            )
            paint(hu, _CORTEX_HU, cover(parts, pixel) * arch)
            paint(hu, _MARROW_HU + 60, cover(parts - 1.4, pixel) * arch)
        process = capsule_distance(x, dy, (0.0, 32), (0.0, 52), 3.0)
        paint(hu, _CORTEX_HU - 150, cover(process, pixel) * float(smooth_step(0.45 - abs(phase + 0.1), 0, 0.1)))
        canal = ellipse_distance(x, dy - 21.5, 9.5, 8.0)
        paint(hu, -30.0, cover(canal, pixel))
        paint(hu, _CORD_HU, cover(canal - 2.5, pixel))
