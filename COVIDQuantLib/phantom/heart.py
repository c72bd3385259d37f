"""The heart: a few ellipsoids melted together, in a fatty coat."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.phantom.fields import FloatArray
from COVIDQuantLib.phantom.patient import Patient

# Centre, half axes (mm, average adult) and turn in the axial plane (degrees): ventricles, right atrium, left atrium,
# outflow tract.
_CHAMBERS = (
    ((30.0, -32.0, -84.0), (58.0, 40.0, 38.0), 40.0),
    ((-18.0, -24.0, -78.0), (30.0, 32.0, 38.0), 0.0),
    ((4.0, 12.0, -50.0), (36.0, 19.0, 24.0), 0.0),
    ((10.0, -40.0, -52.0), (32.0, 26.0, 36.0), 20.0),
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
        self._low = min(place[2] - axes[2] for place, axes, _, _ in self._chambers)
        self._high = max(place[2] + axes[2] for place, axes, _, _ in self._chambers)

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Approximate signed distance to the muscle's outside, mm, positive inside."""
        if np.ndim(z) == 0 and not self._low - 40 < z < self._high + 40:
            return np.full(np.broadcast(x, y).shape, -40.0, np.float32)
        total: FloatArray = np.zeros(np.broadcast(x, y, z).shape, np.float32)
        for (cx, cy, cz), (a, b, c), cos, sin in self._chambers:
            dx, dy, dz = x - cx, y - cy, z - cz
            # The ventricles point to the left, front and down.
            along, across = cos * dx - sin * dy, sin * dx + cos * dy
            q = np.sqrt((along / a) ** 2 + (across / b) ** 2 + ((dz + 0.25 * along * sin) / c) ** 2)
            inside = (1 - q) * min(b, c)
            total = total + np.exp(np.clip(inside / _MELT, -12, 12))
        return _MELT * np.log(total + 1e-6)
