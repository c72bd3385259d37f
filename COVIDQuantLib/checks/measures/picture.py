"""Checks of the image: is it within the range that the methods were designed for?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.checks.record import Measured

# Air and patient are assessed if there is at least this share of each in the image.
_LEAST_SHARE = 0.03
_WHOLLY = 0.99
_FLESH_HU = (-250, 250)


def air_hu(evidence: Evidence) -> Iterator[Measured]:
    """Median HU of the air around the patient; −1000 if the scale is correct."""
    around = ~evidence.patient & (evidence.shares(evidence.measured) > _WHOLLY)
    values = evidence.block_hu[around]
    if values.size > _LEAST_SHARE * around.size:
        hu = float(np.median(values))
        yield Measured(hu, f"the air around the patient has {hu:.0f} HU, not −1000: the scale may be wrong")


def flesh_hu(evidence: Evidence) -> Iterator[Measured]:
    """Median HU of soft tissue and fat in the patient."""
    values = evidence.block_hu[evidence.patient]
    values = values[(values > _FLESH_HU[0]) & (values < _FLESH_HU[1])]
    if values.size > _LEAST_SHARE * evidence.patient.size:
        hu = float(np.median(values))
        yield Measured(hu, f"soft tissue has {hu:.0f} HU in this image: the scale may be wrong")


def body_width(evidence: Evidence) -> Iterator[Measured]:
    """Width of the patient where the lungs are, mm."""
    held = np.flatnonzero(evidence.lung_share.any(axis=(1, 2)))
    widths = np.count_nonzero(evidence.patient[held].any(axis=1), axis=1)
    if widths.any():
        mm = float(np.median(widths[widths > 0])) * evidence.grids.block_spacing[2]
        yield Measured(mm, f"the patient is {mm:.0f} mm wide, outside the range that the methods were designed for")


def spacing(evidence: Evidence) -> Iterator[Measured]:
    """The largest voxel spacing, mm."""
    mm = max(evidence.grids.spacing)
    yield Measured(mm, f"slices are {mm:.1f} mm apart, more than the methods were designed for")
