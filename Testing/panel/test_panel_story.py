"""A reader's story through the panel's own code, on real nodes, with stand-ins for Qt (panel_widgets.py)."""

import json
import os
import re
import sys
import types
import unittest
from multiprocessing import spawn
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import vtk
from panel_world import PanelWorld, Timer
from test_scene_life import nothing_is_logged  # noqa: F401 - a fixture of all tests here
from worker_world import WorkerThat, blocks_left, is_running

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.pipeline import MODEL_FREE, Plan
from COVIDQuantLib.scene import quantification_job
from COVIDQuantLib.scene.nodes.volumes import ct_of_node, node_of_ct, voxels_of
from COVIDQuantLib.scene.quantification_job import _add_segmentation
from COVIDQuantLib.scene.quantification_run import QuantifyRun
from COVIDQuantLib.scene.review.segment_edits import remove_from_lesion
from COVIDQuantLib.scene.review.segment_status import Figures
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.simulation.phantom import PhantomSettings
from COVIDQuantLib.voxels.box import Box


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=3, thickness_mm=6.0, matrix=96, extent_percent=8.0, motion=True)


@pytest.fixture
def world():
    world = PanelWorld()
    yield world
    world.close()
    assert world.errors == []
    assert Timer.running == []
    assert blocks_left() == []


def add_ct(world, phantom, name="CT"):
    volume = node_of_ct(world.scene, phantom.ct, name)
    world.panel.parameters.inputVolume = volume
    return volume


def add_result(world, phantom, volume):
    """The phantom's truth with its artefacts as pneumonia, as if the networks had found it."""
    lesions = (phantom.lesions | phantom.artefacts).astype(bool)
    found = Segmentation(phantom.lobes.astype(np.uint8), lesions, {"lobes": {"method": "given"}})
    node = _add_segmentation(volume, f"{volume.GetName()} pneumonia", ct_of_node(volume), found)
    world.panel.parameters.segmentation = node
    return node


@pytest.fixture
def read(world, phantom):
    """A result that is followed."""
    add_result(world, phantom, add_ct(world, phantom))
    return world


def whole(world, measure="extent_percent"):
    return world.panel.reading.live.metrics.value("whole lung", measure)


# ---------------------------------------------------------------------------------------------------------- input


def test_an_empty_scene_offers_nothing_and_says_why(world):
    for name in ("quantifyButton", "copyButton", "exportButton", "acceptAllButton", "searchButton", "recountButton"):
        button = getattr(world.ui, name)
        assert not button.enabled, name
        assert button.toolTip, name


def test_a_volume_that_is_no_ct_is_refused_beside_the_selector(world, phantom):
    volume = add_ct(world, phantom)
    assert "mm" in world.ui.fitnessLabel.text
    voxels_of(volume)[:] = 40
    volume.GetImageData().GetPointData().GetScalars().Modified()
    world.panel.parameters.inputVolume = world.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    assert "no voxels" in world.ui.fitnessLabel.text
    world.panel.parameters.inputVolume = volume
    assert "not Hounsfield units" in world.ui.fitnessLabel.text
    assert not world.ui.quantifyButton.enabled
    assert world.ui.fitnessLabel.text in world.ui.quantifyButton.toolTip


def test_method_and_device_are_named_and_timed(world, phantom):
    add_ct(world, phantom)
    world.ui.methodCombo.currentIndex = 1
    assert world.panel.parameters.method == "model-free"
    assert not world.ui.deviceCombo.enabled
    assert world.ui.timeLabel.text.startswith("About")
    assert world.ui.quantifyButton.enabled
    assert "model-free" in world.ui.methodCombo.texts[1]
    world.ui.methodCombo.currentIndex = 0
    world.ui.deviceCombo.currentIndex = 1
    assert world.panel.parameters.device == "cpu"


def test_missing_packages_are_offered_and_only_installed_by_a_click(world, phantom, monkeypatch):
    from COVIDQuantPanel import installing

    monkeypatch.setattr(installing, "missing_packages", lambda: ["torch"])
    asked = []
    monkeypatch.setattr(installing, "install", lambda: asked.append(1) or "Restart Slicer.")
    add_ct(world, phantom)
    world.leave()
    world.open()
    assert not world.ui.quantifyButton.enabled
    assert world.ui.installButton.visible
    assert asked == []
    world.ui.installButton.click()
    assert asked == [1]
    assert world.ui.progressLabel.text == "Restart Slicer."
    world.ui.methodCombo.currentIndex = 1
    assert world.ui.quantifyButton.enabled
    assert not world.ui.installButton.visible


@pytest.fixture
def with_worker(world, monkeypatch):
    """The panel's next runs do what a function of worker_world does."""

    def use(name):
        workers = []

        def make():
            workers.append(WorkerThat(name))
            return workers[-1]

        section = world.panel.sections[0]
        section._run.close()
        section._run = QuantifyRun(make)
        world.ui.methodCombo.currentIndex = 1
        return workers

    return use


def test_quantify_shows_its_result_and_learns_the_time(world, phantom, with_worker, monkeypatch):
    # As it is in Slicer, where multiprocessing was imported before Slicer named its Python.
    monkeypatch.setattr(spawn, "_python_exe", b"")
    volume = add_ct(world, phantom)
    with_worker("answer")
    world.ui.quantifyButton.click()
    assert world.ui.quantifyButton.text == "Cancel"
    assert world.ui.progressBar.visible
    world.until(lambda: world.panel.reading)
    assert os.fsdecode(spawn.get_executable()) == sys.executable
    assert world.ui.quantifyButton.text == "Quantify"
    assert not world.ui.progressBar.visible
    assert world.panel.reading.volume is volume
    assert world.ui.segmentationSelector.currentNode() is world.panel.reading.segmentation
    assert world.ui.figuresTable.rowCount == 9
    assert json.loads(world.settings["COVIDQuant/RunTimes"])
    first = world.panel.reading.segmentation
    world.ui.quantifyButton.click()
    world.until(lambda: world.panel.reading and world.panel.reading.segmentation is not first)
    assert world.scene.IsNodePresent(first)


@pytest.mark.parametrize("end", ["cancel", "close the scene", "remove the CT", "quit"])
def test_a_run_ends_with_whatever_ends_it(world, phantom, with_worker, end):
    volume = add_ct(world, phantom)
    workers = with_worker("linger")
    voxels_of(volume)[0, 0, 0] = 0
    world.ui.quantifyButton.click()
    pid = workers[0].pid
    world.process_events()
    {
        "cancel": world.ui.quantifyButton.click,
        "close the scene": lambda: world.scene.Clear(0),
        "remove the CT": lambda: world.scene.RemoveNode(volume),
        "quit": world.widget.cleanup,
    }[end]()
    assert not is_running(pid)
    if end != "quit":
        world.process_events()
        assert world.ui.quantifyButton.text == "Quantify"
        assert not world.ui.progressBar.visible
    assert world.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_failed_run_is_told_in_words(world, phantom, with_worker):
    volume = add_ct(world, phantom)
    with_worker("meet_with_a_fault")
    voxels_of(volume)[0, 0, 0] = 0
    world.ui.quantifyButton.click()
    world.until(lambda: world.ui.quantifyButton.text == "Quantify")
    assert world.ui.progressLabel.text
    assert len(world.errors) == 1
    world.errors.clear()


def test_a_reader_who_went_on_is_not_called_back(world, phantom, with_worker):
    first = add_ct(world, phantom, "first")
    with_worker("answer")
    world.ui.quantifyButton.click()
    second = add_ct(world, phantom, "second")
    world.until(lambda: world.ui.quantifyButton.text == "Quantify")
    assert world.panel.volume is second
    assert world.panel.reading is None
    world.panel.parameters.inputVolume = first
    assert world.panel.reading.volume is first


def test_several_cts_keep_their_results_apart(world, phantom):
    one = add_ct(world, phantom, "one")
    of_one = add_result(world, phantom, one)
    two = add_ct(world, phantom, "two")
    assert world.panel.parameters.segmentation is None
    assert world.panel.reading is None
    of_two = add_result(world, phantom, two)
    world.panel.parameters.inputVolume = one
    assert world.panel.parameters.segmentation is of_one
    assert of_one.GetDisplayNode().GetVisibility()
    assert not of_two.GetDisplayNode().GetVisibility()
    world.ui.segmentationSelector.setCurrentNode(of_two)
    assert not of_one.GetDisplayNode().GetVisibility()
    assert of_two.GetDisplayNode().GetVisibility()
    assert world.panel.parameters.inputVolume is two
    assert world.panel.reading.segmentation is of_two


# -------------------------------------------------------------------------------------------------------- results


def test_table_headline_sorting_and_clipboard(read):
    texts = read.ui.figuresTable.texts()
    assert [row[0] for row in texts][:3] == ["whole lung", "right lung", "left lung"]
    assert f"{whole(read):.2f}" in texts[0]
    assert f"{whole(read):.2f} %" in read.ui.headlineLabel.text
    assert "AI result" in read.ui.stateLabel.text
    read.ui.figuresTable.horizontalHeader().emit("sectionClicked", 1)
    assert read.ui.figuresTable.texts() != texts
    read.ui.figuresTable.horizontalHeader().emit("sectionClicked", 0)
    assert read.ui.figuresTable.texts() == texts
    read.ui.copyButton.click()
    assert len(read.clipboard.splitlines()) == 10


def test_columns_are_chosen_and_kept(read):
    results = read.panel.sections[1]
    before = read.ui.figuresTable.columnCount
    results._actions["lung_weight_g"].click()
    assert "lung_weight_g" in read.panel.parameters.columns
    assert read.ui.figuresTable.columnCount == before + 1
    results._actions["lung_weight_g"].click()
    assert read.ui.figuresTable.columnCount == before


def test_headings_are_narrow_and_the_table_is_as_high_as_its_rows(read):
    headings = [item.text() for item in read.ui.figuresTable.headings]
    assert "Consol.\n%" in headings
    assert "Lesion\nHU" in headings
    assert "CT\nscore" in headings
    assert all(len(line) <= 8 for text in headings for line in text.splitlines())
    full = read.ui.figuresTable.height
    read.panel.parameters.segmentation = None
    assert read.ui.figuresTable.height < full


def test_the_bars_have_the_names_of_the_lobes(read):
    assert read.plots.names() == []
    read.ui.lobesChartButton.click()
    assert read.plots.names() == [lobe.short for lobe in LOBES]
    other = read.scene.AddNewNodeByClass("vtkMRMLPlotChartNode", "of another module")
    read.plots.node.SetPlotChartNodeID(other.GetID())
    assert read.plots.names() == []
    read.ui.lobesChartButton.click()
    read.ui.histogramChartButton.click()
    assert read.plots.names() == []
    read.ui.lobesChartButton.click()
    read.widget.cleanup()
    assert read.plots.names() == []


def test_what_is_switched_on_in_3d_is_seen(read):
    kind = slicer.vtkMRMLLayoutNode
    layout = read.scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    for arrangement in (kind.SlicerLayoutFourUpPlotView, kind.SlicerLayoutConventionalPlotView,
                        kind.SlicerLayoutFourUpView):  # fmt: skip
        layout.AddLayoutDescription(arrangement, "<layout/>")
    three_d, plot = (read.scene.AddNewNodeByClass(f"vtkMRML{name}Node") for name in ("View", "PlotView"))
    layout.SetViewArrangement(kind.SlicerLayoutFourUpPlotView)
    plot.SetMappedInLayout(True)
    read.ui.surfacesCheckBox.click()
    assert layout.GetViewArrangement() == kind.SlicerLayoutConventionalPlotView
    plot.SetMappedInLayout(False)
    read.ui.renderingCheckBox.click()
    assert layout.GetViewArrangement() == kind.SlicerLayoutFourUpView
    read.ui.histogramChartButton.click()
    assert layout.GetViewArrangement() == kind.SlicerLayoutConventionalPlotView
    three_d.SetMappedInLayout(True)
    layout.SetViewArrangement(kind.SlicerLayoutFourUpPlotView)
    read.ui.renderingCheckBox.click()
    read.ui.renderingCheckBox.click()
    assert layout.GetViewArrangement() == kind.SlicerLayoutFourUpPlotView


def test_a_click_on_a_row_moves_the_slices(read):
    red = read.scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    matrix = [red.GetSliceToRAS().GetElement(n, 3) for n in range(3)]
    row = [r[0] for r in read.ui.figuresTable.texts()].index(LOBES[2].short)
    read.ui.figuresTable.emit("cellClicked", row, 0)
    assert [red.GetSliceToRAS().GetElement(n, 3) for n in range(3)] != matrix


def test_thresholds_act_at_once_and_never_cross(read):
    before = whole(read, "consolidation_volume_ml")
    read.ui.consolidationSlider.value = -600.0
    assert whole(read, "consolidation_volume_ml") > before
    read.ui.ggoSlider.value = -500.0
    thresholds = read.panel.reading.live.thresholds
    assert (thresholds.ggo_hu, thresholds.consolidation_hu) == (-500, -500)
    assert read.ui.consolidationSlider.value == -500
    read.ui.consolidationSlider.value = -700.0
    assert read.panel.reading.live.thresholds.ggo_hu == -700
    read.ui.resetThresholdsButton.click()
    assert whole(read, "consolidation_volume_ml") == before
    assert read.ui.ggoSlider.value == -750


def test_charts_and_views(read):
    read.ui.lobesChartButton.click()
    read.ui.histogramChartButton.click()
    charts = read.panel.reading.charts
    assert read.charts == [charts.lobes, charts.histogram]
    composite = read.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    display = read.panel.reading.segmentation.GetDisplayNode()
    fill = display.GetSegmentOpacity2DFill("pneumonia")
    read.ui.densityCheckBox.click()
    assert composite.GetForegroundVolumeID() == read.panel.reading.density.volume.GetID()
    assert display.GetSegmentOpacity2DFill("pneumonia") == 0
    read.ui.densityCheckBox.click()
    assert composite.GetForegroundVolumeID() is None
    assert display.GetSegmentOpacity2DFill("pneumonia") == pytest.approx(fill)
    read.ui.surfacesCheckBox.click()
    assert display.GetVisibility3D()
    read.ui.surfacesCheckBox.click()
    assert not display.GetVisibility3D()


def test_a_result_brings_its_ct_into_the_views(read, phantom):
    composite = read.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    other = add_ct(read, phantom, "other")
    read.ui.densityCheckBox.click()
    add_result(read, phantom, other)
    assert read.background is other
    density = read.panel.reading.density.volume
    assert composite.GetForegroundVolumeID() == density.GetID()
    read.panel.parameters.segmentation = None
    assert composite.GetForegroundVolumeID() is None


def test_the_volume_rendering_can_be_switched(read):
    read.ui.renderingCheckBox.click()
    shown = read.rendering.GetFirstVolumeRenderingDisplayNode(read.panel.reading.density.volume)
    assert shown.GetVisibility()
    how = shown.GetVolumePropertyNode()
    assert how.GetVolumeProperty().GetInterpolationType() == vtk.VTK_NEAREST_INTERPOLATION
    step = how.GetScalarOpacity().GetValue(100)
    read.ui.consolidationSlider.value = -700.0
    assert how.GetScalarOpacity().GetValue(100) > step
    read.ui.renderingCheckBox.click()
    assert not shown.GetVisibility()


# --------------------------------------------------------------------------------------------------------- review


def lesions_of(world):
    reading = world.panel.reading
    i, j, k = reading.volume.GetImageData().GetDimensions()
    box = Box((0, 0, 0), (k, j, i))
    return reading.live.labels(box)[1], box


def test_the_editor_is_ready_for_the_pneumonia_within_the_lungs(read):
    editor = read.ui.editor
    assert editor.segmentation is read.panel.reading.segmentation
    assert editor.volume is read.panel.reading.volume
    assert editor.currentSegmentID() == "pneumonia"
    assert editor.shortcuts == 1
    node = editor.editor_node
    assert node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideAllSegments
    assert node.GetOverwriteMode() == slicer.vtkMRMLSegmentEditorNode.OverwriteNone
    # What erases needs no bounds, which cost Slicer time; what paints does.
    editor.setActiveEffectByName("Erase")
    assert node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
    editor.setActiveEffectByName("Paint")
    assert node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideAllSegments
    editor.setCurrentSegmentID("right_upper_lobe")
    assert node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
    read.leave()
    assert editor.shortcuts == 0
    read.open()
    assert editor.shortcuts == 1


def test_edits_show_at_once_and_go_back(read):
    before, texts = whole(read), read.ui.figuresTable.texts()
    lesions, box = lesions_of(read)
    read.ui.editor.saveStateForUndo()
    remove_from_lesion(read.panel.reading.segmentation, read.panel.reading.volume, lesions, box)
    read.process_events()
    assert whole(read) == 0
    assert read.ui.figuresTable.texts() != texts
    assert "edited" in read.ui.stateLabel.text
    assert read.ui.restoreAllButton.enabled
    read.ui.editor.undo()
    read.process_events()
    assert whole(read) == before
    assert "AI result" in read.ui.stateLabel.text
    assert not read.ui.restoreAllButton.enabled
    read.ui.editor.redo()
    read.process_events()
    read.ui.restoreAllButton.click()
    assert whole(read) == before
    assert read.ui.figuresTable.texts() == texts


def test_a_painted_lobe_takes_voxels_from_its_neighbour(read):
    reading = read.panel.reading
    read.ui.editor.setCurrentSegmentID("right_upper_lobe")
    lobes = reading.live.labels(lesions_of(read)[1])[0]
    k, j, i = np.argwhere(lobes == 3)[1000]
    box = Box((k, j, i), (k + 1, j + 1, i + 1))
    from COVIDQuantLib.scene.review.segment_edits import labelmap_in_box

    image = labelmap_in_box(reading.segmentation, reading.volume, np.ones((1, 1, 1), bool), box)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(
        image, reading.segmentation, "right_upper_lobe", logic.MODE_MERGE_MAX, image.GetExtent(), False, []
    )
    read.process_events()
    read.process_events()
    assert reading.live.overlap_voxels == 0
    assert reading.live.labels(box)[0].item() == 1


def test_a_lobe_painted_across_the_chest_wall_stays_in_the_chest(read):
    from COVIDQuantLib.scene.review.segment_edits import labelmap_in_box

    reading, ui = read.panel.reading, read.ui
    ui.editor.setCurrentSegmentID("right_upper_lobe")
    ui.editor.setActiveEffectByName("Paint")
    read.until(read.panel.sections[2]._chest._bound.poll)
    k, j, i = reading.live.labels(Box((0, 0, 0), reading.volume.GetImageData().GetDimensions()[::-1]))[0].shape
    rod = Box((k // 2, 0, i // 2), (k // 2 + 1, j, i // 2 + 1))
    logic = slicer.vtkSlicerSegmentationsModuleLogic

    def paint():
        image = labelmap_in_box(reading.segmentation, reading.volume, np.ones((1, j, 1), bool), rod)
        logic.SetBinaryLabelmapToSegment(
            image, reading.segmentation, "right_upper_lobe", logic.MODE_MERGE_MAX, image.GetExtent(), False, []
        )
        read.process_events()
        read.process_events()
        return reading.live.segment_mask("right_upper_lobe", rod)

    kept = paint()
    assert kept.any()
    assert not kept[0, 0].any()
    assert "outside the chest were not painted" in ui.reviewLabel.text
    ui.chestCheckBox.click()
    assert paint().all()
    ui.restoreAllButton.click()
    assert not reading.is_edited


def test_artefacts_are_listed_looked_at_and_decided_on_by_keys(read):
    reading, ui = read.panel.reading, read.ui
    before = whole(read)
    ui.searchButton.click()
    assert ui.searchButton.text.startswith("Stop")
    read.until(lambda: reading.findings.found)
    suspected = [p for p in reading.findings.found if p.finding.suspected]
    assert ui.findingsTable.rowCount == len(suspected)
    ui.suspectedCheckBox.click()
    assert ui.findingsTable.rowCount == len(reading.findings.found)
    assert not ui.removeButton.enabled
    red = read.scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    ui.findingsTable.selectRow(0)
    place = [red.GetSliceToRAS().GetElement(n, 3) for n in range(3)]
    assert place == pytest.approx(list(reading.findings.found[0].point))
    assert "extent" in ui.reasonLabel.text
    read.press("R", ui.findingsTable)
    assert whole(read) < before
    assert ui.findingsTable.texts()[0][4] == "removed"
    ui.editor.undo()
    read.process_events()
    assert whole(read) == before
    assert ui.findingsTable.texts()[0][4] == "open"
    ui.findingsTable.selectRow(0)
    read.press("K", ui.findingsTable)
    assert ui.findingsTable.texts()[0][4] == "kept"
    ui.editor.undo()
    read.process_events()
    assert ui.findingsTable.texts()[0][4] == "open"
    ui.editor.redo()
    read.process_events()
    assert ui.findingsTable.texts()[0][4] == "kept"
    ui.findingsTable.selectRow(0)
    read.press("U", ui.findingsTable)
    assert ui.findingsTable.texts()[0][4] == "open"
    read.press("N")


def test_one_place_goes_back_to_the_ai_result(read):
    reading, ui = read.panel.reading, read.ui
    before = whole(read)
    lesions, box = lesions_of(read)
    remove_from_lesion(reading.segmentation, reading.volume, lesions, box)
    read.process_events()
    assert whole(read) == 0
    crosshair = read.scene.AddNewNodeByClass("vtkMRMLCrosshairNode", "default")
    from COVIDQuantLib.scene.navigation import world_of_voxel

    crosshair.SetCrosshairRAS(*world_of_voxel(reading.volume, np.argwhere(lesions)[0]))
    ui.restorePlaceButton.click()
    assert 0 < whole(read) <= before
    assert "voxels changed" in ui.reviewLabel.text
    crosshair.SetCrosshairRAS(*world_of_voxel(reading.volume, (0, 0, 0)))
    ui.restorePlaceButton.click()
    assert "Nothing was edited here" in ui.reviewLabel.text


def test_accepting_and_taking_back(read):
    read.ui.acceptSegmentButton.click()
    assert read.panel.reading.figures is Figures.AI
    read.ui.acceptAllButton.click()
    assert "accepted" in read.ui.stateLabel.text
    read.ui.takeBackButton.click()
    assert "AI result" in read.ui.stateLabel.text
    assert not read.ui.takeBackButton.enabled


# --------------------------------------------------------------------------------------------------------- export


def test_export_asks_before_replacing_and_tells_what_failed(read, tmp_path):
    ui, boxes = read.ui, read.panel.sections[5]._boxes
    assert "folder" in ui.exportButton.toolTip
    ui.folderEdit.currentPath = str(tmp_path / "case")
    for name, box in boxes.items():
        box.checked = name == "metrics"
    assert ui.exportButton.enabled
    ui.exportButton.click()
    assert ui.exportButton.text == "Cancel"
    assert ui.exportBar.visible
    read.until(lambda: ui.exportButton.text == "Export")
    assert read_metrics(tmp_path / "case").metrics.rows == read.panel.reading.live.metrics.rows
    assert "metrics.csv" in ui.doneLabel.text
    ui.doneLabel.emit("linkActivated", (tmp_path / "case").as_uri())
    assert read.opened == [(tmp_path / "case").as_uri()]
    read.answer = False
    (tmp_path / "case" / "metrics.csv").write_text("mine", encoding="utf-8")
    ui.exportButton.click()
    assert "metrics.csv" in read.questions[0]
    assert (tmp_path / "case" / "metrics.csv").read_text(encoding="utf-8") == "mine"
    read.answer = True
    (tmp_path / "file").write_text("x", encoding="utf-8")
    ui.folderEdit.currentPath = str(tmp_path / "file")
    ui.exportButton.click()
    assert len(read.errors) == 1
    assert "file" in ui.doneLabel.text
    read.errors.clear()
    for box in boxes.values():
        box.checked = False
    assert not ui.exportButton.enabled


# ----------------------------------------------------------------------------------------------- life of the scene


def test_everything_is_restored_with_the_scene(read, tmp_path):
    ui, reading = read.ui, read.panel.reading
    lesions, box = lesions_of(read)
    ui.consolidationSlider.value = -500.0
    read.panel.parameters.columns = ["volume_ml", "ct_score"]
    lesions[: len(lesions) // 2] = False
    remove_from_lesion(reading.segmentation, reading.volume, lesions, box)
    read.process_events()
    ui.acceptAllButton.click()
    texts, headline = ui.figuresTable.texts(), ui.headlineLabel.text
    bundle = str(tmp_path / "case.mrb")
    assert read.scene.WriteToMRB(bundle)
    read.scene.Clear(0)
    assert read.panel.reading is None
    assert ui.figuresTable.rowCount == 0
    assert read.scene.ReadFromMRB(bundle)
    assert read.ui.figuresTable.texts() == texts
    assert read.ui.headlineLabel.text == headline
    assert read.ui.consolidationSlider.value == -500
    assert "accepted" in read.ui.stateLabel.text
    assert read.panel.reading.is_edited
    # The editor loses the segmentation while the scene is loaded, and has it again once that is done.
    read.process_events()
    assert read.ui.editor.segmentationNode() is read.panel.reading.segmentation
    assert read.ui.editor.currentSegmentID() == "pneumonia"
    read.ui.restoreAllButton.click()
    assert not read.panel.reading.is_edited


@pytest.mark.parametrize("which", ["volume", "segmentation", "table"])
def test_a_node_that_is_deleted_ends_the_reading(read, which):
    reading = read.panel.reading
    read.ui.densityCheckBox.click()
    read.scene.RemoveNode(reading.live.table if which == "table" else getattr(reading, which))
    read.process_events()
    read.panel.update()
    assert read.panel.reading is not reading
    assert not read.scene.IsNodePresent(reading.density.volume)


def test_what_is_deleted_is_not_replaced_by_another_patients(read, phantom):
    first = read.panel.volume
    of_first = read.panel.reading.segmentation
    second = add_ct(read, phantom, "second")
    add_result(read, phantom, second)
    read.ui.inputSelector.setCurrentNode(first)
    newer = add_result(read, phantom, first)
    read.scene.RemoveNode(newer)
    assert read.panel.reading.segmentation is of_first
    read.scene.RemoveNode(of_first)
    assert read.panel.volume is first
    assert read.panel.reading is None
    read.scene.RemoveNode(first)
    assert read.panel.volume is None
    assert read.panel.parameters.segmentation is None


def test_a_result_without_its_ct_is_not_counted_on_another(read, phantom):
    first, result = read.panel.volume, read.panel.reading.segmentation
    read.leave()
    second = node_of_ct(read.scene, phantom.ct, "second")
    read.scene.RemoveNode(first)
    read.open()
    assert read.panel.volume is second
    assert read.panel.reading is None
    # The reader may still say that it belongs there.
    read.ui.segmentationSelector.setCurrentNode(result)
    assert read.panel.reading.volume is second


def test_colour_numbers_cannot_be_chosen_as_a_ct(read):
    read.ui.densityCheckBox.click()
    assert read.panel.reading.density.volume.GetHideFromEditors()
    read.panel.parameters.segmentation = None
    read.panel.parameters.inputVolume = None
    read.leave()
    read.open()
    assert read.panel.volume.GetName() == "CT"


def test_a_reloaded_panel_is_open_at_once(read):
    left = read.ui.editor
    read.widget.cleanup()
    assert (left.shortcuts, left.editor_node) == (0, None)
    read.widget.setup()
    assert read.panel.reading is not None
    assert read.ui.editor.segmentationNode() is read.panel.reading.segmentation


def test_leaving_and_coming_back_keeps_the_figures(read):
    texts, reading = read.ui.figuresTable.texts(), read.panel.reading
    read.leave()
    lesions, box = lesions_of(read)
    remove_from_lesion(reading.segmentation, reading.volume, lesions, box)
    read.process_events()
    assert whole(read) == 0
    read.open()
    assert read.panel.reading is reading
    assert read.ui.figuresTable.texts() != texts


# ---------------------------------------------------------------------------------------------------------- logic


def test_the_logic_works_without_the_panel(world, phantom, tmp_path):
    logic = world.module.COVIDQuantLogic()
    volume = logic.makeSample(PhantomSettings(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0))
    told = []
    segmentation, table = logic.quantify(volume, Plan(MODEL_FREE), progress=told.append)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 6
    assert table.GetNumberOfRows() == 9
    assert told
    files = logic.export(segmentation, tmp_path, ["metrics"])
    assert [path.name for path in files] == ["metrics.csv", "metrics.json"]


# ------------------------------------------------------------------------------------------- Slicer's own modules


class StatisticsBase:
    """``SegmentStatisticsPluginBase`` as far as the plugin needs it."""

    def __init__(self):
        self.parameterNode = None

    @staticmethod
    def createMeasurementInfo(name, title, description, units):
        return {"name": name, "title": title, "description": description, "units": units}

    def getRequestedKeys(self):
        return self.defaultKeys

    def getParameterNode(self):
        return self.parameterNode


def test_segment_statistics_shows_the_tables_figures(read, monkeypatch):
    registered = []
    logic = types.SimpleNamespace(registeredPlugins=[], registerPlugin=registered.append)
    for name, content in (
        ("SegmentStatisticsPlugins", {"SegmentStatisticsPluginBase": StatisticsBase}),
        ("SegmentStatistics", {"SegmentStatisticsLogic": logic}),
    ):
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))
    from COVIDQuantPanel import statistics_plugin

    statistics_plugin.register()
    plugin = registered[0]
    reading = read.panel.reading
    nodes = {"ScalarVolume": reading.volume.GetID(), "Segmentation": reading.segmentation.GetID()}
    plugin.parameterNode = types.SimpleNamespace(GetParameter=nodes.get)
    shown = plugin.computeStatistics("left_lower_lobe")
    assert set(shown) == set(plugin.defaultKeys)
    for key, value in shown.items():
        assert value == reading.live.metrics.value("left lower lobe", key)
        info = plugin.getMeasurementInfo(key)
        assert info["description"]
        assert "." not in key
    assert plugin.computeStatistics("nonsense") == {}
    nodes.clear()
    assert plugin.computeStatistics("left_lower_lobe") == {}
    assert plugin.getMeasurementInfo("nonsense") is None


@pytest.fixture
def packages(world, monkeypatch):
    """Slicer's installer, which notes what it is asked for; ``there`` names the packages that are installed."""
    from COVIDQuantPanel import installing

    told = types.SimpleNamespace(there=set(), pip=[], torch=[])
    monkeypatch.setattr(installing.importlib.util, "find_spec", lambda name: name in told.there or None)

    def pip_ensure(requirements, constraints, requester):
        told.pip.append((requirements, constraints.read_text(encoding="utf-8"), requester))
        told.there |= {"monai", "safetensors"}

    packaging = types.ModuleType("slicer.packaging")
    packaging.load_requirements = lambda path: Path(path).read_text(encoding="utf-8").splitlines()
    packaging.pip_ensure = pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(slicer, "packaging", packaging, raising=False)

    class Torch:
        def installTorch(self, **wanted):
            told.torch.append(wanted)
            told.there.add("torch")
            return object()

    told.extension = types.SimpleNamespace(PyTorchUtilsLogic=Torch)
    return told


def test_packages_are_installed_without_replacing_slicers_own(world, packages, monkeypatch):
    from COVIDQuantPanel import installing

    monkeypatch.setitem(sys.modules, "PyTorchUtils", packages.extension)
    assert installing.missing_packages() == ["torch", "monai", "safetensors"]
    assert "Installed" in installing.install()
    assert installing.missing_packages() == []
    assert len(packages.torch) == 1
    ((requirements, held, _),) = packages.pip
    assert any(line.startswith("monai>=") for line in requirements)
    assert {"numpy", "SimpleITK", "torch"} <= {line.split("==")[0] for line in held.split()}
    assert "Installed" in installing.install()
    assert len(packages.torch) == 1


@pytest.mark.parametrize("agrees", [True, False])
def test_without_the_pytorch_extension_it_is_offered(world, packages, monkeypatch, agrees):
    from COVIDQuantPanel import installing

    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    asked = []
    manager = types.SimpleNamespace(installExtensionFromServer=lambda *wanted: asked.append(wanted) or True)
    slicer.app.extensionsManagerModel = lambda: manager
    world.answer = agrees
    text = installing.install()
    assert asked == ([("PyTorch", True)] if agrees else [])
    assert ("Restart" if agrees else "not installed") in text
    assert packages.pip == []


@pytest.mark.slow
def test_slicers_self_test_runs_through(world):
    """The story that Slicer's own self-test clicks through, a real run of the model-free way included."""
    strokes = []

    def erase_the_lower_half(effect):
        strokes.append((effect, world.ui.editor.currentSegmentID()))
        reading = world.panel.reading
        lesions, whole_ct = lesions_of(world)
        box = Box((0, 0, 0), (whole_ct.stop[0] // 2, *whole_ct.stop[1:]))
        world.ui.editor.saveStateForUndo()
        remove_from_lesion(reading.segmentation, reading.volume, lesions[box.slices], box)

    world.on_stroke = erase_the_lower_half
    world.make_views()
    test = world.module.COVIDQuantTest()
    for name in ("assertTrue", "assertFalse", "assertEqual", "assertIn", "assertNotIn", "assertIs", "assertIsNone",
                 "assertLess", "assertGreater", "assertGreaterEqual"):  # fmt: skip
        setattr(test, name, getattr(unittest.TestCase(), name))
    test.runTest()
    assert world.shown == "Test passed"
    assert strokes == [("Erase", "pneumonia")]


@pytest.mark.slow
def test_the_scripts_of_the_documentation_run(world, tmp_path, monkeypatch):
    text = (Path(__file__).resolve().parents[2] / "docs" / "scripting.md").read_text(encoding="utf-8")
    # What follows needs no Slicer and has a test of its own.
    text = text.split("## Without Slicer")[0]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 4
    make = world.module.COVIDQuantLogic.makeSample
    small = PhantomSettings(seed=3, thickness_mm=8.0, matrix=80, extent_percent=10.0, motion=True)
    monkeypatch.setattr(world.module.COVIDQuantLogic, "makeSample", lambda self: make(self, small))
    # Networks on the same story are for the tests of the job.
    monkeypatch.setattr(quantification_job, "plan_for_here", lambda: (Plan(MODEL_FREE), []))
    said, space = [], {"print": lambda *words: said.append(words)}
    for block in blocks:
        exec(compile(block.replace("/data/result", str(tmp_path / "result")), "scripting.md", "exec"), space)
        if "reading.close()" in block:
            space["reading"] = space["logic"].follow(None, space["segmentation"])
    space["reading"].close()
    assert (tmp_path / "result" / "metrics.csv").is_file()
    assert said
