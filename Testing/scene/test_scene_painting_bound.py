"""What is painted as lobe stays inside the chest, on a CT stored in any order of axes."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from test_scene_findings import Case
from worker_world import blocks_left, until

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.scene.review.painting_bound import PaintingBound
from COVIDQuantLib.scene.review.segment_edits import labelmap_in_box
from COVIDQuantLib.segmentation.patient.bounds import find_chest
from COVIDQuantLib.voxels.box import Box, occupied_box

LOBE = LOBES[0].segment_id


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=3, thickness_mm=6.0, matrix=96, extent_percent=8.0, motion=True)


@pytest.fixture(params=[((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1))], ids=["as made", "turned"])
def case(phantom, request):
    case = Case(phantom, *request.param)
    yield case
    case.reading.close()


def painted(case, mask):
    """Paint a mask as the first lobe, as one stroke."""
    box = occupied_box(mask.view(np.uint8), (0, 0, 0), Box.of_shape(mask.shape))
    image = labelmap_in_box(case.node, case.volume, mask[box.slices], box)
    logic = case.session.segmentations
    logic.SetBinaryLabelmapToSegment(image, case.node, LOBE, logic.MODE_MERGE_MAX, image.GetExtent(), False, [])
    case.reading.update()


def lobe_of(case):
    return case.reading.live.segment_mask(LOBE, Box.of_shape(case.lobes.shape))


def test_a_stroke_across_the_chest_wall_keeps_what_lies_inside(case):
    bound = PaintingBound(case.volume)
    everywhere = Box.of_shape(case.lobes.shape)
    before = lobe_of(case)
    stroke = np.zeros(case.lobes.shape, bool)
    middle = tuple(n // 2 for n in stroke.shape)
    stroke[middle[0] - 2 : middle[0] + 2, :, middle[2] - 2 : middle[2] + 2] = True
    painted(case, stroke)
    if not bound.poll():
        assert not bound.outside(everywhere).any(), "nothing is removed before the bound is known"
    until(bound.poll)
    upright, turn = case.ct.canonical()
    inside = turn.undo(find_chest(upright).allowed())
    assert np.array_equal(bound.outside(everywhere), ~inside)
    assert 0 < np.count_nonzero(stroke & inside) < np.count_nonzero(stroke)
    removed = case.reading.keep_in_chest(LOBE, bound)
    after = lobe_of(case)
    assert removed == np.count_nonzero((before | stroke) & ~inside)
    assert np.array_equal(after, (before | stroke) & inside)
    assert case.reading.keep_in_chest(LOBE, bound) == 0
    assert blocks_left() == []


def test_the_edge_of_a_row_that_fills_no_whole_byte(case):
    bound = PaintingBound(case.volume)
    until(bound.poll)
    k, j, i = case.lobes.shape
    whole = bound.outside(Box.of_shape(case.lobes.shape))
    corner = Box((k - 3, j - 5, i - 3), (k, j, i))
    assert np.array_equal(bound.outside(corner), whole[corner.slices])


def test_a_search_that_is_cancelled_bounds_nothing(case):
    bound = PaintingBound(case.volume)
    bound.cancel()
    assert blocks_left() == []
    assert not bound.outside(Box.of_shape(case.lobes.shape)).any()
