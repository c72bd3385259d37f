"""Growing and shrinking masks by millimetres: as the distances say, measured by other code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from COVIDQuantLib.voxels import morphology
from COVIDQuantLib.voxels.morphology import dilate, distance_to, erode, mean_around

MASKS = arrays(bool, st.tuples(*[st.integers(1, 9)] * 3), elements=st.booleans(), fill=st.booleans())
SPACINGS = st.tuples(*[st.sampled_from([0.68359375, 0.75, 1.0, 1.5, 2.5, 5.0])] * 3)
RADII = st.sampled_from([0.5, 1.0, 1.5, 2.5, 3.0, 4.0, 5.0, 9.0])


def within(mask, mm, spacing):
    """Where a true voxel is near, by SciPy's exact distances."""
    far = np.full(mask.shape, np.inf)
    return (ndimage.distance_transform_edt(~mask, sampling=spacing) if mask.any() else far) <= mm + 1e-3


@settings(max_examples=60, deadline=None)
@given(MASKS, RADII, SPACINGS)
def test_a_mask_grows_and_shrinks_as_the_distances_say(mask, mm, spacing):
    before = mask.copy()
    assert np.array_equal(dilate(mask, mm, spacing), within(mask, mm, spacing))
    assert np.array_equal(erode(mask, mm, spacing), ~within(~mask, mm, spacing))
    assert np.array_equal(mask, before)


def test_a_mask_of_one_voxel_along_an_axis_is_measured_at_its_corners_too():
    mask = np.array([[[True], [False]], [[False], [False]]])
    assert np.allclose(distance_to(mask, (3.0, 4.0, 9.0))[:, :, 0], [[0, 4], [3, 5]])


@pytest.mark.parametrize("most_rows", [0, 10_000])
def test_both_ways_to_do_it_agree(monkeypatch, most_rows):
    mask = ndimage.gaussian_filter(np.random.default_rng(0).random((14, 30, 26)), 1.0) > 0.52
    spacing = (2.5, 0.75, 0.75)
    usual = [does(mask, mm, spacing) for does in (dilate, erode) for mm in (1.5, 4.0)]
    monkeypatch.setattr(morphology, "_MOST_ROWS", most_rows)
    other = [does(mask, mm, spacing) for does in (dilate, erode) for mm in (1.5, 4.0)]
    assert all(np.array_equal(one, two) for one, two in zip(usual, other, strict=True))


@pytest.mark.parametrize("size", [(1, 2, 3), (5, 5, 5), (4, 1, 30)])
def test_a_mean_around_a_mask_is_the_plain_filters_there_to_the_last_bit(size):
    rng = np.random.default_rng(7)
    for low, high in (((2, 5, 1), (7, 19, 9)), ((0, 0, 0), (12, 30, 20)), ((11, 4, 4), (12, 5, 5))):
        values = np.zeros((12, 30, 20))
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        values[box] = rng.normal(size=values[box].shape)
        where = (values != 0) & (rng.random(values.shape) < 0.9)
        where[low] = where[tuple(b - 1 for b in high)] = True
        means = mean_around(values, where, size)
        plain = ndimage.uniform_filter(values.astype(np.float32), size, mode="constant")
        assert np.array_equal(means[where], plain[where])
    assert not mean_around(values, np.zeros(values.shape, bool), size).any()
