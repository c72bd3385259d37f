"""What became of each lesion between two exams: new, grown, shrunk, unchanged, resolved, merged, split.

The face-connected parts of both exams' lesions are matched through the registration. Two parts belong together where
at least ``LINK_SHARE`` of either lies in the other; what hangs together by such links is one record. Then, with volumes
as each exam has them (no volume is measured through the registration):

====================  ==============================================================================================
new                   no part in the baseline
resolved              no part in the follow-up
merged                several lesions in the baseline, one in the follow-up
split                 one in the baseline, several in the follow-up
merged and split      several in both: some flowed together while others came apart
unchanged             one in both, the follow-up's volume within a factor of ``UNCHANGED_RATIO`` of the baseline's
grown, shrunk         one in both, the follow-up's volume beyond that; or only a lower cut shows it in the baseline, or
                      in the follow-up
====================  ==============================================================================================

A lesion is a part of at least ``LESION_ML`` (a ball 10 mm across). Smaller parts down to ``CRUMB_ML`` are followed too,
so that a lesion that was a crumb before has *grown* and is not *new*, but they make no record of their own and no
*merged* or *split*: what stays below ``LESION_ML`` in both exams is counted as too small to follow. Nor is it a merger
that a large lesion takes in a satellite of less than ``MEMBER_SHARE`` of its volume: it has grown. Where an
exam brings its network's odds, what the other one shows is looked for at a lower cut as well (``lower_cut.py``).
Exchanging the exams exchanges new and resolved, grown and shrunk, merged and split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.followup.lesions.lower_cut import found_again
from COVIDQuantLib.followup.lesions.records import FateLimits, LesionFates, LesionPart, LesionRecord, fate_of
from COVIDQuantLib.followup.registration.exam_images import ExamImages, grid_of_box
from COVIDQuantLib.followup.registration.quality import moved_labels
from COVIDQuantLib.followup.registration.register import Registration
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.review.components import Component, find_components
from COVIDQuantLib.voxels.geometry import Geometry, Triple

# Parts are matched on voxels about this far apart.
_MATCH_MM = 2.0


def find_fates(
    baseline: ExamImages,
    followup: ExamImages,
    registration: Registration,
    limits: FateLimits | None = None,
    report: Report = silent,
) -> LesionFates:
    """Match the lesions of two exams and say what became of each.

    Args:
        baseline: the earlier exam.
        followup: the later one.
        registration: the map between them.
        limits: of the definitions; None for the documented ones.
        report: told the fraction done; may raise ``Cancelled``.
    """
    limits = limits or FateLimits()
    exams = (baseline, followup)
    own = [find_components(exam.lesions, exam.lobes, exam.geometry.spacing_kji, limits.crumb_ml) for exam in exams]
    parts = [[*found, *more] for found, more in zip(own, _found_again(exams, own, registration, limits), strict=True)]
    report(0.3)
    numbered = [_numbered(found, exam) for found, exam in zip(parts, exams, strict=True)]
    there = _shares(numbered[0], numbered[1], registration.to_followup)
    report(0.6)
    back = {(a, b): share for (b, a), share in _shares(numbered[1], numbered[0], registration.to_baseline).items()}
    report(0.9)
    shares = {pair: max(there.get(pair, 0.0), back.get(pair, 0.0)) for pair in {*there, *back}}
    linked = [pair for pair, share in shares.items() if share >= limits.link_share]
    groups = _groups(len(parts[0]), len(parts[1]), linked)
    records, too_small = [], 0
    for group in groups:
        own_ml = [
            sum(known[n].volume_ml for n in numbers if n < len(known))
            for numbers, known in zip(group, own, strict=True)
        ]
        old, new = (
            _telling(numbers, found, len(known), other_ml, limits)
            for numbers, found, known, other_ml in zip(group, parts, own, reversed(own_ml), strict=True)
        )
        sides = (
            tuple(_part(parts[0][a], baseline.geometry, at_lower_cut=a >= len(own[0])) for a in old),
            tuple(_part(parts[1][b], followup.geometry, at_lower_cut=b >= len(own[1])) for b in new),
        )
        if max(_own_ml(side) for side in sides) >= limits.lesion_ml:
            records.append(_record(sides, _overlap(old, new, parts, there, back), registration, limits))
        else:
            too_small += 1
    records.sort(key=lambda r: (-max(r.baseline_ml, r.followup_ml), r.baseline_centre_lps_mm))
    report(1.0)
    return LesionFates(tuple(replace(record, number=n) for n, record in enumerate(records, start=1)), limits, too_small)


def _found_again(
    exams: tuple[ExamImages, ExamImages],
    own: Sequence[Sequence[Component]],
    registration: Registration,
    limits: FateLimits,
) -> list[list[Component]]:
    """For each exam what only a lower cut shows, where the other exam shows a lesion."""
    lesions = [[part for part in found if part.volume_ml >= limits.lesion_ml] for found in own]
    seen = [_numbered(found, exam) for found, exam in zip(lesions, exams, strict=True)]
    return [
        found_again(exams[0], seen[1], registration.to_followup, limits),
        found_again(exams[1], seen[0], registration.to_baseline, limits),
    ]


def _telling(
    numbers: Sequence[int], found: Sequence[Component], own: int, other_ml: float, limits: FateLimits
) -> list[int]:
    """Of a lesion's parts in one exam those that tell what became of it, by their places in ``found``.

    Beside parts of the exam's own, the first ``own``, what a lower cut shows matters only if it is a lesion by itself;
    otherwise it would change volumes that the exam has. Alone it matters if it is a good part of the ``other_ml`` that
    the other exam has there: a few points above the lower cut are found in healthy lung, too.
    """
    if all(n >= own for n in numbers):
        enough = sum(found[n].volume_ml for n in numbers) >= limits.again_share * other_ml
        return list(numbers) if enough else []
    least = limits.least_member(found[n].volume_ml for n in numbers)
    return [n for n in numbers if n < own or found[n].volume_ml >= least]


def _own_ml(side: Sequence[LesionPart]) -> float:
    return sum(part.volume_ml for part in side if not part.at_lower_cut)


def _numbered(found: Sequence[Component], exam: ExamImages) -> tuple[np.ndarray, Geometry]:
    """The parts' numbers from 1 on every n-th voxel of the box that holds them all."""
    if not found:
        return np.zeros((1, 1, 1), np.int32), Geometry((1, 1, 1), (1.0, 1.0, 1.0))
    low = [min(part.box[axis].start for part in found) for axis in range(3)]
    high = [max(part.box[axis].stop for part in found) for axis in range(3)]
    numbers = np.zeros([b - a for a, b in zip(low, high, strict=True)], np.int32)
    for number, part in enumerate(found, start=1):
        box = tuple(slice(s.start - a, s.stop - a) for s, a in zip(part.box, low, strict=True))
        numbers[box][part.mask] = number
    # A part of a tenth of a millilitre still has a dozen voxels.
    steps = [max(1, int(_MATCH_MM / mm + 1e-6)) for mm in exam.geometry.spacing_kji]
    kept = numbers[tuple(slice(None, None, step) for step in steps)]
    whole = tuple(slice(a, b, step) for a, b, step in zip(low, high, steps, strict=True))
    return np.ascontiguousarray(kept), grid_of_box(exam.geometry, whole)


def _shares(
    own: tuple[np.ndarray, Geometry], other: tuple[np.ndarray, Geometry], transform: sitk.Transform
) -> dict[tuple[int, int], float]:
    """Share of each part (from 0) that lies in each part of the other exam; those that do not meet are left out."""
    numbers, geometry = own
    met = moved_labels(other[0], other[1], geometry, transform)
    both = numbers > 0
    sizes = np.bincount(numbers[both])
    pairs, counts = np.unique(np.stack([numbers[both], met[both]]), axis=1, return_counts=True)
    return {
        (int(a) - 1, int(b) - 1): float(count / sizes[a])
        for a, b, count in zip(pairs[0], pairs[1], counts, strict=True)
        if b
    }


def _groups(old: int, new: int, linked: Sequence[tuple[int, int]]) -> list[tuple[list[int], list[int]]]:
    """What hangs together by links: the numbers of its parts in the baseline and in the follow-up, each group once."""
    group_of = {("old", a): {("old", a)} for a in range(old)} | {("new", b): {("new", b)} for b in range(new)}
    for a, b in sorted(linked):
        one, other = group_of["old", a], group_of["new", b]
        if one is not other:
            one |= other
            for member in other:
                group_of[member] = one
    groups = {id(group): group for group in group_of.values()}.values()
    return [
        (sorted(n for side, n in group if side == "old"), sorted(n for side, n in group if side == "new"))
        for group in groups
    ]


def _part(component: Component, geometry: Geometry, *, at_lower_cut: bool) -> LesionPart:
    k, j, i = component.centroid_kji
    x, y, z = (float(v) for v in (geometry.index_to_lps @ (i, j, k, 1.0))[:3])
    lobe = component.lobes[0] if component.lobes else ""
    return LesionPart(component.id, component.volume_ml, lobe, (x, y, z), at_lower_cut)


def _overlap(
    old: Sequence[int],
    new: Sequence[int],
    parts: Sequence[Sequence[Component]],
    there: Mapping[tuple[int, int], float],
    back: Mapping[tuple[int, int], float],
) -> float:
    """Percent of the smaller side of a group that lies in the other side."""
    volumes = [sum(parts[side][n].volume_ml for n in group) for side, group in enumerate((old, new))]
    if not all(volumes):
        return 0.0
    common = (
        sum(there.get((a, b), 0.0) * parts[0][a].volume_ml for a in old for b in new),
        sum(back.get((a, b), 0.0) * parts[1][b].volume_ml for a in old for b in new),
    )
    smaller = 0 if volumes[0] <= volumes[1] else 1
    return 100.0 * min(1.0, common[smaller] / volumes[smaller])


def _record(
    sides: tuple[tuple[LesionPart, ...], tuple[LesionPart, ...]],
    overlap: float,
    registration: Registration,
    limits: FateLimits,
) -> LesionRecord:
    old, new = sides
    before = _middle(old) if old else _moved(_middle(new), registration.to_baseline)
    after = _middle(new) if new else _moved(_middle(old), registration.to_followup)
    return LesionRecord(0, fate_of(old, new, limits), old, new, before, after, overlap)


def _middle(side: Sequence[LesionPart]) -> Triple:
    x, y, z = np.average([p.centre_lps_mm for p in side], axis=0, weights=[p.volume_ml for p in side])
    return float(x), float(y), float(z)


def _moved(point: Triple, transform: sitk.Transform) -> Triple:
    x, y, z = transform.TransformPoint(point)
    return float(x), float(y), float(z)
