"""A series with several images at one position: phases to choose from, or acquisitions that overlap slightly."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from COVIDQuantLib.ct.dicom.frames import Frame
from COVIDQuantLib.ct.dicom.series.outliers import double_slices, is_regular, left_out
from COVIDQuantLib.ct.volume import MIN_SLICES, CTWarning

# The marks of a frame that distinguish phases or reconstructions in one series, most reliable first.
_PHASE_KEYS = (
    "temporal position",
    "acquisition",
    "temporal offset",
    "cardiac phase",
    "kernel",
    "image type",
    "section thickness",
    "acquisition time",
    "stack",
    *(f"dimension {n}" for n in range(1, 6)),
)
# Parts of a scan acquired in several steps may share slices where they meet, at most this share of the smallest part.
_OVERLAP_KEYS = ("acquisition", "acquisition time")
_MAX_OVERLAP = 0.2


def split_phases(frames: Sequence[Frame]) -> list[tuple[str, list[Frame]]]:
    """The phases of a series that has several slices at each position: a name such as ``acquisition 2``, and slices.

    Returns:
        Several phases, or one without a name.
    """
    if double_slices(frames):
        for key in _PHASE_KEYS:
            groups = _grouped(frames, key)
            if len(groups) > 1 and all(len(g) >= MIN_SLICES and not double_slices(g) for g in groups.values()):
                return [(f"{key} {value or '?'}", groups[value]) for value in sorted(groups, key=_order)]
    return [("", list(frames))]


def join_acquisitions(frames: list[Frame]) -> tuple[list[Frame], list[CTWarning]]:
    """Drop slices that a later acquisition repeats, if they are few and all acquisitions then form one stack.

    Returns:
        The slices to read and what was left out; all slices and no warning if they are no overlapping acquisitions.
    """
    pairs = double_slices(frames)
    for key in _OVERLAP_KEYS if pairs else ():
        groups = _grouped(frames, key)
        order = {value: n for n, value in enumerate(sorted(groups, key=_order))}
        smallest = min(len(group) for group in groups.values())
        shared = len(pairs) / max(len(groups) - 1, 1)
        few = shared <= max(1.0, _MAX_OVERLAP * smallest) and smallest > 2 * shared
        if len(groups) < 2 or not few:
            continue
        if any(double_slices(group) for group in groups.values()):
            continue
        repeated = {max(pair, key=lambda n: (order[frames[n].marks[key]], n)) for pair in pairs}
        kept = [frame for n, frame in enumerate(frames) if n not in repeated]
        if is_regular(kept):
            odd = [frames[n] for n in sorted(repeated)]
            why = f"where {len(groups)} acquisitions of one scan overlap"
            return kept, [left_out(odd, why, "acquisitions-joined")]
    return frames, []


def _grouped(frames: Sequence[Frame], key: str) -> dict[str, list[Frame]]:
    groups: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[frame.marks.get(key, "")].append(frame)
    return groups


def _order(value: str) -> tuple[float, str]:
    try:
        number = float(value)
    except ValueError:
        return math.inf, value
    return (number if math.isfinite(number) else math.inf), value
