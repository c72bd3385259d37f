"""Checks of density: outside the lesions, the lungs must look like lung."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.checks.measures.containment import lobe_at_fault
from COVIDQuantLib.checks.record import Measured
from COVIDQuantLib.voxels.morphology import components, open_

_LUNG = WHOLE_LUNG.name
_SOFT_HU = -200
_AIR_HU = -970
# A lump survives an opening with a ball of this radius; vessels and fissures do not.
_LUMP_MM = 5.0
# More than this share of the blocks around emphysema are less dense than that; around gas within walls, at most 0.38.
_LUNG_HU, _EMPHYSEMA_SHARE = -800, 0.5


def lung_median(evidence: Evidence) -> Iterator[Measured]:
    """Median HU of the lungs outside the lesions."""
    values = evidence.hu[evidence.lung & ~evidence.lesions]
    if values.size:
        hu = float(np.median(values))
        yield Measured(hu, f"the lungs outside the pneumonia have a median of {hu:.0f} HU", _LUNG)


def lung_dense(evidence: Evidence) -> Iterator[Measured]:
    """Tissue denser than −200 HU in the lungs outside the lesions, percent of the lungs."""
    dense = evidence.lung & (evidence.hu > _SOFT_HU) & ~evidence.lesions
    ml = float(np.count_nonzero(dense)) * evidence.ml
    percent = evidence.percent_of_lung(ml)
    text = f"{ml:.0f} mL of the lungs ({percent:.1f} %) are as dense as soft tissue but not pneumonia"
    yield Measured(percent, text, _LUNG, evidence.shares(dense))


def lung_lump(evidence: Evidence) -> Iterator[Measured]:
    """Dense lumps in the lungs outside the lesions, mL."""
    dense = evidence.lung & (evidence.hu > _SOFT_HU) & ~evidence.lesions
    lumps = open_(evidence.shares(dense) >= 0.5, _LUMP_MM, evidence.grids.block_spacing)
    ml = float(np.count_nonzero(lumps)) * evidence.block_ml
    region = lobe_at_fault(evidence, evidence.on_samples(lumps)) if ml else _LUNG
    yield Measured(ml, f"{ml:.0f} mL in the lungs are dense lumps but not pneumonia", region, lumps)


def lung_air(evidence: Evidence) -> Iterator[Measured]:
    """Air less dense than all but the most emphysematous lung, percent of the lungs."""
    thin = evidence.lung & (evidence.hu < _AIR_HU)
    percent = 100.0 * float(np.count_nonzero(thin)) * evidence.ml / evidence.lung_ml
    text = f"{percent:.0f} % of the lungs are plain air (below {_AIR_HU} HU)".replace("-", "−")
    yield Measured(percent, text, _LUNG, evidence.shares(thin))


def gas_lump(evidence: Evidence) -> Iterator[Measured]:
    """Lumps of plain air in the lungs that the second method does not count as lung (trachea, stomach), mL.

    Emphysema passes into less empty lung, gas in trachea, gut or stomach ends at a wall.
    """
    gas, counts = components((evidence.block_hu < -940) & (evidence.lung_share > 0.5) & ~evidence.aerated)
    around = np.where(gas == 0, ndimage.maximum_filter(gas, 3), 0)
    beside = np.bincount(around.ravel(), minlength=len(counts))
    lung_beside = np.bincount(around[evidence.block_hu < _LUNG_HU], minlength=len(counts))
    walled = lung_beside < _EMPHYSEMA_SHARE * beside
    walled[0] = False
    lumps = walled[gas]
    ml = float(np.count_nonzero(lumps)) * evidence.block_ml
    region = lobe_at_fault(evidence, evidence.on_samples(lumps)) if ml else _LUNG
    yield Measured(ml, f"{ml:.0f} mL of the lungs look like gas in the trachea, gut or stomach", region, lumps)


def far_from_air(evidence: Evidence) -> Iterator[Measured]:
    """Dense lung, lesions included, further out than the hollows of aerated lung, percent of the lungs."""
    yield from _far(evidence, (evidence.lung_share > 0.5) & ~evidence.near_lung)


def far_in_the_middle(evidence: Evidence) -> Iterator[Measured]:
    """The same where consolidation does not occur: in the mediastinum and outside the chest, percent of the lungs."""
    beyond = (evidence.lung_share > 0.5) & ~evidence.near_lung
    yield from _far(evidence, beyond & ~(evidence.lateral & evidence.cavity))


def _far(evidence: Evidence, beyond: np.ndarray) -> Iterator[Measured]:
    ml = float((beyond * evidence.lung_share).sum()) * evidence.block_ml
    percent = evidence.percent_of_lung(ml)
    region = lobe_at_fault(evidence, evidence.on_samples(beyond)) if ml else _LUNG
    text = f"{ml:.0f} mL of the lungs ({percent:.1f} %) are dense and far from aerated lung"
    yield Measured(percent, text, region, beyond * evidence.lung_share)
