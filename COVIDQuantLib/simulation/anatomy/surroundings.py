"""What a scanner sees around the body: table, couch, cushion, blanket, cables, arms, and streaks of contrast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from COVIDQuantLib.simulation.anatomy.arms import Arm
from COVIDQuantLib.simulation.anatomy.body import Body
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray, GrainField, capsule_distance, cover, paint
from COVIDQuantLib.simulation.phantom_settings import ARMS_DOWN, ARMS_UP, STREAKS

_FOAM_HU, _SHELL_HU, _BOARD_HU, _CUSHION_HU, _CLOTH_HU = -900.0, 40.0, -60.0, -930.0, -520.0
_ELECTRODE_HU, _LEAD_HU, _CONTRAST_HU = 900.0, 600.0, 1800.0
_SHELL_MM, _LEAD_MM = 1.6, 1.4
_TABLE_HALF, _COUCH_HALF, _COUCH_DEEP, _CUSHION_MM = 215.0, 265.0, 45.0, 14.0
# Height of the streaks' vein under the apices and its distance from the midline, mm.
_VEIN_UNDER, _VEIN_OUT, _VEIN_FRONT, _VEIN_MM = 6.0, 118.0, -42.0, 6.5
_LUNG_ROOM_MM, _CUT_SHARE = 5.0, 0.92
_RAYS, _RAY_HU, _RAY_REACH, _STREAKS_TALL = 11, 320.0, 60.0, 14.0


class Surroundings:
    """Paints one section of what is around a body; nothing of it changes the lungs.

    Args:
        names: which, of :data:`COVIDQuantLib.simulation.phantom_settings.SURROUNDINGS`.
        body: the body that it is around.
        rng: for shapes and places.
    """

    def __init__(self, names: tuple[str, ...], body: Body, rng: np.random.Generator) -> None:
        self._body = body
        self._streaks = STREAKS in names
        self._side = 1.0 if rng.random() < 0.5 else -1.0
        self._folds, self._lumps = GrainField(rng, 34.0), GrainField(rng, 13.0)
        self._layers = int(rng.integers(2, 4))
        self._leads = [(float(rng.uniform(-95, 95)), float(rng.uniform(-0.25, 0.25))) for _ in range(4)]
        self._electrodes = [float(rng.uniform(-60, 80)) for _ in self._leads]
        self._foam_mm = float(rng.uniform(26, 42))
        cushion = _CUSHION_MM if "cushion" in names else 0.0
        self._under = body.back() + 2.0
        self._board = self._under + cushion
        self._shell = self._board + (_COUCH_DEEP + 6.0 if "couch" in names else 4.0)
        arms: dict[str, tuple[float, ...]] = {ARMS_DOWN: (-self._side, self._side), ARMS_UP: (-self._side, self._side)}
        if ARMS_DOWN in names and ARMS_UP in names:
            arms = {ARMS_DOWN: (self._side,), ARMS_UP: (-self._side,)}
        self._arms = [Arm(body, side, up=name == ARMS_UP) for name in arms if name in names for side in arms[name]]
        painters: dict[str, Callable[[FloatArray, FloatArray, FloatArray, float, float], None]] = {
            "table": self._paint_table,
            "couch": self._paint_couch,
            "cushion": self._paint_cushion,
            "blanket": self._paint_blanket,
            "cables": self._paint_cables,
        }
        self._painters = [painter for name, painter in painters.items() if name in names]

    def paint_behind(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> None:
        """Paint all that is outside the skin into a section of air, in place; the body is painted over it.

        Args:
            hu: float32 ``[j, i]``.
            x: row of LPS positions, mm.
            y: column of LPS positions, mm.
            z: height, mm.
            pixel: width of a pixel, mm.
        """
        for painter in self._painters:
            painter(hu, x, y, z, pixel)
        for arm in self._arms:
            arm.paint(hu, x, y, z, pixel)

    def paint_streaks(
        self, hu: FloatArray, lungs: np.ndarray, x: FloatArray, y: FloatArray, z: float, pixel: float
    ) -> None:
        """Paint a vein full of contrast at a shoulder and its streaks into a finished section, not into the lungs."""
        tall = abs(z - self._body.thorax.patient.z_apex + _VEIN_UNDER)
        if not self._streaks or tall > _STREAKS_TALL:
            return
        dx, dy = x - self._side * _VEIN_OUT, y - _VEIN_FRONT
        away, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
        rays = np.sin(_RAYS * angle + 0.9 * z) + np.sin((2 * _RAYS + 1) * angle - 1.7 * z)
        rays = rays * _RAY_HU * np.exp(-away / _RAY_REACH) * (1 - tall / _STREAKS_TALL)
        tissue = (hu > -600) & ~lungs
        hu += np.where(tissue, rays, 0)
        paint(hu, _CONTRAST_HU, np.where(lungs, 0, cover(_VEIN_MM - away, pixel)))

    def _paint_table(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> None:
        """A curved shell with foam in it."""
        across = cover(_TABLE_HALF - np.abs(x), pixel)
        top = self._shell - 34 * (x / _TABLE_HALF) ** 2
        bottom = self._shell + self._foam_mm * (1 - (x / _TABLE_HALF) ** 2) - 34 * (x / _TABLE_HALF) ** 2 + 4
        paint(hu, _FOAM_HU + 12 * self._lumps.at(x, y, z), cover(np.minimum(y - top, bottom - y), pixel) * across)
        for surface in (top, bottom):
            paint(hu, _SHELL_HU, cover(_SHELL_MM - np.abs(y - surface), pixel) * across)

    def _paint_couch(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> None:
        """A flat board of foam in thin plates, air between it and the round back."""
        inside = np.minimum(np.minimum(y - self._board, self._board + _COUCH_DEEP - y), _COUCH_HALF - np.abs(x))
        paint(hu, _FOAM_HU - 40 + 8 * self._lumps.at(x, y, z), cover(inside, pixel))
        paint(hu, _BOARD_HU, cover(_SHELL_MM - np.abs(inside - _SHELL_MM), pixel))

    def _paint_cushion(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> None:
        """A soft mat that fills the room beside the back, with pockets of air."""
        front = self._under - 0.0016 * x**2 + 2 * self._folds.at(x, y, z)
        mat = np.minimum(np.minimum(y - front + 4, self._board - y), 190 - np.abs(x))
        lumps = _CUSHION_HU + 45 * self._lumps.at(x, y, z)
        paint(hu, np.maximum(lumps, -1000), cover(mat, pixel))
        paint(hu, _CLOTH_HU, 0.7 * cover(1.0 - np.abs(mat - 1.0), pixel))

    def _paint_blanket(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> None:
        """Layers of cloth over the chest and the flanks with air in their folds."""
        height = -self._body.skin(x, y, z)
        fold = 3 + 8 * np.abs(self._folds.at(x, y, z))
        draped = cover(self._under - 25 - y, 20.0)
        for layer in range(self._layers):
            gap = height - fold * (0.6 + 0.9 * layer) - 2.5 * layer
            paint(hu, _CLOTH_HU, draped * cover(1.5 - np.abs(gap), pixel))

    def _paint_cables(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> None:
        """Leads along the chest and electrodes on the skin."""
        skin = self._body.skin(x, y, z) > 0
        for (start, slope), level in zip(self._leads, self._electrodes, strict=True):
            at = start + slope * z
            column = int(np.abs(x[0] - at).argmin())
            if not skin[:, column].any():
                continue
            front = float(y[skin[:, column].argmax(), 0])
            paint(hu, _LEAD_HU, cover(_LEAD_MM - np.hypot(x - at, y - front + 4), pixel))
            if abs(z - level) < 8:
                plate = capsule_distance(x, y, (at - 8, front - 2), (at + 8, front - 2), 1.6)
                paint(hu, _ELECTRODE_HU, cover(np.minimum(plate, 8 - abs(z - level)), pixel))


def cut_circle_mm(lobes: np.ndarray, pixel_mm: float, half_width_mm: float) -> float:
    """Radius of a field of view that cuts the sides of the body, but not the lungs, mm.

    Args:
        lobes: labels ``[k, j, i]``.
        pixel_mm: width of a pixel.
        half_width_mm: of the body.
    """
    rows, columns = np.nonzero((lobes > 0).any(axis=0))
    middle = (np.array(lobes.shape[1:]) - 1) / 2
    away = np.hypot(rows - middle[0], columns - middle[1])
    return max(float(away.max(initial=0.0)) * pixel_mm + _LUNG_ROOM_MM, _CUT_SHARE * half_width_mm)
