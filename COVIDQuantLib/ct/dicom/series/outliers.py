"""Set aside single images that keep a series from being one regular stack, with a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from COVIDQuantLib.ct.blank_slices import is_blank
from COVIDQuantLib.ct.dicom.frames import Frame
from COVIDQuantLib.ct.dicom.pixels import peek
from COVIDQuantLib.ct.dicom.series.stack import (
    MISSING_SLICE,
    ORIENTATION_TOLERANCE,
    SAME_POSITION,
    Stack,
    stack_frames,
)
from COVIDQuantLib.ct.hu_normalisation import HUBuffer
from COVIDQuantLib.ct.volume import MIN_SLICES, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

# Number of outliers named in the message; and the largest share of a series that can count as outliers.
_TOLD = 3
_MAX_ODD_SHARE = 0.2


def is_regular(frames: Sequence[Frame]) -> bool:
    """Whether slices form one regular grid."""
    try:
        stack_frames(frames, "")
    except UnfitInputError:
        return False
    return True


def settle(frames: list[Frame]) -> tuple[list[Frame], list[CTWarning]]:
    """Set single outliers aside if what remains is regular.

    Outliers are: a slice of another grid or direction than nearly all others, or without a position; a slice that
    repeats another's pixels and position; a first or last slice at another distance than all others.

    Returns:
        The slices to read and what was left out; all slices and no warning if that would not help.
    """
    if not frames or is_regular(frames):
        return frames, []
    kept, warnings = frames, []
    steps: tuple[Callable[[list[Frame]], tuple[list[Frame], list[CTWarning]]], ...] = (
        _without_strangers,
        _without_twins,
        _without_odd_ends,
    )
    for step in steps:
        kept, notice = step(kept)
        warnings += notice
        if notice and is_regular(kept):
            return kept, warnings
    return frames, []


def left_out(frames: Sequence[Frame], why: str, code: str = "odd-slices") -> CTWarning:
    """The warning that names images which are not read."""
    names = ", ".join(frame.name for frame in frames[:_TOLD]) + (" …" if len(frames) > _TOLD else "")
    count = f"{len(frames)} picture{'s' * (len(frames) > 1)}"
    return CTWarning(code, f"{count} of the series left out ({why}): {names}.")


def are_few(odd: Sequence[Frame], others: Sequence[Frame]) -> bool:
    """Whether outliers are few among enough others for a series."""
    return len(others) >= MIN_SLICES and len(odd) <= max(1.0, _MAX_ODD_SHARE * len(others))


def _without_strangers(frames: list[Frame]) -> tuple[list[Frame], list[CTWarning]]:
    placed = [frame for frame in frames if _is_placed(frame)]
    if not placed:
        return frames, []
    common = Counter(_rounded(frame) for frame in placed).most_common(1)[0][0]
    first = next(frame for frame in placed if _rounded(frame) == common)
    odd = [frame for frame in frames if not _is_placed(frame) or not _is_alike(frame, first)]
    kept = [frame for frame in frames if frame not in odd]
    if not odd or not are_few(odd, kept):
        return frames, []
    return kept, [left_out(odd, "of another direction or grid than the others, or without a position")]


def _is_placed(frame: Frame) -> bool:
    return frame.position is not None and frame.orientation is not None and frame.spacing is not None


def _rounded(frame: Frame) -> tuple[object, ...]:
    orientation = () if frame.orientation is None else tuple(frame.orientation)
    return frame.matrix, str(np.round(orientation, 1) + 0.0), str(np.round(frame.spacing or (), 2))


def _is_alike(frame: Frame, other: Frame) -> bool:
    if frame.orientation is None or other.orientation is None or frame.spacing is None or other.spacing is None:
        return False
    turned = np.abs(frame.orientation - other.orientation).max() > ORIENTATION_TOLERANCE
    return frame.matrix == other.matrix and not turned and np.allclose(frame.spacing, other.spacing, rtol=1e-3)


def along_normal(frames: Sequence[Frame]) -> np.ndarray | None:
    """Position of each slice along the first one's normal, millimetres; None if one is missing."""
    first = frames[0].orientation if frames else None
    positions = [frame.position for frame in frames if frame.position is not None]
    if first is None or len(positions) < len(frames):
        return None
    return np.array(positions) @ np.cross(first[:3], first[3:])


def double_slices(frames: Sequence[Frame]) -> list[tuple[int, int]]:
    """Pairs of slices (their numbers in ``frames``) that are next to each other at the same position."""
    along = along_normal(frames)
    if along is None or len(along) < 2:
        return []
    order = np.argsort(along, kind="stable")
    intervals = np.diff(along[order])
    distinct = intervals[intervals > 1e-3]
    limit = SAME_POSITION * float(np.median(distinct)) if distinct.size else np.inf
    return [(int(order[n]), int(order[n + 1])) for n in np.flatnonzero(intervals < limit)]


def _without_twins(frames: list[Frame]) -> tuple[list[Frame], list[CTWarning]]:
    twins: set[int] = set()
    for one, other in double_slices(frames):
        first, second = min(one, other), max(one, other)
        try:
            same = np.array_equal(*peek([frames[first], frames[second]]))
        except (UnfitInputError, ValueError):
            same = False
        if not same:
            return frames, []
        twins.add(second)
    if not twins:
        return frames, []
    notice = left_out([frames[n] for n in sorted(twins)], "with the pixels and position of another", "twin-slices")
    return [frame for n, frame in enumerate(frames) if n not in twins], [notice]


def _without_odd_ends(frames: list[Frame]) -> tuple[list[Frame], list[CTWarning]]:
    along = along_normal(frames)
    if along is None or len(frames) <= MIN_SLICES:
        return frames, []
    order = np.argsort(along, kind="stable")
    intervals = np.diff(along[order])
    # A wide interval means a missing slice; the end beyond it may hold lung.
    if intervals.max() > MISSING_SLICE * np.median(intervals):
        return frames, []
    for ends in ([order[-1]], [order[0]], [order[0], order[-1]]):
        kept = [frame for n, frame in enumerate(frames) if n not in ends]
        if is_regular(kept):
            odd = [frames[int(n)] for n in ends]
            return kept, [left_out(odd, "at the end and at another distance than all others", "odd-end-slice")]
    return frames, []


def without_blank_ends(stack: Stack, buffer: HUBuffer) -> tuple[Stack, list[CTWarning]]:
    """Remove slices of a single value, or of padding alone, from the ends of a CT.

    Args:
        stack: the slices.
        buffer: their values; cut as the stack is.
    """
    padding = buffer.padding
    blank = np.array([is_blank(hu, None if padding is None else padding[k]) for k, hu in enumerate(buffer.hu)])
    filled = np.flatnonzero(~blank)
    if len(filled) < MIN_SLICES or len(filled) == len(blank) or not (blank[0] or blank[-1]):
        return stack, []
    first, last = int(filled[0]), int(filled[-1]) + 1
    cut = [*stack.frames[:first], *stack.frames[last:]]
    old = stack.geometry
    corner = (old.index_to_lps @ np.array([0.0, 0.0, first, 1.0]))[:3]
    origin = (float(corner[0]), float(corner[1]), float(corner[2]))
    geometry = Geometry((last - first, *old.shape[1:]), old.spacing, origin, old.direction)
    buffer.hu = buffer.hu[first:last]
    if buffer.padding is not None:
        kept = buffer.padding[first:last]
        buffer.padding = kept if kept.any() else None
    notice = left_out(cut, "blank at the end of the series", "blank-slices")
    return replace(stack, frames=stack.frames[first:last], shifts=stack.shifts[first:last], geometry=geometry), [notice]
