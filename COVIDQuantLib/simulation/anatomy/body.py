"""What surrounds the lungs: skin, fat, muscle, breasts, bones, the organs under the diaphragm, the CT table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.simulation.anatomy.skeleton import Skeleton
from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.fields.smooth_fields import (
    FloatArray,
    GrainField,
    Table,
    cover,
    ellipse_distance,
    paint,
    smooth_step,
)

AIR_HU, FAT_HU, MUSCLE_HU, SKIN_HU = -1000.0, -98.0, 52.0, 25.0
_LIVER_HU, _SPLEEN_HU, _STOMACH_HU, _DIAPHRAGM_HU = 57.0, 48.0, 32.0, 45.0
_GLAND_HU, _HEART_HU = 25.0, 41.0
# Outline of a body without fat against height from the carina, mm: half width, front, back.
_WIDTH = ((-260, 146), (-150, 152), (-60, 155), (0, 160), (45, 178), (85, 204), (120, 208), (160, 170))
_FRONT = ((-260, -104), (-100, -106), (-20, -96), (30, -80), (70, -64), (110, -48), (160, -42))
_BACK = ((-260, 116), (-100, 124), (0, 123), (60, 116), (110, 100), (160, 90))
_OUTLINE_EXPONENT = 2.5


@dataclass(frozen=True)
class _Organ:
    """An organ as an ellipsoid: centre and half axes in LPS millimetres, and its CT number."""

    centre: tuple[float, float, float]
    axes: tuple[float, float, float]
    hu: float


class Body:
    """Paints one section of everything but the lungs and the tubes.

    Args:
        thorax: the chest.
        rng: for texture and variation.
        table: whether the CT table is in the picture.
    """

    def __init__(self, thorax: Thorax, rng: np.random.Generator, *, table: bool) -> None:
        self.thorax = thorax
        self._table = table
        self._outline = [Table(points) for points in (_WIDTH, _FRONT, _BACK)]
        self._contour = GrainField(rng, 42.0)
        self._planes = GrainField(rng, 24.0)
        self._bundles = GrainField(rng, 9.0)
        self._gland = GrainField(rng, 7.0)
        self._grain = GrainField(rng, 3.0)
        self._skeleton = Skeleton(thorax, rng)
        self._table_gap = rng.uniform(1, 4)
        self._stomach_size = rng.uniform(0.8, 1.25)

    def half_width(self) -> float:
        """Half width of the chest at the level of the carina, fat included, mm."""
        p = self.thorax.patient
        return float(self._outline[0](0.0)) * p.width + p.fat_mm

    def widest(self, z: float) -> float:
        """Half width of the body at a height, fat included, mm."""
        p = self.thorax.patient
        return float(self._outline[0](z / p.height)) * p.width + p.fat_mm

    def back(self) -> float:
        """How far the back reaches at the middle of the chest, LPS y in mm."""
        p = self.thorax.patient
        return float(self._outline[2](-60.0)) * p.depth + 0.6 * p.fat_mm

    def centre_y(self) -> float:
        """Middle of the body from front to back at the carina, mm."""
        p = self.thorax.patient
        return float(self._outline[1](-20.0) + self._outline[2](-20.0)) / 2 * p.depth

    def outline(self, x: FloatArray, y: FloatArray, z: float) -> FloatArray:
        """Signed distance to the skin, mm, positive inside."""
        p = self.thorax.patient
        width, front, back = (table(z / p.height) for table in self._outline)
        half_x = width * p.width + p.fat_mm
        front = front * p.depth - 0.9 * p.fat_mm
        back = back * p.depth + 0.6 * p.fat_mm
        centre, half_y = (front + back) / 2, (back - front) / 2
        dx, dy = x, y - centre
        bumps = 2.2 * self._contour.at(x, y, z)
        radius = np.sqrt(dx * dx + dy * dy) + 1e-3
        rho = (np.abs(dx / half_x) ** _OUTLINE_EXPONENT + np.abs(dy / half_y) ** _OUTLINE_EXPONENT) ** (
            1 / _OUTLINE_EXPONENT
        ) + 1e-6
        return radius * (1 / rho - 1) + bumps

    def skin(self, x: FloatArray, y: FloatArray, z: float) -> FloatArray:
        """Signed distance to the skin, breasts included, mm, positive inside."""
        return self._with_breasts(self.outline(x, y, z), x, y, z)

    def _with_breasts(self, outline: FloatArray, x: FloatArray, y: FloatArray, z: float) -> FloatArray:
        return np.maximum(outline, self._breasts(x, y, z)) if self.thorax.patient.breast > 0 else outline

    def _breasts(self, x: FloatArray, y: FloatArray, z: float) -> FloatArray:
        """Signed distance to the breasts, mm, positive inside."""
        p = self.thorax.patient
        front = float(self._outline[1](z / p.height)) * p.depth - 0.9 * p.fat_mm
        dz = (z + 62 * p.height) / (66 * p.height)
        # Towards its upper and lower end a breast sinks into the chest wall.
        size = max(1 - dz * dz, 0.05) ** 0.5
        sunk = 10 + 16 * (1 - size)
        shape = ellipse_distance(
            np.abs(x) - 80 * p.width, y - front - sunk, (44 + 22 * p.breast) * size, 36 * p.breast * size + 6
        )
        return shape if abs(dz) < 1 else np.full_like(shape, -50.0)

    def paint(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> FloatArray:
        """Paint a section of the body in place.

        Args:
            hu: float32 ``[j, i]``, air everywhere.
            x: row of LPS positions.
            y: column of LPS positions.
            z: height.
            pixel: width of a pixel, mm.

        Returns:
            Signed distance to the inner face of the rib cage, for those who need it again.
        """
        p = self.thorax.patient
        wall = self.thorax.wall(x, y, z)
        outline = self.outline(x, y, z)
        skin = self._with_breasts(outline, x, y, z)
        if self._table:
            self._paint_table(hu, x, y, pixel)
        paint(hu, SKIN_HU, cover(skin, pixel))
        paint(hu, FAT_HU + 6 * self._grain.at(x, y, z), cover(skin - 2.2, pixel))
        if p.breast > 0:
            gland = cover(skin - 9, 6.0) * cover(-outline + 2, 3.0) * smooth_step(self._gland.at(x, y, z), 0.0, 0.8)
            paint(hu, _GLAND_HU, gland)
        self._paint_muscle(hu, x, y, z, wall, outline, pixel)
        self._skeleton.paint(hu, x, y, z, wall, outline, pixel)
        inside = cover(wall, pixel)
        paint(hu, FAT_HU, inside)
        paint(hu, _HEART_HU + 3 * self._grain.at(x, y, z), cover(self.thorax.heart_distance(x, y, z), pixel) * inside)
        self._paint_abdomen(hu, x, y, z, inside, pixel)
        self._skeleton.paint_spine(hu, x, y, z, pixel)
        return wall

    def _paint_muscle(
        self,
        hu: FloatArray,
        x: FloatArray,
        y: FloatArray,
        z: float,
        wall: FloatArray,
        outline: FloatArray,
        pixel: float,
    ) -> None:
        p = self.thorax.patient
        # Fat lies thick in front and at the flanks, thin over the back's muscles.
        deep = 2.5 + p.fat_mm * (0.85 - 0.35 * smooth_step(y, 20, 100))
        depth = -wall + 6.0 * self._planes.at(x, y, z)
        sheets = np.abs(depth - 14.0), np.abs(depth - 25.0), np.abs(depth - 39.0)
        patches = self._bundles.at(x, y, z)
        fatty = smooth_step(1.5 - np.minimum.reduce(sheets), 0.0, 1.5) * smooth_step(-patches, -0.6, 0.3)
        bundles = smooth_step(patches, 0.9, 1.5) * smooth_step(-wall, 10, 16)
        thick = (22 + 46 * smooth_step(z, -30 * p.height, 80 * p.height) + 30 * smooth_step(y, 30, 90)) * p.muscle
        loose = smooth_step(-wall - thick, 0, 6)
        muscle = cover(outline - deep, pixel) * (1 - np.clip(0.9 * fatty + 0.8 * bundles + loose, 0, 1))
        paint(hu, MUSCLE_HU + 5 * self._grain.at(x, y, z), muscle)

    def _paint_abdomen(
        self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, inside: FloatArray, pixel: float
    ) -> None:
        p = self.thorax.patient
        under = (self.thorax.diaphragm(x, y) - z) * 0.75
        if under.max() < -pixel:
            return
        below = cover(under, pixel) * inside
        paint(hu, _DIAPHRAGM_HU, below)
        belly = below * cover(under - 3.0, pixel)
        paint(hu, FAT_HU, belly)
        dome = p.z_dome(1)
        grain = 4 * self._grain.at(x, y, z)
        # The left lobe of the liver tapers out in front of the stomach.
        back, front = np.maximum(y + 40, 0), np.maximum(-40 - y, 0)
        edge = 34 - 0.5 * back - 0.02 * front**2 + 0.35 * (z - dome) + 5 * self._planes.at(x, y, z)
        paint(hu, _LIVER_HU + grain, cover((edge - x) * 0.8, pixel) * belly)
        self._paint_ball(hu, x, y, z, belly, _Organ((88, 52, dome - 44), (50, 40, 72), _SPLEEN_HU), pixel)
        size = 56 * self._stomach_size
        organ = _Organ((68, -30, dome - 4 - size), (size, size * 1.1, size), _STOMACH_HU)
        stomach = self._paint_ball(hu, x, y, z, belly, organ, pixel)
        if p.gas_in_stomach and stomach is not None:
            level = cover(-30 - 0.2 * size - y, pixel)
            paint(hu, AIR_HU + 20, stomach * level * belly)

    def _paint_ball(
        self,
        hu: FloatArray,
        x: FloatArray,
        y: FloatArray,
        z: float,
        where: FloatArray,
        organ: _Organ,
        pixel: float,
    ) -> FloatArray | None:
        """Paint an organ; returns the share of its inside, or None in sections that miss it."""
        centre, axes = organ.centre, organ.axes
        square = 1 - ((z - centre[2]) / axes[2]) ** 2
        if square <= 0:
            return None
        size = square**0.5
        share = cover(ellipse_distance(x - centre[0], y - centre[1], axes[0] * size, axes[1] * size), pixel)
        paint(hu, organ.hu, share * where)
        lumen: FloatArray = cover(
            ellipse_distance(x - centre[0], y - centre[1], axes[0] * size, axes[1] * size) - 4, pixel
        )
        return lumen

    def _paint_table(self, hu: FloatArray, x: FloatArray, y: FloatArray, pixel: float) -> None:
        back = self.back() + self._table_gap
        top = back + 6 - 30 * (x / 220.0) ** 2
        bottom = back + 48 - 40 * (x / 220.0) ** 2
        across = cover(212 - np.abs(x), pixel)
        paint(hu, -870.0, cover(np.minimum(y - top, bottom - y), pixel) * across)
        for surface, value in ((top, -120.0), (bottom, -250.0)):
            paint(hu, value, cover(1.4 - np.abs(y - surface), pixel) * across)
        paint(hu, -850.0, cover(np.minimum(y - top + 5, top - y), pixel) * across * 0.6)
