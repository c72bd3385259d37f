"""Checks of the picture: is it like those that the methods were made for?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.checks.record import Measured

# Air and patient are judged where there is this much of each, as a share of the picture.
_LEAST_SHARE = 0.03
_WHOLLY = 0.99
_FLESH_HU = (-250, 250)


def air_hu(evidence: Evidence) -> Iterator[Measured]:
    """Median HU of the air around the patient; −1000 where the scale is right."""
    around = ~evidence.patient & (evidence.shares(evidence.measured) > _WHOLLY)
    values = evidence.block_hu[around]
    if values.size > _LEAST_SHARE * around.size:
        hu = float(np.median(values))
        yield Measured(hu, f"the air around the patient has {hu:.0f} HU, not −1000: the scale may be wrong")


def flesh_hu(evidence: Evidence) -> Iterator[Measured]:
    """Median HU of flesh and fat in the patient."""
    values = evidence.block_hu[evidence.patient]
    values = values[(values > _FLESH_HU[0]) & (values < _FLESH_HU[1])]
    if values.size > _LEAST_SHARE * evidence.patient.size:
        hu = float(np.median(values))
        yield Measured(hu, f"flesh has {hu:.0f} HU in this picture: the scale may be wrong")


def body_width(evidence: Evidence) -> Iterator[Measured]:
    """Width of the patient where the lungs are, mm."""
    held = np.flatnonzero(evidence.lung_share.any(axis=(1, 2)))
    widths = np.count_nonzero(evidence.patient[held].any(axis=1), axis=1)
    if widths.any():
        mm = float(np.median(widths[widths > 0])) * evidence.grids.block_spacing[2]
        yield Measured(mm, f"the patient is {mm:.0f} mm wide, unlike those that the methods were made for")


def spacing(evidence: Evidence) -> Iterator[Measured]:
    """The greatest distance of voxels, mm."""
    mm = max(evidence.grids.spacing)
    yield Measured(mm, f"slices lie {mm:.1f} mm apart, further than those that the methods were made for")
