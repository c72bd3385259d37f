"""A reader compares exams in the panel, on real nodes: choosing, comparing, looking, saving."""

from datetime import date

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer

from COVIDQuantLib.scene.followup.exams import set_day
from COVIDQuantLib.scene.followup.layouts import AFTER, BEFORE, SIDE_BY_SIDE, VIEWS, WITH_CHART
from COVIDQuantLib.scene.review.segment_edits import remove_from_lesion
from COVIDQuantLib.voxels.box import Box

_DAYS = (date(2020, 2, 1), date(2020, 2, 11))


@pytest.fixture(scope="module")
def phantoms(once):
    """One patient twice, with less pneumonia at the second exam."""
    return [once.phantom(seed=5, thickness_mm=8.0, matrix=64, extent_percent=extent) for extent in (14.0, 5.0)]


def add_exam(world, phantom, name, day=None):
    """A CT with its truth as result, shown in the panel."""
    volume = world.add_ct(phantom, name)
    set_day(volume, day)
    return world.add_result(phantom, volume)


@pytest.fixture
def two(world, phantoms):
    """Both exams in the scene, the later one shown."""
    exams = zip(phantoms, _DAYS, strict=True)
    return world, [add_exam(world, phantom, f"exam {n}", day) for n, (phantom, day) in enumerate(exams)]


def tick(world, row, on=True):
    cell = world.view("examsTable").table.rows[row][0]
    assert cell.can_be_ticked
    world.tables["examsTable"].changed(row, 0, cell.text, on)


def enter_day(world, text, row=0):
    assert world.view("examsTable").table.rows[row][1].can_be_edited
    world.tables["examsTable"].changed(row, 1, text, False)
    world.process_events()


def test_nothing_can_be_compared_without_exams_and_the_button_says_why(world, phantoms):
    assert "Quantify a CT" in world.ui.compareButton.toolTip
    add_exam(world, phantoms[0], "only", _DAYS[0])
    assert not world.ui.compareButton.enabled
    assert "Tick the earlier exams" in world.ui.compareButton.toolTip
    assert world.cells("examsTable") == [["only pneumonia", "2020-02-01", "shown now"]]
    assert not world.ui.comparisonWidget.visible


def test_exams_of_an_unknown_patient_are_offered_and_not_ticked(two):
    world, _ = two
    assert world.cells("examsTable")[0] == ["exam 0 pneumonia", "2020-02-01", "scene, patient unknown"]
    assert not world.ui.compareButton.enabled
    assert "Tick the earlier exams" in world.ui.followupLabel.text
    tick(world, 0)
    assert world.ui.compareButton.enabled
    assert world.ui.followupLabel.text == ""
    enter_day(world, "")
    assert "Enter the date of exam 0 pneumonia" in world.ui.compareButton.toolTip
    enter_day(world, "yesterday")
    assert "“yesterday” is not a date" in world.errors.pop()
    enter_day(world, "2020-01-31")
    assert world.ui.compareButton.enabled
    assert world.panel.parameters.inputVolume is not None


def test_a_comparison_is_cancelled_and_leaves_nothing(two):
    world, _ = two
    tick(world, 0)
    before = world.scene.GetNumberOfNodes()
    world.ui.compareButton.click()
    world.process_events()
    assert world.ui.compareButton.text == "Cancel"
    assert world.ui.followupBar.visible
    world.ui.compareButton.click()
    assert world.ui.compareButton.text == "Compare"
    assert "Nothing was changed" in world.ui.followupLabel.text
    assert world.scene.GetNumberOfNodes() == before


def test_the_scene_closes_while_exams_are_compared(two):
    world, _ = two
    tick(world, 0)
    world.ui.compareButton.click()
    world.until(lambda: world.panel.sections[4]._run._current.job is not None)
    world.scene.Clear(0)
    world.process_events()
    assert world.view("examsTable").table.shape[0] == 0
    assert not world.ui.compareButton.enabled


@pytest.mark.slow
def test_a_reader_compares_two_exams(two, tmp_path):
    world, results = two
    ui = world.ui
    layout = world.make_views()
    tick(world, 0)
    ui.onsetEdit.text = "2020-01-25"
    ui.compareButton.click()
    world.until(lambda: ui.comparisonWidget.visible)
    look_at_the_tables(world)
    look_side_by_side(world, results, layout)
    go_on_after_an_edit(world)
    come_back(world, tmp_path)


def look_at_the_tables(world):
    ui = world.ui
    assert ui.pairCombo.property("texts") == ["2020-02-01 → 2020-02-11 (10 days)"]
    assert "contracted" in ui.overviewLabel.text
    rows = {row[0]: row for row in world.cells("changesTable")}
    assert rows["Extent, %"][3].startswith("-")
    assert rows["Extent, %"][5] in {"within error", "unclear", "exceeds error"}
    ui.regionCombo.currentIndex = 3
    assert ui.regionCombo.property("texts")[3] == "right upper lobe"
    assert {row[0]: row for row in world.cells("changesTable")}["Extent, %"] != rows["Extent, %"]
    assert "Registration good" in ui.lesionsLabel.text
    fates = {row[1] for row in world.cells("lesionsTable")}
    assert fates <= {"shrunk", "resolved", "split", "unchanged"}
    assert "identifies the patient" in ui.followupWarningsLabel.text
    world.ui.courseButton.click()
    assert world.plot.GetPlotChartNode().GetTitle() == "Extent, whole lung"
    assert world.plot.GetPlotChartNode().GetNumberOfPlotSeriesNodes() == 4


def look_side_by_side(world, results, layout):
    ui, kept = world.ui, world.panel.sections[4].views._kept
    usual = layout.GetViewArrangement()
    ui.sideBySideButton.click()
    assert layout.GetViewArrangement() == SIDE_BY_SIDE
    world.process_events()
    shown = {node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}
    for view in VIEWS:
        volume = world.scene.GetNodeByID(shown[view.name].GetBackgroundVolumeID())
        assert volume.GetName().startswith("exam 1" if view.side == AFTER else "exam 0")
        assert bool(volume.GetTransformNodeID()) == (view.side == BEFORE)
        assert shown[view.name].GetLinkedControl()
    display = results[1].GetDisplayNode()
    sides = {node.GetID(): node.GetLayoutName() for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
    allowed = {name for view_id, name in sides.items() if display.IsDisplayableInView(view_id)}
    assert {view.name for view in VIEWS if view.side == AFTER} <= allowed
    assert not allowed & {view.name for view in VIEWS if view.side == BEFORE}
    outline = kept.outline(1).GetDisplayNode()
    assert outline.GetVisibility()
    ui.outlineCheckBox.click()
    assert not outline.GetVisibility()
    look_at_the_change_map(world, kept, shown)
    where = [node.GetSliceToRAS().GetElement(2, 3) for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")]
    world.view("lesionsTable").select(0)
    assert where != [node.GetSliceToRAS().GetElement(2, 3) for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")]
    ui.courseButton.click()
    assert layout.GetViewArrangement() == WITH_CHART
    ui.sideBySideButton.click()
    assert layout.GetViewArrangement() == usual
    assert all(display.IsDisplayableInView(view_id) for view_id in sides)
    ui.sideBySideButton.click()
    layout.SetViewArrangement(usual)
    assert not ui.sideBySideButton.checked
    assert all(display.IsDisplayableInView(view_id) for view_id in sides)


def look_at_the_change_map(world, kept, shown):
    assert "resolved" in world.ui.changeMapLabel.text
    world.ui.changeMapCheckBox.click()
    assert {shown[view.name].GetLabelVolumeID() for view in VIEWS} == {kept.change_map(1, 2).GetID()}
    assert shown["Red"].GetLabelVolumeID() is None, "it shows another CT"
    world.ui.changeMapCheckBox.click()
    assert {shown[view.name].GetLabelVolumeID() for view in VIEWS} == {None}


def go_on_after_an_edit(world):
    assert "edited since" not in world.ui.followupWarningsLabel.text
    reading = world.panel.reading
    i, j, k = reading.volume.GetImageData().GetDimensions()
    half = Box((0, 0, 0), (k, j, i // 2))
    remove_from_lesion(reading.segmentation, reading.volume, np.ones(half.shape, bool), half)
    world.process_events()
    assert "edited since" in world.ui.followupWarningsLabel.text


def come_back(world, tmp_path):
    world.ui.regionCombo.currentIndex = 0
    before = world.cells("changesTable"), world.cells("lesionsTable")
    bundle = str(tmp_path / "case.mrb")
    assert slicer.util.saveScene(bundle)
    world.scene.Clear(0)
    assert not world.ui.comparisonWidget.visible
    slicer.util.loadScene(bundle)
    world.process_events()
    assert world.ui.comparisonWidget.visible
    world.ui.regionCombo.currentIndex = 0
    assert (world.cells("changesTable"), world.cells("lesionsTable")) == before
    kept = world.panel.sections[4].views._kept
    assert kept.moved_volume(1).GetParentTransformNode() is kept.transform(1)
