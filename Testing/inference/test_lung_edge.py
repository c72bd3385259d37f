"""The lungs' edge at the CT's own voxels (COVIDQuantLib.inference.lung_edge)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.inference.lung_edge import sharpen_lung_edge

AIR, TISSUE = -850, 40


def chest(edge, width=24):
    """Lung before ``edge`` (voxels, any fraction) along i, tissue behind: CT numbers as a scanner blurs them."""
    share = np.clip(edge - np.arange(width) + 0.5, 0, 1)
    hu = np.rint(TISSUE + share * (AIR - TISSUE)).astype(np.int16)
    return np.broadcast_to(hu, (6, 7, width)).copy()


def opinion(edge, width=24, slope=1.5):
    """A network's log odds of lung, and the labels that follow."""
    odds = np.broadcast_to((slope * (edge - np.arange(width))).astype(np.float16), (6, 7, width)).copy()
    return odds, (odds > 0).astype(np.uint8) * 3


@settings(deadline=None, max_examples=40)
@given(st.floats(8, 16), st.floats(-0.6, 1.5))
def test_the_edge_goes_where_the_ct_numbers_change(edge, error):
    hu = chest(edge)
    odds, labels = opinion(edge - error)
    # Voxel 0 lies at 0 with half a voxel before it.
    true = edge + 0.5
    before = abs(int((labels[0, 0] > 0).sum()) - true)
    sharpen_lung_edge(labels, odds, np.full(labels.shape, 3, np.uint8), hu)
    found = (labels[0, 0] > 0).sum()
    assert abs(found - true) <= max(0.6, before)
    assert set(np.unique(labels)) <= {0, 3}


def test_what_the_network_is_sure_of_stays():
    hu = chest(10.0)
    odds, labels = opinion(15.5, slope=8.0)
    expected = labels.copy()
    sharpen_lung_edge(labels, odds, np.full(labels.shape, 3, np.uint8), hu)
    np.testing.assert_array_equal(labels, expected)


def test_dense_disease_at_the_wall_stays_lung():
    hu = chest(10.0)
    # Consolidation between the air and the wall: no step in the CT numbers where the lung ends.
    odds, labels = opinion(14.2)
    expected = labels.copy()
    sharpen_lung_edge(labels, odds, np.full(labels.shape, 3, np.uint8), hu)
    np.testing.assert_array_equal(labels, expected)


def test_doubt_counts_for_lung_beside_dense_disease_alone():
    # Voxel 15 has log odds of -0.45, the next of -1.95; before it lies consolidation, or air up to a step after 14.
    odds, labels = opinion(14.7)
    for edge, expected in ((10.0, 16), (14.4, 15)):
        found = labels.copy()
        sharpen_lung_edge(found, odds, np.full(labels.shape, 3, np.uint8), chest(edge))
        assert ((found > 0).sum(axis=2) == expected).all()


def test_what_is_added_gets_its_likeliest_lobe():
    hu = chest(10.0)
    odds, labels = opinion(8.6)
    lobes = np.full(labels.shape, 3, np.uint8)
    lobes[:, 4:] = 2
    before = labels.copy()
    sharpen_lung_edge(labels, odds, lobes, hu)
    added = (labels > 0) & (before == 0)
    assert added.any()
    np.testing.assert_array_equal(labels[added], lobes[added])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_part_of_a_greater_array_is_changed_in_place(axis):
    hu, (odds, labels) = chest(10.0), opinion(8.6)
    moved = [np.moveaxis(a, 2, axis) for a in (hu, odds, labels)]
    whole = np.zeros([n + 2 for n in moved[0].shape], np.uint8)
    inner = whole[1:-1, 1:-1, 1:-1]
    inner[...] = moved[2]
    sharpen_lung_edge(inner, moved[1], np.full(inner.shape, 3, np.uint8), moved[0])
    sharpen_lung_edge(labels, odds, np.full(labels.shape, 3, np.uint8), hu)
    np.testing.assert_array_equal(np.moveaxis(inner, axis, 2), labels)
