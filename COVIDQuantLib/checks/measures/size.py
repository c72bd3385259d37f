"""Checks of size and order: both lungs, the chest around them, and the lobes relative to each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import FISSURES, LOBES, OBLIQUE, SIDES, WHOLE_LUNG, labels_of_side
from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.checks.record import Measured
from COVIDQuantLib.voxels.morphology import on_both_sides

_MIN_LOBE_ML = 10.0


def lung_volume(evidence: Evidence) -> Iterator[Measured]:
    """Volume of the lungs, mL."""
    ml = evidence.lung_ml
    yield Measured(ml, f"the lungs measure {ml:.0f} mL", WHOLE_LUNG.name)


def left_share(evidence: Evidence) -> Iterator[Measured]:
    """The left lung's share of both, percent."""
    left = sum(evidence.lobe_ml[label] for label in labels_of_side("left"))
    percent = 100.0 * left / evidence.lung_ml
    side = "left lung" if percent < 45 else "right lung"
    yield Measured(percent, f"the left lung is {percent:.0f} % of both", side)


def heart_side(evidence: Evidence) -> Iterator[Measured]:
    """Share of the tissue between the lungs, at the heart's height, that lies on the left, percent.

    It is 50 or more unless the sides of the CT are exchanged, the organs are mirrored, or the heart is displaced.
    """
    lung = evidence.lung_share >= 0.5
    sections = np.flatnonzero(lung.any(axis=(1, 2)))
    if not len(sections):
        return
    low, high = (int(sections[0] + share * np.ptp(sections)) for share in _HEART_HEIGHT)
    lung = lung[low : high + 1]
    rows, columns = (np.flatnonzero(lung.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if not len(rows):
        return
    lung = lung[:, : int(rows[0] + _HEART_FRONT * np.ptp(rows))]
    i = np.arange(lung.shape[2])
    middle = (columns[0] + columns[-1]) / 2
    right, left = i < middle, i > middle
    both = (lung & right).any(axis=2, keepdims=True) & (lung & left).any(axis=2, keepdims=True)
    between = on_both_sides(lung, 2) & ~lung & both
    on_left, on_right = (float(np.count_nonzero(between & side)) for side in (left, right))
    if on_left + on_right:
        percent = 100.0 * on_left / (on_left + on_right)
        text = f"{percent:.0f} % of the heart's region is on the left: exchanged sides, or a heart on the right?"
        yield Measured(percent, text, WHOLE_LUNG.name)


# Share of the lungs' height, from below, and of their depth, from the front: the heart, above the domes.
_HEART_HEIGHT, _HEART_FRONT = (0.25, 0.6), 0.8


def lobe_share(evidence: Evidence) -> Iterator[Measured]:
    """Each lobe's share of its lung, as a ratio to the nearer end of the usual range (1 within it)."""
    for lobe in LOBES:
        side = sum(evidence.lobe_ml[label] for label in labels_of_side(lobe.side))
        share = 100.0 * evidence.lobe_ml[lobe.label] / max(side, 1e-6)
        low, high = _USUAL_SHARE[lobe.label]
        off = max(low - share, share - high, 0.0)
        text = f"the {lobe.name} is {share:.0f} % of its lung (usual {low:.0f} to {high:.0f} %)"
        yield Measured(off, text, lobe.name)


# Percent of its lung, by label; including lobes shrunk or enlarged by disease.
_USUAL_SHARE = {1: (18.0, 62.0), 2: (4.5, 32.0), 3: (18.0, 66.0), 4: (32.0, 78.0), 5: (22.0, 68.0)}


def lung_of_chest(evidence: Evidence) -> Iterator[Measured]:
    """The lungs' share of the chest cavity, percent."""
    cavity = float(np.count_nonzero(evidence.cavity)) * evidence.block_ml
    if cavity:
        percent = 100.0 * evidence.lung_ml / cavity
        yield Measured(percent, f"the lungs fill {percent:.0f} % of the chest cavity", WHOLE_LUNG.name)


# Which lobe's centre is on which side of another's: axis of ``[k, j, i]``, and the minimum distance, mm.
_ORDER = (
    *((f.above[0], f.below[0], 0, 1.0, "above") for f in sorted(FISSURES, key=lambda fissure: bool(fissure.ends_at))),
    *((f.above[-1], f.below[0], 1, -1.0, "in front of") for f in FISSURES if f.kind == OBLIQUE),
)


def lobe_order(evidence: Evidence) -> Iterator[Measured]:
    """Distance of a lobe's centre from another's in the expected direction, mm; negative on the wrong side."""
    middles = {
        label: np.array(ndimage.center_of_mass(share)) * evidence.grids.block_spacing
        for label, share in evidence.lobe_shares.items()
        if evidence.lobe_ml[label] > _MIN_LOBE_ML
    }
    names = {lobe.label: lobe.name for lobe in LOBES}
    for one, two, axis, sign, word in _ORDER:
        if one in middles and two in middles:
            mm = float(sign * (middles[one][axis] - middles[two][axis]))
            yield Measured(mm, f"the {names[one]} is not {word} the {names[two]} ({mm:.0f} mm)", names[one])
    sides = [[middles[label] for label in labels_of_side(side) if label in middles] for side in SIDES]
    if all(sides):
        right, left = (np.mean(side, axis=0)[2] for side in sides)
        mm = float(left - right)
        yield Measured(mm, f"the right lung is not on the right ({mm:.0f} mm)", "right lung")
