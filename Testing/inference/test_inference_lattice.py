"""Lattices: what lies on them is where they say, constants stay, and every voxel is answered once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.inference.lattice import Lattice, between, sample, sections_back, tent_matrix

SPACING = (1.2, 0.8, 0.9)
SHAPE = (30, 40, 36)


def ramp(positions, weights=(1.0, -2.0, 3.0)):
    grids = np.meshgrid(*positions, indexing="ij")
    return sum(weight * grid for weight, grid in zip(weights, grids, strict=True)).astype(np.float32)


def voxels(shape=SHAPE, spacing=SPACING):
    return [np.arange(n) * mm for n, mm in zip(shape, spacing, strict=True)]


def points(lattice):
    return [lattice.positions(axis) for axis in range(3)]


@pytest.mark.parametrize("step", [0.5, 1.0, 2.0, 3.1])
def test_a_ramp_is_seen_where_the_lattice_says(step):
    lattice = Lattice.over(SHAPE, SPACING, (step,) * 3)
    seen = sample(ramp(voxels()), SPACING, lattice).numpy()
    inner = (slice(3, -3),) * 3
    # Where points fall between voxels a sampled tent leans a little to one side.
    assert np.abs(seen - ramp(points(lattice)))[inner].max() < 0.3 * max(step, 1.0)
    assert np.abs((seen - ramp(points(lattice)))[inner].mean()) < 0.05


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.integers(1, 12)] * 3), st.tuples(*[st.floats(0.4, 6.0)] * 3), st.tuples(*[st.floats(0.4, 6.0)] * 3)
)
def test_a_constant_stays_on_any_grid_there_and_back(shape, spacing, step):
    lattice = Lattice.over(shape, spacing, step)
    seen = sample(np.full(shape, -850, np.int16), spacing, lattice)
    torch.testing.assert_close(seen, torch.full(lattice.shape, -850.0))
    box = lattice.box_in(shape, spacing)
    assert box == tuple(slice(0, n) for n in shape)
    count = np.zeros(shape[0], int)
    for first, values in sections_back(seen[None], lattice, spacing, box):
        count[first : first + values.shape[1]] += 1
        assert values.shape[2:] == shape[1:]
        torch.testing.assert_close(values, torch.full_like(values, -850.0))
    assert count.tolist() == [1] * shape[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.3, 5), st.floats(0.3, 5), st.floats(-20, 20))
def test_every_row_of_a_tent_matrix_is_an_average(n, m, step, wanted, start):
    matrix = tent_matrix(np.arange(n) * step, start + np.arange(m) * wanted)
    assert matrix.shape == (m, n)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-5)


def test_a_box_is_covered_and_no_more():
    box = (slice(3, 21), slice(10, 30), slice(0, 36))
    lattice = Lattice.over(SHAPE, SPACING, (2.0, 1.5, 1.5), box)
    for axis in range(3):
        half = lattice.step[axis] / 2
        low, high = lattice.positions(axis)[0] - half, lattice.positions(axis)[-1] + half
        assert low <= (box[axis].start - 0.5) * SPACING[axis] + 1e-6
        assert high >= (box[axis].stop - 0.5) * SPACING[axis] - 1e-6
        assert high - low < (box[axis].stop - box[axis].start) * SPACING[axis] + lattice.step[axis]


def test_from_one_lattice_to_another_is_linear_between():
    coarse = Lattice.over(SHAPE, SPACING, (4.0,) * 3)
    fine = Lattice((6.0, 6.0, 6.0), (1.0,) * 3, (12, 10, 11))
    values = torch.from_numpy(np.stack([ramp(points(coarse)), 5 + 0 * ramp(points(coarse))]))
    seen = between(values, coarse, fine).numpy()
    np.testing.assert_allclose(seen[0], ramp(points(fine)), atol=1e-3)
    np.testing.assert_allclose(seen[1], 5.0, rtol=1e-6)


def test_sections_are_shared_out_by_their_overlap_with_thick_points():
    hu = np.zeros((8, 4, 4), np.int16)
    hu[2:4] = 100
    lattice = Lattice.over(hu.shape, (1.0, 1.0, 1.0), (2.0, 1.0, 1.0))
    seen = sample(hu, (1.0, 1.0, 1.0), lattice)[:, 1, 1]
    assert seen.argmax() == 1
    assert float(seen.sum() * 2) == pytest.approx(200, rel=0.1)
