"""Checks of the lungs' extent: within the patient, within the chest, and to the edge of aerated lung."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG
from COVIDQuantLib.checks.evidence import DENSE_HU, Evidence
from COVIDQuantLib.checks.record import Measured
from COVIDQuantLib.checks.second_path import AERATED_HU as AERATED_LUNG_HU
from COVIDQuantLib.voxels.morphology import distance_to, on_both_sides

_LUNG = WHOLE_LUNG.name
# The pleural gap is thinner; heart and great vessels are deeper.
_APART_MM = 5.0
_WALL_MM = 15.0


def lobe_at_fault(evidence: Evidence, samples: np.ndarray) -> str:
    """The lobe that holds most of some samples; the whole lung if none does."""
    counts = np.bincount(evidence.lobes[samples], minlength=1 + len(LOBES))[1:]
    return LOBES[int(counts.argmax())].name if counts.any() else _LUNG


def outside_patient(evidence: Evidence) -> Iterator[Measured]:
    """Lung outside the patient, percent of the lungs."""
    yield from _outside(evidence, evidence.patient, "outside the patient (table, clothes, air beside the body)")


def outside_chest(evidence: Evidence) -> Iterator[Measured]:
    """Lung in the patient but outside the chest cavity, percent of the lungs."""
    inside = evidence.cavity | ~evidence.patient
    # A block on the cavity's edge is half inside.
    inside = ndimage.binary_dilation(inside)
    yield from _outside(evidence, inside, "outside the chest cavity (wall, shoulder, belly)")


def _outside(evidence: Evidence, inside: np.ndarray, words: str) -> Iterator[Measured]:
    share = evidence.lung_share * ~inside
    ml = float(share.sum()) * evidence.block_ml
    percent = evidence.percent_of_lung(ml)
    region = lobe_at_fault(evidence, evidence.on_samples(~inside)) if ml else _LUNG
    yield Measured(percent, f"{ml:.0f} mL of the lungs ({percent:.1f} %) are {words}", region, share)


def missed_air(evidence: Evidence) -> Iterator[Measured]:
    """Aerated lung by the second path that is in no lobe, percent of the lungs."""
    ml = float(np.count_nonzero(evidence.missed_air)) * evidence.ml
    percent = evidence.percent_of_lung(ml)
    text = f"{ml:.0f} mL of aerated lung ({percent:.1f} %) are left out"
    yield Measured(percent, text, _LUNG, evidence.shares(evidence.missed_air))


def dense_rim(evidence: Evidence) -> Iterator[Measured]:
    """Dense tissue without lesion in the outermost layer of the lungs, percent of the lungs."""
    rim = evidence.lung & ~ndimage.binary_erosion(evidence.lung, border_value=1)
    dense = rim & (evidence.hu > DENSE_HU) & ~evidence.lesions
    ml = float(np.count_nonzero(dense)) * evidence.ml
    percent = evidence.percent_of_lung(ml)
    text = f"the lungs' edge is in dense tissue: {ml:.0f} mL ({percent:.1f} %) of the outermost layer"
    yield Measured(percent, text, _LUNG, evidence.shares(dense))


def chest_gap(evidence: Evidence) -> Iterator[Measured]:
    """Dense tissue between the lungs and the chest wall, percent of the lungs: effusion, or lung left out."""
    spacing = evidence.grids.block_spacing
    lung = evidence.lung_share > 0.5
    at_wall = distance_to(~evidence.cavity, spacing) < _WALL_MM
    apart = distance_to(lung, spacing) > _APART_MM
    between = on_both_sides(lung, 0) | on_both_sides(lung, 1)
    gap = evidence.cavity & at_wall & apart & between & evidence.lateral & (evidence.block_hu > AERATED_LUNG_HU)
    ml = float(np.count_nonzero(gap)) * evidence.block_ml
    percent = evidence.percent_of_lung(ml)
    text = f"{ml:.0f} mL of dense tissue are between lungs and chest wall: effusion, or dense lung left out"
    yield Measured(percent, text, _LUNG, gap)
