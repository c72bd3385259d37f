"""The whole job on real MRML nodes, as the panel runs it."""

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.errors import Cancelled, UnfitInputError
from COVIDQuantLib.pipeline import DEFAULT_PLAN
from COVIDQuantLib.progress import StagedProgress
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.segmentations import segmentation_of_node
from COVIDQuantLib.scene.nodes.volumes import ct_of_node, node_of_ct, voxels_of
from COVIDQuantLib.scene.quantification_job import quantify_volume, warnings_of_node


@pytest.fixture(scope="module")
def world(once):
    world = HeadlessScene()
    phantom = once.phantom(seed=1, thickness_mm=8.0, matrix=80, slices=15, extent_percent=10.0)
    return world, node_of_ct(world.scene, phantom.ct, "CT")


@pytest.fixture(scope="module")
def quantified(world):
    return quantify_volume(world[1], "CT pneumonia")


def test_the_node_holds_every_segment_and_what_was_noticed(quantified):
    content = quantified.GetSegmentation()
    ids = [content.GetNthSegmentID(n) for n in range(content.GetNumberOfSegments())]
    assert ids == [*(lobe.segment_id for lobe in LOBES), LESION.segment_id]
    assert "very-thick-sections" in [warning.code for warning in warnings_of_node(quantified)]


def test_a_second_run_leaves_the_first_as_the_reader_left_it_and_figures_follow_the_edit(world, quantified):
    volume = world[1]
    live = LiveQuantification(volume, quantified)
    ct, arrays = ct_of_node(volume), segmentation_of_node(quantified, volume)
    counts = JointHistogram.of(ct.hu, arrays.lobes, arrays.lesions, ct.geometry.voxel_volume_ml)
    assert live.metrics == compute_metrics(counts)
    assert live.metrics.value("whole lung", "extent_percent") > 1.0
    quantified.GetSegmentation().RemoveSegment(LESION.segment_id)
    live.update()
    assert live.metrics.value("whole lung", "extent_percent") == 0.0
    again = quantify_volume(volume, "CT pneumonia")
    assert again.GetName() != quantified.GetName()
    assert quantified.GetSegmentation().GetNumberOfSegments() == len(LOBES)
    assert again.GetSegmentation().GetNumberOfSegments() == len(LOBES) + 1


def test_stopping_and_unfit_cts_add_nothing_to_the_scene(world, quantified):
    scene, volume = world
    nodes = scene.scene.GetNumberOfNodes()

    def stop(state):
        if state.fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        quantify_volume(volume, "x", StagedProgress(DEFAULT_PLAN.stages, stop))
    voxels_of(volume)[:] = 40
    with pytest.raises(UnfitInputError):
        quantify_volume(volume, "x")
    assert scene.scene.GetNumberOfNodes() == nodes
