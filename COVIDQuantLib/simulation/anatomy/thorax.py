"""The shape of the chest's inside: rib cage, diaphragm, mediastinum, and between them the lungs."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.simulation.anatomy.heart import Heart
from COVIDQuantLib.simulation.anatomy.patient import Patient
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.fields.shapes import Table, smooth_step
from COVIDQuantLib.simulation.fields.spline_noise import SplineNoise

# Cross-section of half the rib cage against the way from apex (0) to posterior recess (1): centre and half axes, mm.
_CENTRE_X = ((0, 48), (0.08, 47), (0.18, 44), (0.3, 40), (0.5, 37), (0.7, 35), (0.85, 35), (1, 35))
_HALF_X = ((0, 46), (0.08, 54), (0.18, 69), (0.3, 83), (0.5, 95), (0.7, 101), (0.85, 102), (1, 98))
_CENTRE_Y = ((0, 32), (0.08, 25), (0.18, 16), (0.3, 9), (0.5, 4), (0.7, 1), (0.85, -2), (1, -6))
_HALF_Y = ((0, 44), (0.08, 53), (0.18, 66), (0.3, 78), (0.5, 89), (0.7, 94), (0.85, 94), (1, 88))
# How much the half cage also closes towards the midline: entirely at the apex.
_CLOSES = ((0, 1.0), (0.08, 0.9), (0.16, 0.45), (0.26, 0.0))
# The chest wall bulges inwards at the midline, mm: behind (spine) and in front (sternum).
_DENT_BACK, _DENT_FRONT, _DENT_WIDTH = 13.0, 5.0, 34.0
_DOME_SHARE = 0.15
_EXPONENT = 2.15
# How far the diaphragm descends from its top to the chest wall, by direction: mm and exponent.
_FALL_LATERAL, _FALL_MEDIAL, _FALL_BACK, _FALL_FRONT = (48.0, 2.2), (48.0, 1.7), (78.0, 1.55), (24.0, 2.0)
_DOME_FORWARD, _DOME_OUT = 22.0, 18.0
# Half width of the mediastinum to the right and left against height (mm from carina), behind the sternum,
# in its middle, and before the spine.
_FRONT = ((-130, 4), (-80, 3), (-20, 2.5), (15, 5), (45, 20), (75, 30))
_MIDDLE_RIGHT = ((-130, 16), (-60, 18), (-25, 27), (0, 25), (30, 27), (60, 30), (90, 34))
_MIDDLE_LEFT = ((-130, 16), (-60, 18), (-25, 30), (0, 29), (20, 33), (35, 28), (60, 28), (90, 34))
_BACK_RIGHT = ((-150, 14), (-60, 7), (-20, 9), (5, 16), (40, 14), (90, 24))
_BACK_LEFT = ((-150, 14), (-60, 12), (0, 20), (40, 16), (90, 24))


_Section = tuple[FloatArray, FloatArray, FloatArray, FloatArray]


class Thorax:
    """Implicit surfaces of one patient's chest; every method takes broadcastable LPS millimetres.

    Args:
        patient: the sizes.
        rng: for the irregularities of the walls.
    """

    def __init__(self, patient: Patient, rng: np.random.Generator) -> None:
        self.patient = patient
        self.heart = Heart(patient)
        self._tables = [Table(points) for points in (_CENTRE_X, _HALF_X, _CENTRE_Y, _HALF_Y)]
        self._closes = Table(_CLOSES)
        self._medial = {
            -1: [Table(points) for points in (_FRONT, _MIDDLE_RIGHT, _BACK_RIGHT)],
            1: [Table(points) for points in (_FRONT, _MIDDLE_LEFT, _BACK_LEFT)],
        }
        self._sections: dict[float, _Section] = {}
        self._wall_bumps = SplineNoise(rng, 26.0)
        self._dome_bumps = SplineNoise(rng, 30.0)

    def section(self, z: FloatArray | float) -> _Section:
        """Centre ``|x|``, half width, centre ``y``, half depth of half the rib cage at a height."""
        if np.ndim(z):
            return self._section(z)
        # Every part of the chest asks for that of the axial section being painted.
        height = float(z)
        if height not in self._sections:
            self._sections[height] = self._section(height)
        return self._sections[height]

    def _section(self, z: FloatArray | float) -> _Section:
        p = self.patient
        t = (p.z_apex - np.asarray(z, np.float32)) / (p.z_apex - p.z_sulcus)
        centre_x, half_x, centre_y, half_y = (table(t) for table in self._tables)
        dome = np.sqrt(np.clip(1 - np.clip(1 - t / _DOME_SHARE, 0, 1) ** 2, 0, 1)) + 1e-4
        dome = np.where(t > 0, dome, 1e-4).astype(np.float32)
        barrel = 1 + 0.05 * p.barrel * np.sin(np.pi * np.clip(t, 0, 1))
        lean = 6.0 * p.kyphosis * (np.clip(t, 0, 1) - 0.5) ** 2
        return (
            centre_x * p.width,
            half_x * p.width * dome,
            centre_y * p.depth - lean,
            half_y * p.depth * barrel * dome,
        )

    def wall(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Signed distance to the inner face of the rib cage, mm, positive inside."""
        cx, a, cy, b = self.section(z)
        p = self.patient
        closes = self._closes((p.z_apex - np.asarray(z, np.float32)) / (p.z_apex - p.z_sulcus))
        off = np.abs(x) * (1 + p.asymmetry * np.sign(x)) - cx
        dx = np.maximum(off, -closes * off)
        dy = y - cy
        dent = np.exp(-((x / _DENT_WIDTH) ** 2)) * (1 - closes)
        dy = dy + dent * np.where(dy > 0, _DENT_BACK, -_DENT_FRONT) * np.minimum(np.abs(dy) / 30, 1)
        radius = np.sqrt(dx * dx + dy * dy) + 1e-3
        rho = ((dx / a) ** _EXPONENT + np.abs(dy / b) ** _EXPONENT) ** (1 / _EXPONENT) + 1e-6
        return radius * (1 / rho - 1) + np.minimum(0.03 * a, 0.8) * self._wall_bumps.at(x, y, z)

    def angle(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Direction round the rib cage: 0 at the spine, 1 at the sternum."""
        cx, a, cy, b = self.section(z)
        dx = np.maximum(np.abs(x) - 0.5 * cx, 0.0) / (a + 0.5 * cx)
        return np.arctan2(dx, (y - cy) / b) / np.float32(np.pi)

    def diaphragm(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Height of the diaphragm, mm."""
        p = self.patient
        level = p.z_sulcus + 0.3 * (p.z_apex - p.z_sulcus)
        cx, a, cy, b = (float(v) for v in self.section(level))
        left = smooth_step(x, -25, 25)
        top = p.z_dome(-1) * (1 - left) + p.z_dome(1) * left
        dx, dy = (np.abs(x) - cx - _DOME_OUT) / (a - _DOME_OUT), (y - cy + _DOME_FORWARD) / (b + _DOME_FORWARD)
        fall: FloatArray = np.zeros(np.broadcast(x, y).shape, np.float32)
        for along, (depth, power) in (
            (dx, _FALL_LATERAL),
            (-dx, _FALL_MEDIAL),
            (dy, _FALL_BACK),
            (-dy, _FALL_FRONT),
        ):
            fall = fall + depth * np.maximum(along, 0) ** power
        bumps = self._dome_bumps.at(x, y, 0.0) * 2.0
        return top - p.height * fall + bumps

    def mediastinum(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Signed distance to the outline of mediastinum and spine, mm, positive inside."""
        p = self.patient
        _, _, cy, b = self.section(z)
        depth = (y - (cy - b)) / (2 * b)
        level = np.asarray(z, np.float32) / p.height
        widths = []
        for side in (-1, 1):
            front, middle, back = (table(level) for table in self._medial[side])
            forward = smooth_step(depth, 0.03, 0.32)
            backward = smooth_step(depth, 0.45, 0.62)
            width = front * (1 - forward) + middle * forward * (1 - backward) + back * backward
            widths.append(width * p.width)
        width = np.where(x < 0, widths[0], widths[1])
        shape = width - np.abs(x)
        return np.maximum(np.maximum(shape, self.spine(x, y, z)), self.heart_distance(x, y, z) + self._pads(x, y, z))

    def _pads(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Thickness of the fat on the heart: thin above, pads in front towards the diaphragm, mm."""
        low = smooth_step(-np.asarray(z, np.float32) / self.patient.height, 60, 110) * smooth_step(-y, 0, 60)
        return 2.0 + 0.012 * self.patient.fat_mm * 25 * low + 1.2 * self._dome_bumps.at(x, y, z)

    def heart_distance(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Signed distance to the heart, which rests on the diaphragm with its full breadth, mm, positive inside."""
        rest = -92.0 * self.patient.height
        return self.heart.distance(x, y, np.maximum(z, rest)) - 0.4 * np.maximum(rest - z, 0.0)

    def spine_y(self, z: FloatArray | float) -> FloatArray:
        """LPS y of the middle of the vertebral bodies."""
        _, _, cy, b = self.section(np.minimum(z, self.patient.z_apex - 45))
        return cy + b - 26.0

    def spine(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Signed distance to the spine with the soft tissue round it, mm, positive inside."""
        dy = y - self.spine_y(z)
        body = 21.0 - np.sqrt(x * x + dy * dy)
        return np.maximum(body, np.minimum(dy, 18.0 + 0.4 * dy - np.abs(x)))

    def lungs(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Signed distance to the surface of the lungs, mm, positive inside; tubes at the hila not yet subtracted."""
        above = (z - self.diaphragm(x, y)) * 0.75
        chest = np.minimum(self.wall(x, y, z) - 1.0, above)
        return np.minimum(chest, -self.mediastinum(x, y, z))
