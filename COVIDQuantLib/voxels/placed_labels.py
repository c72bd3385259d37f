"""A label array and where on the CT's grid it lies: cropping to any box, and finding where two of them differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.voxels.box import Box, changed_box, in_threads, map_threads, occupied_box

# Eight bytes at a time, a megabyte per thread and turn.
_WORDS = 1 << 17
# Room for a layer to grow by before its copy moves to other memory.
_SLACK = 1.25


@dataclass(frozen=True)
class PlacedLabels:
    """Labels of a part of the CT; there are none elsewhere.

    Attributes:
        array: label values ``[k, j, i]``, any whole number type.
        box: the box of the CT that the array fills.
    """

    array: np.ndarray
    box: Box

    @classmethod
    def nothing(cls, dtype: np.dtype) -> PlacedLabels:
        """No labels anywhere."""
        return cls(np.zeros((0, 0, 0), dtype), Box((0, 0, 0), (0, 0, 0)))

    def crop(self, box: Box) -> np.ndarray:
        """The labels of any box of the CT; a view if they are all here."""
        common = self.box.intersect(box)
        if common == box:
            return self.array[box.shift(self.box.start, -1).slices]
        out = np.zeros(box.shape, self.array.dtype)
        if common is not None:
            out[common.shift(box.start, -1).slices] = self.array[common.shift(self.box.start, -1).slices]
        return out

    def difference(self, other: PlacedLabels) -> Box | None:
        """The smallest box of the CT that holds every voxel whose label is another; None if none is."""
        if self.box == other.box and self.array.flags.c_contiguous and other.array.flags.c_contiguous:
            slabs = _differing_slabs(self.array, other.array)
            if slabs is None:
                return None
            start, stop = self.box.start, self.box.stop
            within = Box((start[0] + slabs[0], *start[1:]), (start[0] + slabs[1], *stop[1:]))
            return changed_box(self.array, start, other.array, start, within)
        common = self.box.intersect(other.box)
        found = (
            [] if common is None else [changed_box(self.array, self.box.start, other.array, other.box.start, common)]
        )
        for one, rest in ((self, self.box.minus(other.box)), (other, other.box.minus(self.box))):
            found += [occupied_box(one.array, one.box.start, part) for part in rest]
        whole: Box | None = None
        for part in found:
            if part is not None:
                whole = part if whole is None else whole.hull(part)
        return whole


def _differing_slabs(one: np.ndarray, other: np.ndarray) -> tuple[int, int] | None:
    """First and last-plus-one index of the first axis within which two arrays of one shape may differ."""
    flat, others = (array.reshape(-1).view(np.uint8) for array in (one, other))
    words = flat.size // 8
    a, b = (array[: 8 * words].view(np.uint64) for array in (flat, others))
    starts = range(0, words, _WORDS)
    differs = map_threads(lambda n: bool((a[n : n + _WORDS] != b[n : n + _WORDS]).any()), starts)
    spans = [(8 * n, min(8 * (n + _WORDS), flat.size)) for n, unlike in zip(starts, differs, strict=True) if unlike]
    if (flat[8 * words :] != others[8 * words :]).any():
        spans.append((8 * words, flat.size))
    if not spans:
        return None
    slab = flat.size // len(one)
    return spans[0][0] // slab, -(-spans[-1][1] // slab)


class LabelCopy:
    """A copy of placed labels that follows them, reusing its memory.

    Attributes:
        labels: the copy.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.labels = PlacedLabels.nothing(dtype)
        self._memory = np.empty(0, dtype)

    def follow(self, now: PlacedLabels, changed: Box | None) -> None:
        """Take over labels that differ from the copy within a box."""
        if now.box == self.labels.box:
            if changed is not None:
                self.labels.crop(changed)[...] = now.crop(changed)
            return
        size = now.array.size
        if self._memory.size < size:
            self._memory = np.empty(int(size * _SLACK), now.array.dtype)
        copy = PlacedLabels(self._memory[:size].reshape(now.array.shape), now.box)
        in_threads(lambda part: np.copyto(copy.crop(part), now.crop(part)), now.box)
        self.labels = copy
