"""A network's log odds on its own lattice, stored with the result as one byte per point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.voxels.geometry import Triple

_STEPS = 8.0
# Range of int8.
GREATEST = 127 / _STEPS


@dataclass(frozen=True)
class OddsMap:
    """Log odds on a lattice along the CT's canonical axes.

    Attributes:
        values: int8 ``[k, j, i]``, log odds in eighths, from −15.9 to 15.9.
        start: position of the first point along ``k, j, i``, millimetres from the CT's first voxel.
        step: distance of the points along ``k, j, i``, millimetres.
    """

    values: np.ndarray
    start: Triple
    step: Triple

    @classmethod
    def of(cls, log_odds: np.ndarray, start: Triple, step: Triple) -> OddsMap:
        """Convert log odds of any float type."""
        whole = np.rint(np.clip(log_odds, -GREATEST, GREATEST) * np.float32(_STEPS))
        return cls(whole.astype(np.int8), start, step)

    def log_odds(self) -> np.ndarray:
        """The log odds, float32 ``[k, j, i]``."""
        return self.values.astype(np.float32) / np.float32(_STEPS)

    def nearest(self, k_mm: np.ndarray, j_mm: np.ndarray, i_mm: np.ndarray) -> np.ndarray:
        """The log odds of the nearest points, float32 ``[k, j, i]``; the least there are beyond the lattice.

        Args:
            k_mm: positions along the first axis, millimetres from the CT's first voxel.
            j_mm: along the second.
            i_mm: along the third.
        """
        found = self.values
        for axis, places in enumerate((k_mm, j_mm, i_mm)):
            index = np.rint((places - self.start[axis]) / self.step[axis]).astype(int)
            inside = (index >= 0) & (index < self.values.shape[axis])
            found = found.take(np.where(inside, index, 0), axis=axis)
            shape = [-1 if other == axis else 1 for other in range(3)]
            found = np.where(inside.reshape(shape), found, np.int8(-127))
        return found.astype(np.float32) / np.float32(_STEPS)
