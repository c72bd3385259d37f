"""Checks of the pneumonia: position, density, and similar tissue that was left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from COVIDQuantLib.anatomy import LESION
from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.checks.record import Measured
from COVIDQuantLib.voxels.morphology import distance_to, open_

_NAME = LESION.name
_LEAST_ML = 2.0
# Below this density it is not pneumonia; above this it is bone, metal or contrast medium.
_EMPTY_HU = -800
_BRIGHT_HU = 120
_SOFT_HU = -200
_LUMP_MM = 6.0
_CLOUDED_HU = (-700.0, -250.0)
_STANDS_OUT_HU = 150.0
_EVENLY = 0.6
_EDGE_MM = 6.0
_CLOUD_MM = 4.5
# Blocks as thick as this hold lung and vessel together.
_THICK_MM = 5.5


def extent(evidence: Evidence) -> Iterator[Measured]:
    """The pneumonia's share of the lungs, percent."""
    percent = evidence.percent_of_lung(float(np.count_nonzero(evidence.lesions & evidence.lung)) * evidence.ml)
    yield Measured(percent, f"the pneumonia fills {percent:.0f} % of the lungs", _NAME, None)


def outside_lobes(evidence: Evidence) -> Iterator[Measured]:
    """Pneumonia outside every lobe, percent of the lungs."""
    astray = evidence.lesions & ~evidence.lung
    ml = float(np.count_nonzero(astray)) * evidence.ml
    percent = evidence.percent_of_lung(ml)
    yield Measured(percent, f"{ml:.0f} mL of the pneumonia are outside every lobe", _NAME, evidence.shares(astray))


def empty_share(evidence: Evidence) -> Iterator[Measured]:
    """Tissue with the density of healthy lung within the pneumonia, percent of the lungs."""
    thin = evidence.lesions & evidence.lung & (evidence.hu < _EMPTY_HU)
    ml = float(np.count_nonzero(thin)) * evidence.ml
    share = 100.0 * ml / max(evidence.lesion_ml, 1e-6)
    text = f"{ml:.0f} mL of the pneumonia ({share:.0f} % of it) have the density of healthy lung"
    yield Measured(evidence.percent_of_lung(ml), text, _NAME, evidence.shares(thin))


def lesion_median(evidence: Evidence) -> Iterator[Measured]:
    """Median HU of the pneumonia."""
    if evidence.lesion_ml >= _LEAST_ML:
        hu = float(np.median(evidence.lesion_hu))
        yield Measured(hu, f"the pneumonia has a median of {hu:.0f} HU", _NAME, evidence.shares(evidence.lesions))


def bright_share(evidence: Evidence) -> Iterator[Measured]:
    """Bone or contrast medium within the pneumonia, percent of the lungs."""
    # By the mean of blocks: noise makes single voxels of a consolidation as bright.
    bright = (evidence.shares(evidence.lesions) > 0.5) & (evidence.block_hu > _BRIGHT_HU)
    ml = float(np.count_nonzero(bright)) * evidence.block_ml
    text = f"{ml:.0f} mL of the pneumonia are as bright as bone or vessels with contrast medium"
    yield Measured(evidence.percent_of_lung(ml), text, _NAME, bright)


def dense_lump(evidence: Evidence) -> Iterator[Measured]:
    """Dense lumps of pneumonia in mediastinum or wall, outside the hollows of aerated lung, percent of the lungs."""
    dense = evidence.lesions & (evidence.hu > _SOFT_HU)
    lumps = open_(evidence.shares(dense) >= 0.5, _LUMP_MM, evidence.grids.block_spacing)
    lumps &= ~evidence.closed_lung & ~(evidence.lateral & evidence.cavity)
    ml = float(np.count_nonzero(lumps)) * evidence.block_ml
    text = f"dense lumps of pneumonia extend {ml:.0f} mL into wall, heart or vessels"
    yield Measured(evidence.percent_of_lung(ml), text, _NAME, lumps)


def clouded_left_out(evidence: Evidence) -> Iterator[Measured]:
    """Lumps of opaque lung not marked as pneumonia, percent of the lungs."""
    if max(evidence.grids.block_spacing) > _THICK_MM:
        return
    healthy = evidence.lung & ~evidence.lesions
    values = evidence.hu[healthy]
    # In expiration all of the lung is denser, so only lung denser than the rest counts as opaque.
    lowest = max(_CLOUDED_HU[0], (float(np.median(values)) if values.size else 0.0) + _STANDS_OUT_HU)
    clouded = healthy & (evidence.hu > lowest) & (evidence.hu < _CLOUDED_HU[1])
    # Blocks beside a vessel or at the lungs' edge contain both.
    depth = distance_to(evidence.lung_share < 0.5, evidence.grids.block_spacing)
    evenly = (evidence.shares(clouded) > _EVENLY) & (depth > _EDGE_MM)
    lumps = open_(evenly, _CLOUD_MM, evidence.grids.block_spacing)
    ml = float(np.count_nonzero(lumps)) * evidence.block_ml
    text = f"{ml:.0f} mL of opaque lung are not marked as pneumonia"
    yield Measured(evidence.percent_of_lung(ml), text, _NAME, lumps)
