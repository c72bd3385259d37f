"""The review of a result: the segment editor, suspected artefacts, going back to the AI result, acceptance."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer

from COVIDQuantLib.scene.review.segment_status import Figures
from COVIDQuantLib.voxels.box import Box


def test_the_editor_is_ready_for_the_pneumonia_within_the_lungs(read):
    editor = read.ui.editor

    def has_keys():
        calls = editor.calls
        return len(calls["installKeyboardShortcuts"]) - len(calls.get("uninstallKeyboardShortcuts", ()))

    assert editor.segmentationNode() is read.panel.reading.segmentation
    assert editor.logic.GetSourceVolumeNode() is read.panel.reading.volume
    assert editor.currentSegmentID() == "pneumonia"
    assert has_keys() == 1
    node = editor.logic.GetSegmentEditorNode()
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
    assert has_keys() == 0
    read.open()
    assert has_keys() == 1


def test_edits_show_at_once_and_go_back(read):
    before, texts = read.whole(), read.cells("figuresTable")
    read.ui.editor.setActiveEffectByName("Erase")
    read.stroke(read.lesions()[1])
    assert read.whole() == 0
    assert read.cells("figuresTable") != texts
    assert "edited" in read.ui.stateLabel.text
    assert read.ui.restoreAllButton.enabled
    read.ui.editor.undo()
    read.process_events()
    assert read.whole() == before
    assert "AI result" in read.ui.stateLabel.text
    assert not read.ui.restoreAllButton.enabled
    read.ui.editor.redo()
    read.process_events()
    read.ui.restoreAllButton.click()
    assert read.whole() == before
    assert read.cells("figuresTable") == texts


def test_a_painted_lobe_takes_voxels_from_its_neighbour(read):
    reading = read.panel.reading
    read.ui.editor.setCurrentSegmentID("right_upper_lobe")
    read.ui.editor.setActiveEffectByName("Paint")
    lobes = reading.live.labels(read.lesions()[1])[0]
    k, j, i = np.argwhere(lobes == 3)[1000]
    box = Box((k, j, i), (k + 1, j + 1, i + 1))
    read.stroke(box)
    read.process_events()
    assert reading.live.overlap_voxels == 0
    assert reading.live.labels(box)[0].item() == 1


def test_a_lobe_painted_across_the_chest_wall_stays_in_the_chest(read):
    reading, ui = read.panel.reading, read.ui
    ui.editor.setCurrentSegmentID("right_upper_lobe")
    ui.editor.setActiveEffectByName("Paint")
    read.until(read.panel.sections[2]._chest._bound.poll)
    k, j, i = reading.live.labels(Box((0, 0, 0), reading.volume.GetImageData().GetDimensions()[::-1]))[0].shape
    rod = Box((k // 2, 0, i // 2), (k // 2 + 1, j, i // 2 + 1))

    def paint():
        read.stroke(rod)
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
    before = read.whole()
    ui.searchButton.click()
    assert ui.searchButton.text.startswith("Stop")
    read.until(lambda: reading.findings.found)
    suspected = [p for p in reading.findings.found if p.finding.suspected]
    assert read.view("findingsTable").table.shape[0] == len(suspected)
    ui.suspectedCheckBox.click()
    assert read.view("findingsTable").table.shape[0] == len(reading.findings.found)
    assert not ui.removeButton.enabled
    assert read.view("findingsTable").table.grows == 4
    red = read.scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    read.view("findingsTable").select(0)
    assert red.GetSliceOffset() == pytest.approx(reading.findings.found[0].point[2])
    assert "extent" in ui.reasonLabel.text
    read.press("R", ui.findingsTable)
    assert read.whole() < before
    assert read.cells("findingsTable")[0][4] == "removed"
    ui.editor.undo()
    read.process_events()
    assert read.whole() == before
    assert read.cells("findingsTable")[0][4] == "open"
    read.view("findingsTable").select(0)
    read.press("K", ui.findingsTable)
    assert read.cells("findingsTable")[0][4] == "kept"
    ui.editor.undo()
    read.process_events()
    assert read.cells("findingsTable")[0][4] == "open"
    ui.editor.redo()
    read.process_events()
    assert read.cells("findingsTable")[0][4] == "kept"
    read.view("findingsTable").select(0)
    read.press("U", ui.findingsTable)
    assert read.cells("findingsTable")[0][4] == "open"
    read.press("N")


def test_one_place_goes_back_to_the_ai_result(read):
    reading, ui = read.panel.reading, read.ui
    before, (lesions, _) = read.whole(), read.lesions()
    read.erase()
    assert read.whole() == 0
    crosshair = read.scene.AddNewNodeByClass("vtkMRMLCrosshairNode", "default")
    from COVIDQuantLib.scene.navigation import world_of_voxel

    crosshair.SetCrosshairRAS(*world_of_voxel(reading.volume, np.argwhere(lesions)[0]))
    ui.restorePlaceButton.click()
    assert 0 < read.whole() <= before
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
