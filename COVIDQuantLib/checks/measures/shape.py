"""Checks of shape: disconnected lobes, extensions into other lobes, holes, jumps between slices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG, labels_of_side
from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.checks.record import Measured
from COVIDQuantLib.voxels.morphology import Spacing, bounding_box, components, distance_to, erode, fill_slices

# A part attached by a neck thinner than twice this counts as separate.
_NECK_MM = 4.5
# Thinner than a neck everywhere and this far from the lobe's body.
_BLADE_MM = 9.0
# If this share of a part's surface within the lungs touches another lobe, it is inside that lobe, not beside it.
_ENCLOSED = 0.6
_ALL_AROUND = np.ones((3, 3, 3), bool)


def pieces(evidence: Evidence) -> Iterator[Measured]:
    """For each lobe, the volume not connected to its largest piece, mL."""
    for lobe in LOBES:
        all_of_it = evidence.lobe_shares[lobe.label]
        box = bounding_box(all_of_it > 0) or (slice(0, 1),) * 3
        share = all_of_it[box]
        # Any contact within a block connects, so separate parts are at least a block apart.
        labels, count = ndimage.label(share > 0, _ALL_AROUND)
        volumes = np.bincount(labels.ravel(), weights=share.ravel(), minlength=count + 1) * evidence.block_ml
        volumes[0] = 0.0
        largest = int(volumes.argmax())
        rest = float(volumes.sum() - volumes[largest])
        several = int(np.count_nonzero(volumes > 0.5))
        where = np.zeros_like(all_of_it)
        where[box] = share * ((labels != largest) & (labels > 0))
        yield Measured(
            rest, f"the {lobe.name} is in {several} pieces, {rest:.0f} mL of it disconnected", lobe.name, where
        )


def blades(evidence: Evidence) -> Iterator[Measured]:
    """For each lobe, the volume inside another lobe of its lung that is only thinly attached, mL."""
    for lobe in LOBES:
        others = [label for label in labels_of_side(lobe.side) if label != lobe.label]
        own = evidence.lobe_shares[lobe.label] >= 0.5
        box = bounding_box(own, (2, 2, 2))
        if box is None:
            continue
        other = np.sum([evidence.lobe_shares[label][box] for label in others], axis=0) >= 0.5
        astray = _astray(own[box], other, evidence.grids.block_spacing)
        ml = float(astray.sum()) * evidence.block_ml
        where = np.zeros(evidence.patient.shape, np.float32)
        where[box] = astray
        yield Measured(ml, f"{ml:.0f} mL of the {lobe.name} are within another lobe", lobe.name, where)


def _astray(own: np.ndarray, other: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The parts of a lobe outside its body that are enclosed by other lobes."""
    cores, counts = components(erode(own, _NECK_MM, spacing))
    if len(counts) < 2:
        return np.zeros_like(own)
    counts[0] = 0
    body = cores == counts.argmax()
    lesser = (cores > 0) & ~body
    to_body = distance_to(body, spacing)
    to_lesser = distance_to(lesser, spacing)
    # Beyond a neck the smaller core is nearer than the body; without a core the extension is thin and far away.
    apart = own & ((to_lesser < to_body) | ((to_body > _NECK_MM + _BLADE_MM) & (to_lesser > _NECK_MM + _BLADE_MM)))
    labels, sizes = components(apart)
    if len(sizes) < 2:
        return apart
    beside_other = _faces(labels, other, len(sizes))
    beside_none = _faces(labels, ~own & ~other, len(sizes))
    beside_own = _faces(labels, own & ~apart, len(sizes))
    total = np.maximum(beside_other + beside_none + beside_own, 1)
    enclosed = (beside_other > _ENCLOSED * total) & (sizes > 0)
    enclosed[0] = False
    return enclosed[labels]


def _faces(labels: np.ndarray, beside: np.ndarray, count: int) -> np.ndarray:
    """Per label the number of voxel faces that it shares with a mask."""
    faces = np.zeros(count, np.int64)
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        for one, two in ((low, high), (high, low)):
            touching = beside[tuple(two)]
            faces += np.bincount(labels[tuple(one)][touching], minlength=count)
    return faces


def holes(evidence: Evidence) -> Iterator[Measured]:
    """Volume in no lobe although lobes surround it in every direction, percent of the lungs."""
    lung = evidence.lung_share >= 0.5
    box = bounding_box(lung)
    where = np.zeros(lung.shape, bool)
    if box is not None:
        inner = lung[box]
        within = fill_slices(inner)
        within &= fill_slices(inner.transpose(1, 0, 2)).transpose(1, 0, 2)
        within &= fill_slices(inner.transpose(2, 0, 1)).transpose(1, 2, 0)
        where[box] = within & ~inner
    ml = float((where * (1 - evidence.lung_share)).sum()) * evidence.block_ml
    percent = evidence.percent_of_lung(ml)
    yield Measured(percent, f"holes of {ml:.0f} mL ({percent:.1f} %) in the lungs", WHOLE_LUNG.name, where)


def jumps(evidence: Evidence) -> Iterator[Measured]:
    """The largest step of the lungs' area from one slice to the next against both neighbours' trend, percent."""
    area = np.count_nonzero(evidence.lung, axis=(1, 2)).astype(float)
    if len(area) < 5 or not area.any():
        return
    step = np.abs(np.diff(area))
    beside = np.maximum(np.concatenate([[0.0], step[:-1]]), np.concatenate([step[1:], [0.0]]))
    excess = 100.0 * np.maximum(step - 1.5 * beside, 0.0) / area.max()
    k = int(excess.argmax())
    first, step_k = evidence.grids.steps[0] // 2, evidence.grids.steps[0]
    where = np.zeros(evidence.patient.shape, np.float32)
    at = min(k // evidence.grids.factors[0], len(where) - 1)
    where[at] = evidence.lung_share[at]
    text = f"the lungs' area jumps by {excess[k]:.0f} % at slice {first + step_k * k + 1}"
    yield Measured(float(excess[k]), text, WHOLE_LUNG.name, where)
