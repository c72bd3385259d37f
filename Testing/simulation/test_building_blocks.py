"""What both chest generators are built from: thick sections, layers of tissue, tubes, turns, interpolation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from COVIDQuantLib.simulation.anatomy.tubes import Tubes, layer_share, tube_layer
from COVIDQuantLib.simulation.fields.interpolation import enlarge, lerp
from COVIDQuantLib.simulation.fields.rotation import rotation
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.shapes import paint_layers, smooth_step
from COVIDQuantLib.simulation.scanner.reconstruction import whole_hu
from COVIDQuantLib.simulation.scanner.sections import in_blocks, majority, majority_labels, thick_sections


def stack(*values, dtype=np.float32):
    return np.array(values, dtype)[:, None, None] * np.ones((1, 2, 2), dtype)


def test_thick_sections_are_means_with_the_middle_label():
    thick, labels = thick_sections(stack(*range(10)), stack(*range(10), dtype=np.uint8), 3)
    assert thick[:, 0, 0].tolist() == [1.0, 4.0, 7.0]
    assert labels[:, 0, 0].tolist() == [1, 4, 7]


def test_sections_that_fill_no_block_are_left_out():
    assert in_blocks(stack(*range(7)), 3).shape == (2, 3, 2, 2)


def test_a_thick_voxel_belongs_to_what_fills_most_of_it():
    mask = stack(1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, dtype=np.uint8) > 0
    # Two of four, lower half in; two of four, upper half in; two of four, the second in and the third not.
    assert majority(mask, 4)[:, 0, 0].tolist() == [True, False, False]
    assert majority(mask, 3)[:, 0, 0].tolist() == [True, False, True, False]
    lobes = stack(1, 1, 2, 0, 5, 5, 0, 0, 4, dtype=np.uint8)
    assert majority_labels(lobes, 3)[:, 0, 0].tolist() == [1, 5, 0]


def test_layers_lie_one_inside_the_other():
    hu = np.full((1, 9), -1000.0, np.float32)
    depth = np.arange(-2.0, 7.0, dtype=np.float32)[None]
    paint_layers(hu, depth, ((0.0, 25.0), (2.0, -98.0), (4.0, 52.0)), 1.0)
    assert hu[0, [0, 3, 5, 8]].tolist() == [-1000.0, 25.0, -98.0, 52.0]
    outside = np.full((1, 9), -1000.0, np.float32)
    paint_layers(outside, depth, ((0.0, 25.0),), 1.0, depth > 99)
    assert (outside == -1000).all()


@pytest.mark.parametrize("spacing", [0.5, 1.0])
def test_a_tube_about_keeps_its_volume_even_thinner_than_a_voxel(spacing):
    line = np.arange(0, 20, spacing, dtype=np.float32)
    grid = Grid(line, line, line, spacing, spacing, 1)
    tubes = [Tubes.path(np.array([[10, 10, 2], [10, 10, 18]]), np.full(2, radius)) for radius in (0.3, 2.0)]
    for tube in tubes:
        volume = sum(layer_share(section).sum() for section in tube_layer(grid, tube)) * spacing**3
        assert volume == pytest.approx(np.pi * tube.radius[0, 0] ** 2 * 16, rel=0.35)
    both = Tubes.joined(tubes)
    assert len(both.wider_than(1.0)) == 1
    assert (both.walled().radius > both.radius).all()


@given(st.lists(st.tuples(st.sampled_from([(0, 1), (0, 2), (1, 2)]), st.floats(-7, 7)), max_size=4))
def test_turns_keep_lengths_and_hands(turns):
    matrix = rotation((*plane, angle) for plane, angle in turns)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_both_ways_to_interpolate_agree():
    field = np.random.default_rng(0).standard_normal((4, 5, 6)).astype(np.float32)
    shape = (7, 11, 9)
    lines = [np.linspace(0, n - 1, wanted) for n, wanted in zip(field.shape, shape, strict=True)]
    np.testing.assert_allclose(enlarge(field, shape), lerp(field, lines), atol=1e-5)


def test_a_smooth_step_runs_from_0_to_1_either_way():
    assert smooth_step(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])).tolist() == [0, 0, 0.5, 1, 1]
    assert smooth_step(np.array([1.0, 5.0, 9.0]), 9.0, 1.0).tolist() == [1, 0.5, 0]


def test_stored_ct_numbers_are_whole_and_in_range():
    assert whole_hu(np.array([-2000.0, -0.6, 0.4, 9000.0])).tolist() == [-1024, -1, 0, 3071]
