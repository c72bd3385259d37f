"""The heart: a few ellipsoids melted together, in a fatty coat."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.phantom.fields import FloatArray
from COVIDQuantLib.phantom.patient import Patient

# Centre, half axes (mm, average adult) and turn in the axial plane (degrees): ventricles, right atrium, left atrium,
# outflow tract.
_CHAMBERS = (
    ((30.0, -34.0, -80.0), (60.0, 40.0, 42.0), 38.0),
    ((-20.0, -24.0, -72.0), (29.0, 32.0, 38.0), 0.0),
    ((4.0, 12.0, -46.0), (38.0, 20.0, 26.0), 0.0),
    ((12.0, -42.0, -48.0), (30.0, 26.0, 34.0), 20.0),
)
_MELT = 7.0


class Heart:
    """Implicit surface of the heart.

    Args:
        patient: sizes of chest and heart.
    """

    def __init__(self, patient: Patient) -> None:
        scale = np.array([patient.width, patient.depth, patient.height]) * (0.5 + 0.5 * patient.heart)
        self._chambers = []
        for centre, axes, turn in _CHAMBERS:
            place = np.array(centre) * (patient.width, patient.depth, patient.height)
            angle = np.deg2rad(turn)
            self._chambers.append((place, np.array(axes) * scale, float(np.cos(angle)), float(np.sin(angle))))
        self.centre = self._chambers[0][0]

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Approximate signed distance to the muscle's outside, mm, positive inside."""
        total: FloatArray = np.float32(0)
        for (cx, cy, cz), (a, b, c), cos, sin in self._chambers:
            dx, dy, dz = x - cx, y - cy, z - cz
            # The ventricles point to the left, front and down.
            along, across = cos * dx - sin * dy, sin * dx + cos * dy
            q = np.sqrt((along / a) ** 2 + (across / b) ** 2 + ((dz + 0.25 * along * sin) / c) ** 2)
            inside = (1 - q) * min(b, c)
            total = total + np.exp(np.clip(inside / _MELT, -12, 12))
        return _MELT * np.log(total + 1e-6)
