"""The readers' section by clicks: blinded rating, the record of edits, reading aids; on real nodes."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")


from COVIDQuantLib.readers.literature import CUT_OFFS
from COVIDQuantLib.readers.scale import Verdict


def name_reader(ui, initials):
    """Type initials and go on to another field."""
    ui.readerEdit.text = initials
    ui.readerEdit.emit("editingFinished")


def rate(world, initials, score, comment=""):
    ui = world.ui
    name_reader(ui, initials)
    ui.scoreCombo.currentIndex = score + 1
    ui.commentEdit.text = comment
    ui.rateButton.click()


def test_a_rating_needs_a_result_initials_and_a_score(world):
    assert "Quantify" in world.ui.rateButton.toolTip
    assert not world.ui.ratingLabel.visible


def test_the_second_reader_sees_no_score_before_rating(read):
    ui = read.ui
    assert "initials" in ui.rateButton.toolTip
    name_reader(ui, "ab")
    assert "score" in ui.rateButton.toolTip
    rate(read, "ab", 2, "vessels at the base")
    assert read.panel.reading.readers.rating.verdict is Verdict.WAITING
    assert "AB" in ui.ratingLabel.text
    assert "2" not in ui.ratingLabel.text
    assert "vessels" not in ui.ratingLabel.text
    assert (ui.readerEdit.text, ui.commentEdit.text, ui.scoreCombo.currentIndex) == ("", "", 0)
    rate(read, "cd", 3)
    assert "excluded from quantification (mean 2.5" in ui.ratingLabel.text
    assert "AB 2" in ui.ratingLabel.text
    assert "vessels" in ui.ratingLabel.text
    assert "Excluded from quantification" in ui.warningsLabel.text


def test_ones_own_rating_is_changed_and_a_third_reader_is_told(read):
    ui = read.ui
    rate(read, "ab", 2)
    name_reader(ui, "AB")
    assert ui.rateButton.text == "Change my rating"
    rate(read, "ab", 4)
    rate(read, "cd", 3)
    assert "mean 3.5" in ui.ratingLabel.text
    assert ui.rateButton.text == "Rate"
    rate(read, "ef", 1)
    assert "third" in read.errors[0]
    read.errors.clear()
    assert read.panel.reading.readers.rating.mean == 3.5


def test_edits_make_a_rating_one_of_before(read):
    rate(read, "ab", 4)
    rate(read, "cd", 4)
    read.erase()
    assert "edited since" in read.ui.ratingLabel.text


def test_the_record_of_edits_says_what_was_changed(read):
    reading, ui = read.panel.reading, read.ui
    lesions, _ = read.lesions()
    gone = lesions & (np.arange(lesions.shape[0]) < lesions.shape[0] // 2)[:, None, None]
    read.erase(gone)
    assert not ui.editsLabel.visible
    ui.editsButton.click()
    assert "comparing" in ui.editsLabel.text
    assert not ui.editsButton.enabled
    edits = read.until(lambda: reading.readers.edits)
    read.until(lambda: "removed" in ui.editsLabel.text)
    removed = np.count_nonzero(gone) * reading.live.histogram.voxel_volume_ml
    assert edits.change()["lesion_removed_ml"] == pytest.approx(removed)
    assert f"{removed:.1f} mL removed" in ui.editsLabel.text
    add = np.count_nonzero(lesions)
    left = add - np.count_nonzero(gone)
    assert edits.change()["lesion_dice"] == pytest.approx(2 * left / (add + left))


def test_closing_ends_a_comparison(read):
    read.ui.editsButton.click()
    read.panel.close()
    assert read.running == []
    read.open()


def test_reading_aids_are_filled_once_they_are_opened(read):
    ui = read.ui
    assert read.view("aidsTable").table.shape[0] == 0
    ui.aidsBox.collapsed = False
    rows = read.cells("aidsTable")
    extent = read.panel.reading.live.metrics.value("whole lung", "extent_percent")
    assert rows[0][0] == f"Extent {extent:.2f} %"
    assert rows[0][1] == ("above" if extent > 0.5 else "not above")
    assert rows[0][2] == "0.5 %: symptoms were more frequent; Yoo 2022, Table 2"
    assert len(rows) > len(CUT_OFFS)
    assert "not a diagnosis" in ui.aidsLabel.text
    assert "not a risk" in read.view("aidsTable").table.rows[0][0].tip
    ui.aidsBox.collapsed = True
    assert read.view("aidsTable").table.shape[0] == 0


def test_moving_through_slices_is_work(read):
    now = [0.0]
    read.panel.reading.readers.clock._now = lambda: now[0]
    red = read.scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    read.leave()
    read.open()
    for _ in range(4):
        now[0] += 10.0
        red.Modified()
    assert read.panel.reading.readers.clock.seconds == 30.0
    now[0] += 1000.0
    red.Modified()
    assert read.panel.reading.readers.clock.seconds == 30.0
