"""Zones of the lungs that are no unions of lobes: a shell under the pleura, thirds by height ...

A zone is a part of the CT worked out from the lobes, and cuts across them. The histogram counts the same labels within
each zone once more, so that a region is any labels within any zone: a new one is a :class:`Zone` here and regions of
it in ``anatomy.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.voxels.geometry import Geometry


@dataclass(frozen=True)
class Zone:
    """A part of the CT.

    Attributes:
        name: what regions call it by.
        mask: of lobes (label values 0..5, ``[k, j, i]`` on the CT's own grid) and their grid to bool, the same shape.
    """

    name: str
    mask: Callable[[np.ndarray, Geometry], np.ndarray]


ZONES: tuple[Zone, ...] = ()


def zone_masks(lobes: np.ndarray, geometry: Geometry) -> dict[str, np.ndarray]:
    """Every zone of a CT by name.

    Args:
        lobes: label values 0..5, ``[k, j, i]``.
        geometry: of their grid.
    """
    return {zone.name: zone.mask(lobes, geometry) for zone in ZONES}
