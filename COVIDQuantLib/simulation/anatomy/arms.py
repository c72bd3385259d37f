"""An arm of the phantom, down at the side or raised from the shoulder."""

from __future__ import annotations

from COVIDQuantLib.simulation.anatomy.body import FAT_HU, MUSCLE_HU, SKIN_HU, Body
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray, cover, ellipse_distance, paint

_BONE_HU, _MARROW_HU = 1150.0, 10.0
_BONE_MM, _MARROW_MM, _SKIN_MM = 11.0, 6.0, 2.0
_ARM_MM, _GAP_MM = 38.0, 5.0
# A raised arm is seen from here up, an arm that hangs from here down, mm over the carina for an average adult.
_RAISED_FROM, _HANGS_FROM = 52.0, 62.0


class Arm:
    """An arm beside the body, cut across; the elbow's side hangs a little out and back.

    Args:
        body: whose arm.
        side: −1 right, 1 left.
        up: raised, or else down.
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
        paint(hu, SKIN_HU, cover(depth, pixel))
        paint(hu, FAT_HU, cover(depth - _SKIN_MM, pixel))
        paint(hu, MUSCLE_HU, cover(depth - _SKIN_MM - self._fat, pixel))
        for value, radius in ((_BONE_HU, _BONE_MM), (_MARROW_HU, _MARROW_MM)):
            paint(hu, value, cover(ellipse_distance(dx, dy, radius, radius), pixel))
