"""What truly became of each lesion of a made patient, counted voxel by voxel through the map that is known exactly.

Written apart from :mod:`COVIDQuantLib.followup`, which it is there to check, by the definitions that its documentation
gives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.simulation.anatomy.posture import Placement
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.voxels.geometry import Geometry

# The definitions of COVIDQuantLib.followup.lesions.fates.
_CRUMB_ML, _LESION_ML, _SHARE, _RATIO, _MEMBER = 0.1, 0.5, 0.1, 1.25, 0.1


@dataclass
class ExamLesions:
    """The connected parts of the lesions of one exam.

    Attributes:
        name: of the exam.
        parts: int32 ``[k, j, i]``, 0 outside; crumbs are left out.
        volumes: mL by the number of the part.
        lobes: name of the lobe that holds most of each part.
        centres: LPS mm of the middle of each part.
        geometry: the grid.
        placement: where its points lie in the patient at rest.
    """

    name: str
    parts: np.ndarray
    volumes: dict[int, float]
    lobes: dict[int, str]
    centres: dict[int, FloatArray]
    geometry: Geometry
    placement: Placement

    @classmethod
    def of(
        cls, name: str, lobes: np.ndarray, lesions: np.ndarray, geometry: Geometry, placement: Placement
    ) -> ExamLesions:
        """The parts of a lesion mask ``[k, j, i]`` in lobes (labels, same shape)."""
        parts, count = ndimage.label(lesions)
        volumes = np.bincount(parts.ravel(), minlength=count + 1) * geometry.voxel_volume_ml
        kept = [number for number in range(1, count + 1) if volumes[number] >= _CRUMB_ML]
        parts[~np.isin(parts, kept)] = 0
        exam = cls(name, parts, {n: float(volumes[n]) for n in kept}, {}, {}, geometry, placement)
        for number in kept:
            voxels = np.argwhere(parts == number)
            most = Counter(lobes[tuple(voxels.T)].tolist()).most_common(1)[0][0]
            exam.lobes[number] = next(lobe.name for lobe in LOBES if lobe.label == most)
            exam.centres[number] = exam.positions(voxels).mean(axis=0)
        return exam

    def positions(self, voxels: np.ndarray) -> FloatArray:
        """LPS mm of voxels ``[n, 3]`` (k, j, i)."""
        matrix = self.geometry.index_to_lps
        return voxels[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]

    def part_at(self, points: FloatArray) -> np.ndarray:
        """Number of the part at points (LPS mm ``[n, 3]``), 0 for none."""
        matrix = self.geometry.index_to_lps
        at = np.rint((points - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T).astype(int)[:, ::-1]
        inside = ((at >= 0) & (at < self.parts.shape)).all(axis=1)
        found = np.zeros(len(points), int)
        found[inside] = self.parts[tuple(at[inside].T)]
        return found

    def shares_in(self, other: ExamLesions) -> dict[tuple[int, int], float]:
        """Share of each part that lies in each part of another exam, by their numbers."""
        voxels = np.argwhere(self.parts)
        if not len(voxels):
            return {}
        own = self.parts[tuple(voxels.T)]
        rest = self.placement.to_rest(self.positions(voxels))
        met = Counter(zip(own.tolist(), other.part_at(other.placement.from_rest(rest)).tolist(), strict=True))
        sizes = Counter(own.tolist())
        return {(a, b): count / sizes[a] for (a, b), count in met.items() if b}


def true_fates(before: ExamLesions, after: ExamLesions) -> dict[str, Any]:
    """The lesions of two exams with what became of them, ready for JSON.

    Returns:
        ``since``, the name of the earlier exam; ``lesions``, a record each: its parts in both exams and its ``fate``;
        ``too_small_count``, how many are too small for one.
    """
    there, back = before.shares_in(after), after.shares_in(before)
    links = {
        (a, b)
        for a in before.volumes
        for b in after.volumes
        if max(there.get((a, b), 0.0), back.get((b, a), 0.0)) >= _SHARE
    }
    open_parts = {*((0, a) for a in before.volumes), *((1, b) for b in after.volumes)}
    records = []
    too_small = 0
    while open_parts:
        group = {min(open_parts)}
        while True:
            more = {end for a, b in links for end in ((0, a), (1, b)) if {(0, a), (1, b)} & group} - group
            if not more:
                break
            group |= more
        open_parts -= group
        sides = [sorted(n for side, n in group if side == which) for which in (0, 1)]
        record = _record(before, after, *sides)
        if record is None:
            too_small += 1
        else:
            records.append(record)
    return {"since": before.name, "lesions": records, "too_small_count": too_small}


def _record(before: ExamLesions, after: ExamLesions, old: list[int], new: list[int]) -> dict[str, Any] | None:
    sides = [[exam.volumes[n] for n in numbers] for exam, numbers in ((before, old), (after, new))]
    if max(sum(volumes) for volumes in sides) < _LESION_ML:
        return None
    return {
        "fate": _fate(*sides),
        "baseline": [_part(before, n) for n in old],
        "followup": [_part(after, n) for n in new],
        "baseline_ml": sum(sides[0]),
        "followup_ml": sum(sides[1]),
    }


def _part(exam: ExamLesions, number: int) -> dict[str, Any]:
    return {
        "volume_ml": exam.volumes[number],
        "lobe": exam.lobes[number],
        "centre_lps_mm": [float(c) for c in exam.centres[number]],
    }


def _fate(old: list[float], new: list[float]) -> str:
    if not old:
        return "new"
    if not new:
        return "resolved"
    several = [
        sum(volume >= _LESION_ML and volume >= _MEMBER * max(volumes) for volume in volumes) > 1
        for volumes in (old, new)
    ]
    if all(several):
        return "merged and split"
    if any(several):
        return "merged" if several[0] else "split"
    ratio = sum(new) / sum(old)
    if ratio > _RATIO:
        return "grown"
    return "shrunk" if ratio < 1 / _RATIO else "unchanged"
