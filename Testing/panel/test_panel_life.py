"""The panel through the life of a scene: saved and loaded, nodes deleted, the module left and reloaded."""

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")


from COVIDQuantLib.scene.nodes.volumes import node_of_ct


def test_everything_is_restored_with_the_scene(read, tmp_path):
    ui, (lesions, _) = read.ui, read.lesions()
    ui.consolidationSlider.value = -500.0
    read.panel.parameters.columns = ["volume_ml", "ct_score"]
    lesions[: len(lesions) // 2] = False
    read.erase(lesions)
    ui.acceptAllButton.click()
    texts, headline = read.cells("figuresTable"), ui.headlineLabel.text
    bundle = str(tmp_path / "case.mrb")
    assert read.scene.WriteToMRB(bundle)
    read.scene.Clear(0)
    assert read.panel.reading is None
    assert read.view("figuresTable").table.shape[0] == 0
    assert read.scene.ReadFromMRB(bundle)
    assert read.cells("figuresTable") == texts
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
    second = read.add_ct(phantom, "second")
    read.add_result(phantom, second)
    read.ui.inputSelector.currentNodeID = first.GetID()
    newer = read.add_result(phantom, first)
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
    read.ui.segmentationSelector.currentNodeID = result.GetID()
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
    assert left.logic.GetSegmentEditorNode() is None
    read.widget.setup()
    assert read.panel.reading is not None
    read.settle()
    assert read.ui.editor.segmentationNode() is read.panel.reading.segmentation


def test_leaving_and_coming_back_keeps_the_figures(read):
    texts, reading = read.cells("figuresTable"), read.panel.reading
    read.leave()
    read.erase()
    assert read.whole() == 0
    read.open()
    assert read.panel.reading is reading
    assert read.cells("figuresTable") != texts
