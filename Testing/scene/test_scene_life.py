"""Live figures through the life of a scene: save and reload, undo, transforms, removal and closing."""

import gc
import json
import weakref
from copy import copy

import numpy as np
import pytest

pytest.importorskip("slicer")

import slicer
import vtk
from scene_world import SHAPE, World, array_of, slab_lobes

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.segmentations import create_segmentation_node, segmentation_of_node
from COVIDQuantLib.segmentation.result import Segmentation


@pytest.fixture(autouse=True)
def nothing_is_logged(capfd):
    yield
    lines = [line for line in capfd.readouterr().err.splitlines() if "ERR|" in line or "Traceback" in line]
    assert lines == []


def cells(table):
    return [
        [table.GetCellText(row, column) for column in range(table.GetNumberOfColumns())]
        for row in range(table.GetNumberOfRows())
    ]


def paint_lesion(world, center=(5, 6, 7)):
    return world.paint("pneumonia", world.ball(center, 2), world.logic.MODE_MERGE_MAX)


def saved_and_reloaded(world, folder):
    """Another scene read from the .mrb of the first."""
    bundle = str(folder / "case.mrb")
    assert world.scene.WriteToMRB(bundle)
    session = HeadlessScene()
    assert session.scene.ReadFromMRB(bundle)
    return session


def test_everything_survives_a_scene_bundle(tmp_path):
    world = World(30)
    provenance = {"lobes": {"method": "model-free", "version": 3}}
    result = Segmentation(slab_lobes(), slab_lobes() == 2, provenance, [CTWarning("thick-sections", "5 mm")])
    node = create_segmentation_node(world.scene, world.volume, result, "case")
    live = LiveQuantification(world.volume, node, thresholds=Thresholds(-700, -300))
    shown, counts = cells(live.table), live.histogram.counts
    session = saved_and_reloaded(world, tmp_path)

    again = session.scene.GetFirstNodeByName("case")
    table = again.GetNodeReference("COVIDQuant.table")
    assert cells(table) == shown
    assert table.GetColumnTitle("volume_ml") == live.table.GetColumnTitle("volume_ml")
    relive = LiveQuantification.reattach(again)
    assert relive.thresholds == Thresholds(-700, -300)
    assert relive.table is table
    assert cells(table) == shown
    assert np.array_equal(relive.histogram.counts, counts)
    back = segmentation_of_node(again, relive.volume)
    assert back.provenance == provenance
    assert [warning.code for warning in back.warnings] == ["thick-sections"]
    old, new = node.GetSegmentation(), again.GetSegmentation()
    assert list(new.GetSegmentIDs()) == list(old.GetSegmentIDs())
    for segment_id in old.GetSegmentIDs():
        assert new.GetSegment(segment_id).GetName() == old.GetSegment(segment_id).GetName()
        assert new.GetSegment(segment_id).GetColor() == pytest.approx(old.GetSegment(segment_id).GetColor(), abs=0.01)
        fill = [n.GetDisplayNode().GetSegmentOpacity2DFill(segment_id) for n in (node, again)]
        assert fill[0] == pytest.approx(fill[1])


def test_reloaded_figures_follow_edits(tmp_path):
    world = World(31)
    LiveQuantification(world.volume, world.node)
    again = copy(world)
    again.session = saved_and_reloaded(world, tmp_path)
    again.scene, again.logic = again.session.scene, again.session.segmentations
    again.node = again.scene.GetFirstNodeByName("segmentation")
    again.volume = again.node.GetNodeReference("COVIDQuant.volume")
    live = LiveQuantification.reattach(again.node)
    paint_lesion(again, (10, 14, 14))
    assert live.is_out_of_date
    live.update()
    assert np.array_equal(live.histogram.counts, again.recount()[0])


def test_reattaching_without_a_ct_says_so():
    world = World(32)
    with pytest.raises(UnfitInputError, match="not linked to a CT"):
        LiveQuantification.reattach(world.node)


def test_scene_undo_brings_figures_back():
    world = World(33)
    world.scene.SetUndoOn()
    world.node.SetUndoEnabled(True)
    live = LiveQuantification(world.volume, world.node)
    before = live.histogram.counts.copy()
    world.scene.SaveStateForUndo()
    paint_lesion(world, (10, 14, 14))
    live.update()
    assert not np.array_equal(live.histogram.counts, before)
    world.scene.Undo()
    live.update()
    assert np.array_equal(live.histogram.counts, before)
    assert np.array_equal(live.histogram.counts, world.recount()[0])


def test_events_mark_and_wake_once_and_update_counts_once():
    world = World(34)
    woken = []
    live = LiveQuantification(world.volume, world.node, wake=lambda: woken.append(1))
    for n in range(5):
        paint_lesion(world, (9, 4 + n, 9))
    assert woken == [1]
    assert live.is_out_of_date
    assert live.update()
    assert not live.is_out_of_date
    paint_lesion(world, (2, 9, 9))
    assert woken == [1, 1]


def test_immediate_figures_are_never_behind():
    world = World(35)
    live = LiveQuantification(world.volume, world.node, immediately=True)
    for n in range(6):
        paint_lesion(world, (9, 4 + n, 9))
        assert np.array_equal(live.histogram.counts, world.recount()[0])
    world.content.RemoveSegment("right_middle_lobe")
    assert np.array_equal(live.histogram.counts, world.recount()[0])
    assert {warning.code for warning in live.warnings()} == {"segment-missing"}


def test_an_exchanged_segmentation_object_is_followed():
    world = World(36)
    live = LiveQuantification(world.volume, world.node)
    other = slicer.vtkSegmentation()
    other.DeepCopy(world.content)
    other.RemoveSegment("pneumonia")
    world.node.SetAndObserveSegmentation(other)
    assert live.is_out_of_date
    live.update()
    assert live.metrics.value("whole lung", "lesion_volume_ml") == 0


def test_another_ct_in_the_same_node_is_counted_anew():
    world = World(37)
    live = LiveQuantification(world.volume, world.node)
    array_of(world.volume)[:] = -500
    world.volume.GetImageData().GetPointData().GetScalars().Modified()
    world.volume.GetImageData().Modified()
    assert live.is_out_of_date
    live.update()
    assert live.metrics.value("whole lung", "mean_lung_hu") == -500
    world.volume.SetSpacing(0.93, 0.89, 1.37)
    live.update()
    assert np.array_equal(live.histogram.counts, world.recount()[0])
    assert live.histogram.voxel_volume_ml == pytest.approx(0.93 * 0.89 * 1.37 / 1000)


def test_ct_shrunk_under_the_segments_counts_what_is_left():
    world = World(38)
    live = LiveQuantification(world.volume, world.node)
    cropped = vtk.vtkExtractVOI()
    cropped.SetInputData(world.volume.GetImageData())
    cropped.SetVOI(0, SHAPE[2] - 6, 0, SHAPE[1] - 5, 0, SHAPE[0] - 4)
    cropped.Update()
    world.volume.SetAndObserveImageData(cropped.GetOutput())
    assert live.is_out_of_date
    live.update()
    world.geometry = type(world.geometry)((SHAPE[0] - 3, SHAPE[1] - 4, SHAPE[2] - 5), world.geometry.spacing)
    assert np.array_equal(live.histogram.counts, world.recount()[0])
    assert "segment-beyond-ct" in {warning.code for warning in live.warnings()}


def test_bent_segmentation_is_a_clear_error_and_mends_itself():
    world = World(39)
    woken = []
    live = LiveQuantification(world.volume, world.node, wake=lambda: woken.append(1))
    before = cells(live.table)
    bend = world.scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    grid = slicer.vtkOrientedBSplineTransform()
    coefficients = vtk.vtkImageData()
    coefficients.SetDimensions(5, 5, 5)
    coefficients.AllocateScalars(vtk.VTK_DOUBLE, 3)
    coefficients.GetPointData().GetScalars().Fill(1.0)
    grid.SetCoefficientData(coefficients)
    bend.SetAndObserveTransformToParent(grid)
    world.node.SetAndObserveTransformNodeID(bend.GetID())
    with pytest.raises(UnfitInputError, match="bends space"):
        live.update()
    assert live.is_out_of_date
    assert live.problem is not None
    assert cells(live.table) == before
    told = len(woken)
    world.node.SetAndObserveTransformNodeID(None)
    assert len(woken) == told + 1
    assert live.update()
    assert live.problem is None
    assert cells(live.table) == before


@pytest.mark.parametrize("which", ["volume", "segmentation", "table"])
def test_removing_a_node_detaches(which):
    world = World(40)
    live = LiveQuantification(world.volume, world.node)
    assert live.is_attached
    world.scene.RemoveNode(getattr(live, which))
    assert not live.is_attached


def test_closing_the_scene_detaches_and_frees():
    world = World(41)
    live = LiveQuantification(world.volume, world.node)
    world.scene.Clear(0)
    assert not live.is_attached
    live.close()


def test_observers_do_not_keep_a_dropped_object_alive():
    world = World(42)
    live = LiveQuantification(world.volume, world.node)
    gone = weakref.ref(live)
    del live
    gc.collect()
    assert gone() is None
    paint_lesion(world)


def test_closed_figures_stay_as_they_were():
    world = World(43)
    live = LiveQuantification(world.volume, world.node)
    before = cells(live.table)
    live.close()
    paint_lesion(world)
    assert cells(live.table) == before


def test_summary_and_thresholds_are_kept_with_the_table():
    world = World(44)
    live = LiveQuantification(world.volume, world.node)
    live.thresholds = Thresholds(-650, -250)
    record = json.loads(live.table.GetAttribute("COVIDQuant.metrics"))
    assert record["thresholds"] == {"ggo_hu": -650, "consolidation_hu": -250}
    assert record["involved_lobes"] == live.metrics.involved_lobes
