"""An arm of the phantom, down at the side or raised from the shoulder."""

from __future__ import annotations

from COVIDQuantLib.simulation.anatomy.body import Body
from COVIDQuantLib.simulation.anatomy.tissue_hu import FAT_HU, FATTY_MARROW_HU, LONG_BONE_HU, MUSCLE_HU, SKIN_HU
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.fields.shapes import cover, ellipse_distance, paint, paint_layers

_BONE_MM, _MARROW_MM, _SKIN_MM = 11.0, 6.0, 2.0
_ARM_MM, _GAP_MM = 38.0, 5.0
# Height above which a raised arm appears, and below which a hanging one does: mm above the carina, average adult.
_RAISED_FROM, _HANGS_FROM = 52.0, 62.0


class Arm:
    """An arm beside the body in cross-section; away from the shoulder it slants outwards and, hanging, backwards.

    Args:
        body: whose arm.
        side: −1 right, 1 left.
        up: raised; otherwise down at the side.
    """

    def __init__(self, body: Body, side: float, *, up: bool) -> None:
        patient = body.thorax.patient
        self._side, self._up = side, up
        self._height = patient.height
        self._fat = 3.0 + 0.4 * patient.fat_mm
        self._half = _ARM_MM * patient.width * (0.85 + 0.02 * patient.fat_mm)
        self._out = (body.widest(58.0 * patient.height) if up else body.half_width()) + _GAP_MM + self._half
        self._centre_y = body.centre_y() + (-14.0 if up else 10.0)

    def paint(self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, pixel: float) -> None:
        """Paint its section in place.

        Args:
            hu: float32 ``[j, i]``.
            x: row of LPS positions, mm.
            y: column of LPS positions, mm.
            z: height, mm.
            pixel: width of a pixel, mm.
        """
        beyond = z - _RAISED_FROM * self._height if self._up else _HANGS_FROM * self._height - z
        if beyond < 0:
            return
        lean = 0.10 * beyond
        dx, dy = x - self._side * (self._out + lean), y - self._centre_y - (0 if self._up else 0.5 * lean)
        depth = ellipse_distance(dx, dy, self._half, 1.15 * self._half)
        muscle_mm = _SKIN_MM + self._fat
        paint_layers(hu, depth, ((0.0, SKIN_HU), (_SKIN_MM, FAT_HU), (muscle_mm, MUSCLE_HU)), pixel)
        for value, radius in ((LONG_BONE_HU, _BONE_MM), (FATTY_MARROW_HU, _MARROW_MM)):
            paint(hu, value, cover(ellipse_distance(dx, dy, radius, radius), pixel))
