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
