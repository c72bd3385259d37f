"""Bounds of the patient and the chest for the checks."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.segmentation.patient.bounds import find_chest


class Bounds(Protocol):
    """The part that the checks use of :class:`COVIDQuantLib.segmentation.patient.bounds.ChestBounds`."""

    @property
    def patient(self) -> np.ndarray:
        """The patient, bool on a grid of blocks of the CT's voxels."""

    @property
    def cavity(self) -> np.ndarray:
        """Where in the patient lung can be, bool on the same grid."""

    @property
    def factors(self) -> tuple[int, int, int]:
        """CT voxels in a block along ``k, j, i``."""


def bounds_of(ct: CTVolume) -> Bounds:
    """The bounds of a canonical CT."""
    return find_chest(ct)
