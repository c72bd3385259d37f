"""The heart: a few ellipsoids melted together, in a fatty coat."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.simulation.anatomy.patient import Patient
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray

# Centre, half axes (mm, average adult) and turn in the axial plane (degrees): ventricles, right atrium, left atrium,
# outflow tract.
_CHAMBERS = (
    ((33.0, -32.0, -84.0), (61.0, 42.0, 39.0), 39.0),
    ((-18.0, -24.0, -78.0), (30.0, 32.0, 38.0), 0.0),
    ((4.0, 12.0, -50.0), (36.0, 19.0, 24.0), 0.0),
    ((10.0, -40.0, -52.0), (32.0, 26.0, 36.0), 20.0),
)
_MELT = 7.0
_FAR_MM = 30.0


class Heart:
    """Implicit surface of the heart.

    Args:
        patient: sizes of chest and heart.
    """

    def __init__(self, patient: Patient) -> None:
        scale = np.array([patient.width, patient.depth, patient.height]) * (0.5 + 0.5 * patient.heart)
        self._chambers: list[tuple[FloatArray, FloatArray, float, float]] = []
        for centre, axes, turn in _CHAMBERS:
            place = np.array(centre) * (patient.width, patient.depth, patient.height)
            angle = np.deg2rad(turn)
            self._chambers.append((place, np.array(axes) * scale, float(np.cos(angle)), float(np.sin(angle))))
        self.centre = self._chambers[0][0]
        self._low = np.min([place - max(axes) for place, axes, _, _ in self._chambers], axis=0)
        self._high = np.max([place + max(axes) for place, axes, _, _ in self._chambers], axis=0)

    def distance(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Approximate signed distance to the muscle's outside, mm, positive inside."""
        if np.ndim(z) == 0 and x.shape[0] == 1 and y.shape[1:] == (1,):
            return self._section(x, y, float(z))
        return self._melted(x, y, z)

    def _section(self, x: FloatArray, y: FloatArray, z: float) -> FloatArray:
        """A section, worked out only about the heart; ``-_FAR_MM`` or less elsewhere."""
        result = np.full(np.broadcast(x, y).shape, -_FAR_MM, np.float32)
        low, high = self._low - _FAR_MM, self._high + _FAR_MM
        columns = np.flatnonzero((x[0] > low[0]) & (x[0] < high[0]))
        rows = np.flatnonzero((y[:, 0] > low[1]) & (y[:, 0] < high[1]))
        if columns.size and rows.size and low[2] < z < high[2]:
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            result[box] = self._melted(x[:, box[1]], y[box[0]], z)
        return result

    def _melted(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        total: FloatArray = np.zeros(np.broadcast(x, y, z).shape, np.float32)
        for (cx, cy, cz), (a, b, c), cos, sin in self._chambers:
            dx, dy, dz = x - cx, y - cy, z - cz
            # The ventricles point to the left, front and down.
            along, across = cos * dx - sin * dy, sin * dx + cos * dy
            q = np.sqrt((along / a) ** 2 + (across / b) ** 2 + ((dz + 0.25 * along * sin) / c) ** 2)
            inside = (1 - q) * min(b, c)
            total = total + np.exp(np.clip(inside / _MELT, -12, 12))
        return _MELT * np.log(total + 1e-6)
