"""Checks of the networks' uncertainty: how the result would change with a stricter or looser threshold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LESION, WHOLE_LUNG
from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.checks.record import Measured
from COVIDQuantLib.segmentation.log_odds import OddsMap

# Log odds of a probability of 82 %; anything less is uncertain.
_SURE = 1.5


def lung_doubt(evidence: Evidence) -> Iterator[Measured]:
    """Uncertain lung by the networks' odds, percent of the lungs; mostly the width of the edge."""
    odds = evidence.odds.get("lungs")
    if odds is not None:
        percent, where = _doubtful(evidence, odds, np.abs(odds.log_odds()) < _SURE)
        yield Measured(
            percent, f"the networks are uncertain about {percent:.0f} % of the lungs", WHOLE_LUNG.name, where
        )


def lesion_doubt(evidence: Evidence) -> Iterator[Measured]:
    """Uncertain pneumonia by the networks' odds, percent of the lungs.

    Beyond the outlines only what a looser threshold would join to the pneumonia counts: apart from it, doubtful lung is
    no pneumonia at any threshold, as the networks drop doubtful pieces.
    """
    odds = evidence.odds.get("lesions")
    if odds is not None:
        values = odds.log_odds()
        joined, count = ndimage.label(values > -_SURE)
        with_lesion = np.zeros(count + 1, bool)
        with_lesion[joined[values > 0]] = True
        percent, where = _doubtful(evidence, odds, (np.abs(values) < _SURE) & with_lesion[joined])
        text = f"the extent may be {percent:.1f} points more or less, given the networks' uncertainty"
        yield Measured(percent, text, LESION.name, where)


def _doubtful(evidence: Evidence, odds: OddsMap, doubtful: np.ndarray) -> tuple[float, np.ndarray]:
    """Half of the volume between certain and excluded, percent of the lungs, and where on the blocks it is."""
    ml = float(np.count_nonzero(doubtful)) * float(np.prod(odds.step)) / 1000.0
    return evidence.percent_of_lung(ml / 2), _on_blocks(evidence, doubtful, odds)


def _on_blocks(evidence: Evidence, points: np.ndarray, odds: OddsMap) -> np.ndarray:
    """The nearest point of the network's lattice for each block."""
    places, inside = [], []
    for axis, count in enumerate(evidence.patient.shape):
        mm = evidence.grids.middles(axis, count) * evidence.grids.spacing[axis]
        nearest = np.rint((mm - odds.start[axis]) / odds.step[axis]).astype(int)
        places.append(np.clip(nearest, 0, points.shape[axis] - 1))
        inside.append(places[-1] == nearest)
    within = inside[0][:, None, None] & inside[1][:, None] & inside[2]
    return points[np.ix_(*places)] & within
