"""Structures beside the lungs that are easily mistaken for lung: heart, oesophagus, bowel gas, streaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.fields.shapes import cover, paint, smooth_step
from COVIDQuantLib.simulation.painted.chest_wall import ChestFields, Habitus, SectionFields
from COVIDQuantLib.simulation.painted.colon import Colon

_ANGLES = 720


@dataclass(frozen=True)
class Bubble:
    """Gas in stomach or bowel: an ellipsoid, below its level fluid or stool.

    Attributes:
        at: x, y, z of its centre.
        radii: along x, y, z.
        level: y behind which there is fluid.
        hu: of gas and of what is behind the level.
    """

    at: FloatArray
    radii: FloatArray
    level: float
    hu: tuple[float, float]


@dataclass(frozen=True)
class InnerOrgans:
    """The structures of one patient.

    Attributes:
        heart: centre and radii of the heart, x, y, z, millimetres, ``[2, 3]``.
        blood: CT number of blood.
        oesophagus: x, y (relative to the back of the hull), radius, radius of the air in it.
        bubbles: gas below the diaphragm.
        sources: x, y, lowest and highest z, strength of streaks and CT number of what casts them, ``[n, 6]``.
        seed: of the streaks.
        colon: what of it lies near the diaphragm.
    """

    heart: FloatArray
    blood: float
    oesophagus: FloatArray
    bubbles: tuple[Bubble, ...]
    sources: FloatArray
    seed: int
    colon: Colon

    @classmethod
    def draw(
        cls, rng: np.random.Generator, fields: ChestFields, size: tuple[float, float, float], blood: float
    ) -> InnerOrgans:
        """Random structures for a chest of some half width, half depth and height."""
        half_width, half_depth, height = size
        heart = np.array([(18, -0.35 * half_depth, 0.3 * height), (48, 42, 0.26 * height)]) + rng.normal(0, 5, (2, 3))
        oesophagus = np.array(
            [rng.uniform(-4, 14), rng.uniform(-48, -38), rng.uniform(5, 11), rng.choice([0.0, rng.uniform(1, 5)])]
        )
        sources = [_injection(rng, half_width, height)] if rng.random() < 0.3 else []
        if rng.random() < 0.15:
            low = height * float(rng.uniform(0.5, 0.8))
            metal = (rng.choice([-1, 1]) * rng.uniform(30, 100), -half_depth * 1.05, low, low + rng.uniform(8, 40))
            sources.append((*metal, rng.uniform(60, 300), 3000.0))
        return cls(
            heart.astype(np.float32),
            blood,
            oesophagus.astype(np.float32),
            tuple(_bubbles(rng, fields)),
            np.array(sources, np.float32).reshape(-1, 6),
            int(rng.integers(1 << 31)),
            Colon.draw(rng, fields),
        )

    def paint(self, hu: FloatArray, fields: SectionFields, body: Habitus, mm: float) -> None:
        """Paint heart, oesophagus, gas and colon into one section, in place; lungs are painted over it."""
        x, y, z, gap = (fields[name] for name in ("x", "y", "z", "gap"))
        (cx, cy, cz), (rx, ry, rz) = self.heart
        far = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2)
        within = smooth_step(1.05 - far, 0, 0.1) * (fields["outside"] < -4) * smooth_step(-fields["below"], -0.4, -0.2)
        chamber = smooth_step(fields["bowel"] + 0.3 * fields["fat"], -0.5, -0.2) * smooth_step(gap, 5, 9)
        wall = body.soft_hu + 0.35 * max(self.blood - body.soft_hu, 0)
        paint(hu, wall + chamber * (self.blood - wall), within)
        gx, gy, radius, air = self.oesophagus
        behind = np.where(y > 0, fields["outside"] - gy, 99.0)
        tube = radius - np.hypot(x - gx, behind * 0.8)
        if float(z[0, 0]) > 0:
            paint(hu, body.soft_hu - 5, cover(tube, mm))
            if air:
                paint(hu, -950.0, cover(tube - radius + air, mm))
        self._gas(hu, fields, mm)
        self.colon.paint(hu, fields, mm)

    def _gas(self, hu: FloatArray, fields: SectionFields, mm: float) -> None:
        x, y, z = fields["x"], fields["y"], float(fields["z"][0, 0])
        room = smooth_step(fields["gap"], 2.5, 5.5) * smooth_step(fields["below"], 0.1, 0.25)
        for bubble in self.bubbles:
            (cx, cy, cz), (rx, ry, rz) = bubble.at, bubble.radii
            if abs(z - cz) > rz + 6:
                continue
            folds = 0.18 * fields["bowel"] + 0.08 * fields["fat"]
            far = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2)
            inside = (1 - far + folds) * min(rx, ry, rz)
            gas = bubble.hu[0] + cover(y - bubble.level, mm) * (bubble.hu[1] - bubble.hu[0])
            paint(hu, 40.0, cover(inside + 3.0, mm) * room * (z < 60))
            paint(hu, gas, cover(inside, mm) * room)

    def paint_streaks(self, hu: FloatArray, fields: SectionFields, mm: float) -> None:
        """Add dense contrast medium and metal with the streaks that they cast, in place; last of all."""
        z = float(fields["z"][0, 0])
        for number, (x0, y0, low, high, strength, value) in enumerate(self.sources):
            if not low - 4 < z < high + 4:
                continue
            fade = min(1.0, (z - low + 4) / 8, (high + 4 - z) / 8)
            x, y = fields["x"] - x0, fields["y"] - y0
            far = np.hypot(x, y)
            rng = np.random.default_rng([self.seed, number, round(z / 3)])
            lines = ndimage.gaussian_filter1d(rng.standard_normal(_ANGLES), 4.0, mode="wrap")
            lines /= max(float(lines.std()), 1e-3)
            turn = ((np.arctan2(y, x) / (2 * np.pi) + 0.5) * (_ANGLES - 1)).astype(int)
            hu += fade * strength * lines[turn] * np.exp(-far / 110) * smooth_step(far, 2, 12)
            paint(hu, value * fade, cover(7.0 - far, mm))


def _injection(rng: np.random.Generator, half_width: float, height: float) -> tuple[float, ...]:
    """Contrast medium in a vein below the collar bone."""
    side = float(rng.choice([-1, 1]))
    low = height * float(rng.uniform(0.75, 0.98))
    at = side * float(rng.uniform(0.2, 0.95)) * half_width
    return at, float(rng.uniform(-45, 5)), low, low + float(rng.uniform(15, 60)), float(rng.uniform(60, 350)), 1500.0


def _bubbles(rng: np.random.Generator, fields: ChestFields) -> list[Bubble]:
    """Gas close below the diaphragm, mostly the left."""
    near = (fields.below > 0.3) & (fields.gap > 7) & (fields.gap < 24) & (fields.outside < -8)
    places = np.argwhere(near)
    found: list[Bubble] = []
    for _ in range(int(rng.integers(0, 6))):
        if not len(places):
            break
        k, j, i = places[rng.integers(len(places))]
        at = np.array([fields.x[k, j, i], fields.y[k, j, i], fields.z[k, j, i]], np.float32)
        if at[0] < 10 and rng.random() < 0.75:
            continue
        stomach = rng.random() < 0.4
        radii = rng.uniform(18, 48, 3) if stomach else rng.uniform(8, 22, 3)
        at[2] -= 0.5 * radii[2]
        full = float(rng.uniform(-0.5, 1.2)) * float(radii[1])
        stuff = float(rng.uniform(-5, 40) if rng.random() < 0.7 else rng.uniform(-600, 300))
        found.append(
            Bubble(at, radii.astype(np.float32), float(at[1]) + full, (float(rng.uniform(-1000, -900)), stuff))
        )
    return found
