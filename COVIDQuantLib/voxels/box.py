"""Boxes of voxels: where two arrays differ, and the arithmetic that an incremental count needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from COVIDQuantLib.system.processors import usable_threads

# Chunks of about this many voxels stay in the processor's cache.
_CHUNK_VOXELS = 1 << 20
# More threads than this wait for memory.
_THREADS = min(4, usable_threads())

# A box as numpy indexes an array with it; :class:`Box` is the same for voxels of a CT, whatever array holds them.
Slices = tuple[slice, slice, slice]

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Box:
    """A half-open box of voxels, ``start <= (k, j, i) < stop``."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @classmethod
    def of_shape(cls, shape: tuple[int, int, int]) -> Box:
        """The box of a whole array."""
        return cls((0, 0, 0), shape)

    @property
    def slices(self) -> Slices:
        """Index of an array that begins at voxel (0, 0, 0)."""
        k, j, i = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return k, j, i

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along k, j, i; zero where the box is empty."""
        k, j, i = (max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))
        return k, j, i

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        k, j, i = self.shape
        return k * j * i

    def intersect(self, other: Box) -> Box | None:
        """What both boxes hold; None if nothing."""
        box = Box(_each(max, self.start, other.start), _each(min, self.stop, other.stop))
        return box if box.voxels else None

    def hull(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(_each(min, self.start, other.start), _each(max, self.stop, other.stop))

    def shift(self, offset: tuple[int, int, int], sign: int = 1) -> Box:
        """The box moved by an offset (``sign`` −1: against it)."""
        return Box(
            _each(lambda a, b: a + sign * b, self.start, offset), _each(lambda a, b: a + sign * b, self.stop, offset)
        )

    def minus(self, other: Box) -> list[Box]:
        """The rest of this box outside another, in up to six disjoint boxes."""
        common = self.intersect(other)
        if common is None:
            return [self]
        parts, start, stop = [], list(self.start), list(self.stop)
        for axis in range(3):
            if start[axis] < common.start[axis]:
                parts.append(_box(start, [*stop[:axis], common.start[axis], *stop[axis + 1 :]]))
            if common.stop[axis] < stop[axis]:
                parts.append(_box([*start[:axis], common.stop[axis], *start[axis + 1 :]], stop))
            start[axis], stop[axis] = common.start[axis], common.stop[axis]
        return parts

    def chunks(self) -> Iterator[Box]:
        """The box in slabs along k of about a million voxels."""
        step = max(1, _CHUNK_VOXELS // max(1, self.shape[1] * self.shape[2]))
        for k in range(self.start[0], self.stop[0], step):
            yield Box((k, *self.start[1:]), (min(k + step, self.stop[0]), *self.stop[1:]))


def _each(function: Callable[[int, int], int], one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, int, int]:
    k, j, i = (function(a, b) for a, b in zip(one, other, strict=True))
    return k, j, i


def _box(start: list[int], stop: list[int]) -> Box:
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def disjoint(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that hold the same voxels or a few more, none of them twice."""
    apart: list[Box] = []
    for new in boxes:
        box, rest = new, apart
        while touching := [other for other in rest if other.intersect(box)]:
            rest = [other for other in rest if other not in touching]
            for other in touching:
                box = box.hull(other)
        apart = [*rest, box]
    return apart


def map_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """A function of every item, in threads if there are several; numpy lets them run side by side."""
    todo = list(items)
    if len(todo) <= 1 or _THREADS == 1:
        return [function(item) for item in todo]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, todo))


def in_threads(function: Callable[[Box], Result], box: Box) -> list[Result]:
    """A function of every chunk of a box, in threads if there are several."""
    return map_threads(function, box.chunks())


Corner = tuple[int, int, int]


def occupied_box(array: np.ndarray, corner: Corner, box: Box) -> Box | None:
    """The smallest box around the nonzero voxels of an array within a box; None if there are none.

    Args:
        array: ``[k, j, i]``.
        corner: voxel at which the array begins.
        box: where to look, within the array.
    """
    return _true_box(lambda chunk: array[chunk.shift(corner, -1).slices] != 0, box)


def changed_box(old: np.ndarray, old_corner: Corner, new: np.ndarray, new_corner: Corner, box: Box) -> Box | None:
    """The smallest box, within a box, around the voxels where two arrays differ; None if they are equal.

    Args:
        old: an array ``[k, j, i]``.
        old_corner: voxel at which it begins.
        new: another.
        new_corner: voxel at which that begins.
        box: where to compare, within both.
    """

    def unlike(chunk: Box) -> np.ndarray:
        return old[chunk.shift(old_corner, -1).slices] != new[chunk.shift(new_corner, -1).slices]

    return _true_box(unlike, box)


def _true_box(truth: Callable[[Box], np.ndarray], box: Box) -> Box | None:
    def look(chunk: Box) -> Box | None:
        values = truth(chunk)
        # One quick pass over everything; the exact bounds only where something was found.
        return _bounds(values).shift(chunk.start) if values.any() else None

    found = [part for part in in_threads(look, box) if part is not None] if box.voxels else []
    if not found:
        return None
    whole = found[0]
    for part in found[1:]:
        whole = whole.hull(part)
    return whole


def _bounds(truth: np.ndarray) -> Box:
    spans = []
    for others in ((1, 2), (0, 2), (0, 1)):
        where = np.flatnonzero(truth.any(axis=others))
        spans.append((int(where[0]), int(where[-1]) + 1))
    (k0, k1), (j0, j1), (i0, i1) = spans
    return Box((k0, j0, i0), (k1, j1, i1))
