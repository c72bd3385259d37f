"""Boxes: differences, rests and disjoint covers hold every voxel they should and none twice."""

import numpy as np
import pytest

pytest.importorskip("slicer")

from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.scene.nodes.layers import resample_nearest
from COVIDQuantLib.voxels import box as boxes
from COVIDQuantLib.voxels import placed_labels
from COVIDQuantLib.voxels.box import Box, changed_box, disjoint, in_threads, occupied_box
from COVIDQuantLib.voxels.placed_labels import PlacedLabels

SHAPE = (7, 8, 9)


@st.composite
def some_boxes(draw):
    spans = [sorted(draw(st.tuples(st.integers(0, size), st.integers(0, size)))) for size in SHAPE]
    return Box(tuple(a for a, _ in spans), tuple(b for _, b in spans))


def painted(*many):
    voxels = np.zeros(SHAPE, int)
    for box in many:
        voxels[box.slices] += 1
    return voxels


@given(some_boxes(), some_boxes())
def test_rest_is_what_is_outside(one, other):
    rest = painted(*one.minus(other))
    assert np.array_equal(rest, painted(one) * (1 - painted(other)))


@given(st.lists(some_boxes(), max_size=5))
def test_disjoint_boxes_hold_all_and_nothing_twice(many):
    many = [box for box in many if box.voxels]
    cover = painted(*disjoint(many))
    assert cover.max(initial=0) <= 1
    assert np.array_equal(cover > 0, (painted(*many) > 0) | (cover > 0))


@settings(deadline=None)
@given(some_boxes(), st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 4))
def test_changed_box_is_the_smallest_that_holds_every_difference(box, seed, chunk, changes):
    rng = np.random.default_rng(seed)
    old = rng.integers(0, 6, SHAPE).astype(np.uint8)
    new = old[box.slices].copy()
    for _ in range(changes if box.voxels else 0):
        new[tuple(rng.integers(size) for size in new.shape)] += 7
    whole, boxes._CHUNK_VOXELS = boxes._CHUNK_VOXELS, chunk
    try:
        found = changed_box(old, (0, 0, 0), new, box.start, box)
    finally:
        boxes._CHUNK_VOXELS = whole
    different = np.zeros(SHAPE, bool)
    different[box.slices] = old[box.slices] != new
    if not different.any():
        assert found is None
        return
    where = np.argwhere(different)
    assert found == Box(tuple(where.min(axis=0)), tuple(where.max(axis=0) + 1))
    assert occupied_box(different, (0, 0, 0), Box.of_shape(SHAPE)) == found


@settings(deadline=None)
@given(some_boxes(), some_boxes(), st.integers(0, 2**32 - 1), st.integers(0, 3), st.booleans())
def test_placed_labels_differ_and_follow(one, other, seed, changes, wide):
    """Boxes that are equal, apart, nested; few differences, at any byte, or many."""
    rng = np.random.default_rng(seed)
    dtype = np.uint16 if wide else np.uint8
    whole = rng.integers(0, 3, SHAPE).astype(dtype)
    if seed % 3 == 0:
        other = one
    copy = placed_labels.LabelCopy(np.dtype(dtype))
    copy.follow(PlacedLabels(whole[one.slices].copy(), one), None)
    then = np.zeros(SHAPE, dtype)
    then[one.slices] = whole[one.slices]
    for _ in range(changes):
        whole[tuple(rng.integers(size) for size in SHAPE)] += 5
    now = PlacedLabels(whole[other.slices].copy(), other)
    after = np.zeros(SHAPE, dtype)
    after[other.slices] = now.array
    words, placed_labels._WORDS = placed_labels._WORDS, 1 + seed % 7
    try:
        changed = copy.labels.difference(now)
    finally:
        placed_labels._WORDS = words
    where = np.argwhere(then != after)
    expected = Box(tuple(where.min(axis=0)), tuple(where.max(axis=0) + 1)) if len(where) else None
    assert changed == expected
    copy.follow(now, changed)
    assert np.array_equal(copy.labels.crop(Box.of_shape(SHAPE)), after)
    assert not np.shares_memory(copy.labels.array, now.array)


def test_chunks_cover_a_box_once_in_threads():
    box = Box((3, 5, 1), (40, 300, 400))
    total = np.zeros((50, 310, 410), int)
    sizes = in_threads(lambda chunk: np.add(total[chunk.slices], 1, out=total[chunk.slices]).size, box)
    assert sum(sizes) == box.voxels
    assert (total[box.slices] == 1).all()
    assert total.sum() == box.voxels


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_resampling_takes_the_voxel_that_holds_the_centre(turn):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 5, (6, 9, 7)).astype(np.uint8)
    matrix = np.array(
        [
            [0.7 * np.cos(turn), -0.7 * np.sin(turn), 0, 0.31],
            [0.7 * np.sin(turn), 0.7 * np.cos(turn), 0, -1.13],
            [0, 0, 1.6, 0.27],
            [0, 0, 0, 1],
        ]
    )
    box = Box((0, 1, 2), (8, 9, 12))
    got = resample_nearest(labels, matrix, box)
    for k, j, i in np.ndindex(box.shape):
        x, y, z, _ = matrix @ [i + 2, j + 1, k, 1]
        at = tuple(round(value) for value in (z, y, x))
        inside = all(0 <= n < size for n, size in zip(at, labels.shape, strict=True))
        assert got[k, j, i] == (labels[at] if inside else 0)
