"""Fast shape operations on voxel masks, in millimetres: distances, opening and closing, components.

All arrays are ``[k, j, i]`` and spacings ``(k, j, i)`` in millimetres. Beyond the array's edge nothing is known, so an
edge neither erodes nor closes a mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.geometry import Triple

Spacing = Triple
# The distance to nothing, mm: further than any CT is long, and finite, so that means and differences stay numbers.
FAR = 1e6
# Distances are compared with a radius up to this much, mm, so that rounding decides nothing.
_SLACK_MM = 1e-3
# With more rows of voxels than this, a ball is slower to lay over a mask than the distance is to measure on many cores.
_MOST_ROWS = 250
_IN_PLANE = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))], bool)


def bounding_box(mask: np.ndarray, margin: tuple[int, int, int] = (0, 0, 0)) -> Slices | None:
    """The smallest box around the true voxels, widened by ``margin`` voxels; None if there are none."""
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if not found.size:
            return None
        spans.append(slice(max(0, int(found[0]) - margin[axis]), int(found[-1]) + 1 + margin[axis]))
    return spans[0], spans[1], spans[2]


def mean_around(values: np.ndarray, where: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Mean in a box of ``size`` voxels around each true voxel of a mask, float32; nothing beyond the array's edge.

    Only the mask's bounding box is gone through, and the result holds there; it is 0 elsewhere.

    Args:
        values: numbers, 0 outside that box.
        where: bool, same shape.
        size: voxels along each axis.
    """
    means = np.zeros(values.shape, np.float32)
    box = bounding_box(where)
    if box is not None:
        means[box] = ndimage.uniform_filter(values[box].astype(np.float32), size, mode="constant")
    return means


def on_both_sides(mask: np.ndarray, axis: int) -> np.ndarray:
    """Where a mask has a true element on both sides along an axis, or itself."""
    before = np.maximum.accumulate(mask, axis=axis)
    after = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis=axis), axis)
    return np.asarray(before & after)


def distance_to(mask: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Distance in mm from each voxel's centre to the nearest true voxel's centre, float32; ``FAR`` if there is none."""
    if not mask.any():
        return np.full(mask.shape, FAR, np.float32)
    # Maurer's needs more than one voxel along each axis; ITK's other one, Danielsson's, errs at corners.
    wide = np.pad(mask, [(0, int(size < 2)) for size in mask.shape]) if min(mask.shape) < 2 else mask
    image = sitk.GetImageFromArray(wide.view(np.uint8))
    image.SetSpacing(spacing[::-1])
    # It measures from the mask's border voxels, negative inside.
    distance = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, False, False, True))
    k, j, i = mask.shape
    return np.maximum(distance[:k, :j, :i], 0.0)


def dilate(mask: np.ndarray, mm: float, spacing: Spacing) -> np.ndarray:
    """The mask and everything within ``mm`` of it."""
    box = bounding_box(mask, _margin(mm, spacing))
    if box is None:
        return mask.copy()
    grown = np.zeros_like(mask)
    grown[box] = _within(mask[box], mm, spacing)
    return grown


def erode(mask: np.ndarray, mm: float, spacing: Spacing) -> np.ndarray:
    """The part of the mask further than ``mm`` from everything outside it."""
    box = bounding_box(mask, (1, 1, 1))
    if box is None:
        return mask.copy()
    kept = np.zeros_like(mask)
    kept[box] = ~_within(~mask[box], mm, spacing)
    return kept


def _within(mask: np.ndarray, mm: float, spacing: Spacing) -> np.ndarray:
    """The voxels whose centres lie within ``mm`` of a true voxel's centre."""
    rows = _rows_of_ball(mm + _SLACK_MM, spacing)
    if len(rows) > _MOST_ROWS:
        return np.asarray(distance_to(np.ascontiguousarray(mask), spacing) <= mm + _SLACK_MM)
    # With room all around, a step along any axis is one and the same step along the flat array.
    room = [max(abs(row[axis]) for row in rows) for axis in range(3)]
    padded = np.pad(mask, [(n, n) for n in room])
    flat, step_k, step_j = padded.ravel(), padded.shape[1] * padded.shape[2], padded.shape[2]
    line, reach, grown = flat.copy(), 0, np.zeros(flat.size, bool)
    for k, j, wanted in sorted(rows, key=lambda row: row[2]):
        while reach < wanted:
            reach += 1
            _lay(flat, line, reach)
            _lay(flat, line, -reach)
        _lay(line, grown, k * step_k + j * step_j)
    inner = tuple(slice(n, n + size) for n, size in zip(room, mask.shape, strict=True))
    return np.ascontiguousarray(grown.reshape(padded.shape)[inner])


def _lay(mask: np.ndarray, over: np.ndarray, step: int) -> None:
    """Lay a flat mask over another, moved by some voxels."""
    if step >= 0:
        over[step:] |= mask[: mask.size - step]
    else:
        over[:step] |= mask[-step:]


def _rows_of_ball(mm: float, spacing: Spacing) -> list[tuple[int, int, int]]:
    """A ball by rows of voxels: each row's place ``k, j`` from the middle, and how far it reaches along ``i``."""
    k_mm, j_mm, i_mm = spacing
    rows = []
    for k in range(-int(mm / k_mm), int(mm / k_mm) + 1):
        for j in range(-int(mm / j_mm), int(mm / j_mm) + 1):
            left = mm * mm - (k * k_mm) ** 2 - (j * j_mm) ** 2
            if left >= 0:
                rows.append((k, j, int(np.sqrt(left) / i_mm)))
    return rows


def close(mask: np.ndarray, mm: float, spacing: Spacing) -> np.ndarray:
    """The mask with hollows filled that a ball of radius ``mm`` does not enter; it goes on beyond the array's edge."""
    box = bounding_box(mask)
    if box is None:
        return mask.copy()
    margin = _margin(mm, spacing, 2)
    ends = [_margins(span, size, m) for span, size, m in zip(box, mask.shape, margin, strict=True)]
    # Where the mask ends within the array there is room for nothing; where the array cuts it, it is carried on.
    around = np.pad(np.pad(mask[box], [e[0] for e in ends]), [e[1] for e in ends], mode="edge")
    closed = erode(dilate(around, mm, spacing), mm, spacing)
    back = tuple(
        slice(sum(e[n][0] for n in (0, 1)), s - sum(e[n][1] for n in (0, 1)))
        for e, s in zip(ends, closed.shape, strict=True)
    )
    whole = mask.copy()
    whole[box] |= closed[back]
    return whole


def _margins(span: slice, size: int, margin: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding of a box along an axis: empty where it lies within the array, carried on where the array cuts it."""
    low, high = span.start > 0, span.stop < size
    return (margin * low, margin * high), (margin * (not low), margin * (not high))


def open_(mask: np.ndarray, mm: float, spacing: Spacing) -> np.ndarray:
    """The part of the mask that a ball of radius ``mm`` can sweep."""
    return mask & dilate(erode(mask, mm, spacing), mm, spacing)


def _margin(mm: float, spacing: Spacing, extra: int = 1) -> tuple[int, int, int]:
    k, j, i = (int(np.ceil(mm / s)) + extra for s in spacing)
    return k, j, i


def components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Face-connected parts: labels from 1 (int32 array) and voxel counts by label (``counts[0]`` is outside)."""
    labels, _ = ndimage.label(mask)
    return labels, np.bincount(labels.ravel())


def slice_components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts that hang together within one axial slice; labels and counts as :func:`components`."""
    labels, _ = ndimage.label(mask, structure=_IN_PLANE)
    return labels, np.bincount(labels.ravel())


def without_small(mask: np.ndarray, least_voxels: float) -> np.ndarray:
    """The parts of ``mask`` of at least ``least_voxels`` voxels."""
    labels, counts = components(mask)
    large = counts >= least_voxels
    large[0] = False
    return large[labels]


def fill_slices(mask: np.ndarray) -> np.ndarray:
    """The mask with holes closed that it surrounds within an axial slice."""
    return np.stack([ndimage.binary_fill_holes(plane) for plane in mask]) if mask.any() else mask.copy()
