"""The lungs' edge at the CT's own voxels, where the CT numbers tell it better than a network at 2 mm (row H1).

A lung of four litres has some 2,500 cm² of surface: an edge wrong by a sixth of a millimetre is one per cent of the
volume. Where aerated lung borders on soft tissue the edge lies half way between their CT numbers, which is sharper than
what a network says between the points of its lattice. Where dense disease lies at the edge there is no such step: the
network's word stands, and what it is in doubt about counts as lung, since disease that is left out is lost to every
figure after it, and a voxel of wall too many is not.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Half way between aerated lung and soft tissue, and the change of CT number that counts as sure.
_HALF_WAY_HU, _SURE_HU = -450.0, 120.0
# Lung next to the edge must be at least so full of air for its CT number to say anything.
_AERATED_HU = -700
# What a sure CT number adds to the log odds of lung, and takes from them. It takes less: dense disease looks like wall.
_ADDED, _TAKEN = 3.0, 1.0
# Down to these log odds beside lung that is not aerated counts as lung.
_DOUBT = -0.7


def sharpen_lung_edge(labels: np.ndarray, odds: np.ndarray, lobes: np.ndarray, hu: np.ndarray) -> None:
    """Move the lungs' edge to where the CT numbers change, as far as the network is in doubt.

    Args:
        labels: uint8 ``[k, j, i]``, 0 outside the lungs; changed in place.
        odds: the network's log odds of lung on the same voxels, float.
        lobes: uint8, the likeliest lobe of each voxel whether or not it is lung.
        hu: CT numbers on the same voxels.
    """
    lung = labels > 0
    # Below 0 within a voxel of lung, 0 elsewhere.
    air = np.where(lung, np.minimum(hu, np.int16(-1)), np.int16(0)).astype(np.int16, copy=False)
    air = _least_around(air)
    doubtful = np.flatnonzero((odds > -_ADDED) & (odds <= _TAKEN) & (air < _AERATED_HU))
    says = np.clip((_HALF_WAY_HU - hu.ravel()[doubtful]) / _SURE_HU, -1.0, 1.0)
    says *= np.where(says > 0, _ADDED, _TAKEN)
    inside = odds.ravel()[doubtful] + says > 0
    # ``labels`` may be a part of a greater array, which ``ravel`` would copy.
    labels[np.unravel_index(doubtful, labels.shape)] = np.where(inside, lobes.ravel()[doubtful], 0)
    # A voxel further in: lung's last voxel is part wall, which is not disease.
    diseased = (odds > _DOUBT) & (_least_around(air) >= _AERATED_HU) & (air < 0) & ~lung
    np.copyto(labels, lobes, where=diseased)


def _least_around(values: np.ndarray) -> np.ndarray:
    """The least of each voxel and its 26 neighbours; 0 beyond the ends."""
    for axis in range(3):
        values = ndimage.minimum_filter1d(values, 3, axis=axis, mode="constant", cval=0)
    return values
