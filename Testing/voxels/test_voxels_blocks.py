"""Blocks of voxels, lines drawn out between nodes, distances and overlaps: one of each, held to brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.evaluation.overlap import dice, mask_overlap
from COVIDQuantLib.voxels.block_grid import (
    block_factors,
    block_means,
    block_middles,
    block_shares,
    block_sums,
    enlarge,
    shrink_mean,
)
from COVIDQuantLib.voxels.interpolation import linear_matrix, neighbours
from COVIDQuantLib.voxels.morphology import FAR, dilate, distance_to, erode

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)
FACTORS = st.tuples(*[st.integers(1, 4)] * 3)
SPACING = (5.0, 1.0, 0.5)


def blocks_of(values, factors):
    """Every block as the array of its voxels, by its place."""
    shape = tuple(-(-n // f) for n, f in zip(values.shape, factors, strict=True))
    for place in np.ndindex(shape):
        yield place, values[tuple(slice(p * f, (p + 1) * f) for p, f in zip(place, factors, strict=True))]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31 - 1), SHAPES, FACTORS)
def test_blocks_hold_their_sums_means_and_shares(seed, shape, factors):
    values = np.random.default_rng(seed).integers(-1024, 3072, shape).astype(np.int16)
    sums, means, shrunk = block_sums(values, factors), block_means(values, factors), shrink_mean(values, factors)
    shares = block_shares(values > 0, factors)
    assert block_sums(values, factors, np.float32).tolist() == sums.tolist()
    for place, block in blocks_of(values, factors):
        assert sums[place] == block.sum(dtype=np.int64)
        assert means[place] == block.mean()
        assert shrunk[place] == np.rint(block.mean())
        assert shares[place] == np.float32(np.count_nonzero(block > 0)) / np.float32(np.prod(factors))
    assert (sums.dtype, means.dtype, shrunk.dtype, shares.dtype) == (np.int32, np.float64, np.int16, np.float32)


@settings(max_examples=30, deadline=None)
@given(SHAPES, FACTORS)
def test_what_is_enlarged_shrinks_to_itself(shape, factors):
    coarse = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    fine = enlarge(coarse, factors, tuple(n * f for n, f in zip(shape, factors, strict=True)))
    assert np.array_equal(shrink_mean(fine, factors), coarse)


@given(st.tuples(*[st.floats(0.3, 8.0)] * 3), st.floats(1.0, 5.0))
def test_blocks_are_about_as_large_as_asked_for(spacing, wanted):
    near, at_most = block_factors(spacing, wanted), block_factors(spacing, wanted, at_most=True)
    for mm, n, m in zip(spacing, near, at_most, strict=True):
        assert n == 1 or abs(n * mm - wanted) <= 0.5 * mm + 1e-9
        assert m == 1 or m * mm <= wanted + 1e-9


def test_middles_are_where_the_blocks_are():
    k, j, i = block_middles((2, 3, 1), (1, 2, 3), SPACING)
    assert k.tolist() == [0.0, 5.0]
    assert j.tolist() == [0.5, 2.5, 4.5]
    assert i.tolist() == [0.5]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9))
def test_a_line_between_nodes_is_that_of_interp(count, shares):
    at = np.array(shares) * (count - 1)
    nodes = np.random.default_rng(count).normal(size=count)
    expected = np.interp(at, np.arange(count), nodes)
    low, high, share = neighbours(at, count)
    assert nodes[low] * (1 - share) + nodes[high] * share == pytest.approx(expected)
    assert linear_matrix(at, count) @ nodes == pytest.approx(expected, abs=1e-5)


# --------------------------------------------------------------------------------------------------------- distances


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 7, 7), (1, 1, 1), (9, 1, 3)])
def test_nothing_is_far_and_finite_everywhere(shape):
    """To an empty mask the one answer is ``FAR``: beyond any CT, and a number that means and differences survive."""
    nothing = np.zeros(shape, bool)
    away = distance_to(nothing, SPACING)
    assert away.dtype == np.float32
    assert away.shape == shape
    assert (away == FAR).all()
    assert np.isfinite(away).all()
    assert (away - away == 0).all()
    assert not dilate(nothing, 50.0, SPACING).any()
    assert not erode(nothing, 50.0, SPACING).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0.02, 0.6))
def test_distances_are_those_to_the_nearest_voxel(seed, density):
    mask = np.random.default_rng(seed).random((4, 6, 7)) < density
    if not mask.any():
        return
    places = np.argwhere(np.ones(mask.shape)) * SPACING
    nearest = np.linalg.norm(places[:, None] - (np.argwhere(mask) * SPACING)[None], axis=2).min(axis=1)
    assert distance_to(mask, SPACING).ravel() == pytest.approx(nearest, abs=1e-4)


# ------------------------------------------------------------------------------------------------------------- Dice


def test_dice_of_masks():
    one, other = np.zeros((2, 2, 3), bool), np.zeros((2, 2, 3), bool)
    assert math.isnan(dice(one, other))
    assert dice(one, other, 1.0) == 1.0
    one[0] = True
    assert dice(one, other) == dice(other, one) == 0.0
    other[0, 0] = True
    overlap = mask_overlap(one, other)
    assert (overlap.both, overlap.only_predicted, overlap.only_reference) == (3, 3, 0)
    assert dice(one, other) == 2 * 3 / 9
    with pytest.raises(ValueError, match="differ in shape"):
        mask_overlap(one, other[:1])
