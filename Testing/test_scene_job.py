"""The whole job on real MRML nodes, as the panel runs it."""

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.errors import Cancelled, UnfitInputError
from COVIDQuantLib.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.pipeline import STAGES, quantify_ct
from COVIDQuantLib.progress import StagedProgress
from COVIDQuantLib.scene.job import quantify_volume, warnings_of_node
from COVIDQuantLib.scene.live import LiveQuantification
from COVIDQuantLib.scene.session import HeadlessScene
from COVIDQuantLib.scene.volumes import node_of_ct, voxels_of


@pytest.fixture(scope="module")
def phantom_ct():
    return make_phantom(PhantomSettings(seed=1, thickness_mm=8.0, matrix=96, extent_percent=10.0)).ct


@pytest.fixture
def world(phantom_ct):
    world = HeadlessScene()
    return world, node_of_ct(world.scene, phantom_ct, "CT")


def test_the_figures_of_the_nodes_are_those_of_the_arrays_and_follow_an_edit(world, phantom_ct):
    _, volume = world
    segmentation = quantify_volume(volume, "CT pneumonia")
    ids = [segmentation.GetSegmentation().GetNthSegmentID(n) for n in range(6)]
    assert ids == [*(lobe.segment_id for lobe in LOBES), LESION.segment_id]
    assert "very-thick-sections" in [warning.code for warning in warnings_of_node(segmentation)]
    live = LiveQuantification(volume, segmentation)
    expected = quantify_ct(phantom_ct).metrics
    assert live.metrics.rows == expected.rows
    assert live.metrics.value("whole lung", "extent_percent") > 1.0
    segmentation.GetSegmentation().RemoveSegment(LESION.segment_id)
    live.update()
    assert live.metrics.value("whole lung", "extent_percent") == 0.0
    assert live.table.GetNumberOfRows() == 9


def test_a_second_run_leaves_the_first_as_it_is(world):
    _, volume = world
    first = quantify_volume(volume, "x")
    first.GetSegmentation().RemoveSegment(LESION.segment_id)
    second = quantify_volume(volume, "x")
    assert first.GetName() != second.GetName()
    assert first.GetSegmentation().GetNumberOfSegments() == 5
    assert second.GetSegmentation().GetNumberOfSegments() == 6


def test_stopping_and_unfit_cts_add_nothing_to_the_scene(world, phantom_ct):
    scene, volume = world
    nodes = scene.scene.GetNumberOfNodes()

    def stop(state):
        if state.fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        quantify_volume(volume, "x", StagedProgress(STAGES, stop))
    voxels_of(volume)[:] = 40
    with pytest.raises(UnfitInputError):
        quantify_volume(volume, "x")
    assert scene.scene.GetNumberOfNodes() == nodes
