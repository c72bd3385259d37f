"""The panel's export: beside the window, stopped by a click, whatever becomes of scene and module meanwhile."""

import types

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
from test_scene_export_job import contents, lingering
from worker_world import is_running

from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.scene.export import report_job

_EXPORT = 5


def choose(world, folder, *names):
    section = world.panel.sections[_EXPORT]
    world.ui.folderEdit.currentPath = str(folder)
    for name, box in section._boxes.items():
        box.checked = name in names


def finish(world):
    world.until(lambda: world.ui.exportButton.text == "Export")


def report_is_done(world):
    world.until(lambda: world.ui.reportButton.text == "Report…")


def test_an_edit_after_the_click_is_not_in_the_files(read, tmp_path):
    choose(read, tmp_path, "metrics")
    before = read.panel.reading.live.metrics.rows
    read.ui.exportButton.click()
    read.erase()
    assert read.whole() == 0
    finish(read)
    assert read_metrics(tmp_path).metrics.rows == before


def test_a_second_click_stops_it(read, tmp_path, monkeypatch):
    lingering(monkeypatch)
    choose(read, tmp_path / "case", "metrics")
    read.ui.exportButton.click()
    pid = read.panel.sections[_EXPORT]._job.pid
    read.until(lambda: read.ui.exportBar.value == 500)
    assert "metrics" in read.ui.doneLabel.text
    read.ui.exportButton.click()
    assert read.ui.exportButton.text == "Export"
    assert "Stopped" in read.ui.doneLabel.text
    assert not read.ui.exportBar.visible
    assert list(tmp_path.iterdir()) == []
    assert not is_running(pid)


def test_closing_the_scene_or_leaving_the_module_does_not_lose_an_export(read, tmp_path):
    choose(read, tmp_path, "metrics")
    before = read.panel.reading.live.metrics.rows
    read.ui.exportButton.click()
    read.leave()
    read.scene.Clear(0)
    finish(read)
    assert read_metrics(tmp_path).metrics.rows == before
    assert "metrics.csv" in read.ui.doneLabel.text
    read.open()
    assert not read.ui.exportButton.enabled


def test_quitting_ends_it_and_leaves_nothing(read, tmp_path, monkeypatch):
    lingering(monkeypatch)
    choose(read, tmp_path / "case", "metrics")
    read.ui.exportButton.click()
    pid = read.panel.sections[_EXPORT]._job.pid
    read.until(lambda: read.ui.exportBar.value == 500)
    read.widget.cleanup()
    assert not is_running(pid)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_is_told_once_and_the_button_works_again(read, tmp_path, monkeypatch):
    lingering(monkeypatch, "write_and_crash")
    (tmp_path / "metrics.csv").write_text("mine", encoding="utf-8")
    before = contents(tmp_path)
    choose(read, tmp_path, "metrics")
    read.ui.exportButton.click()
    assert "metrics.csv" in read.questions[0]
    finish(read)
    assert len(read.errors) == 1
    assert read.errors.pop() == read.ui.doneLabel.text
    assert contents(tmp_path) == before
    monkeypatch.undo()
    read.ui.exportButton.click()
    finish(read)
    assert read_metrics(tmp_path).metrics.rows == read.panel.reading.live.metrics.rows


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
    read.qt.open_link.assert_called_once_with((tmp_path / "case").as_uri())
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


# ---------------------------------------------------------------------------------------------------------- the report


@pytest.mark.slow
def test_a_report_is_written_beside_the_window(read, tmp_path):
    choose(read, tmp_path)
    assert read.ui.reportButton.enabled
    read.ui.reportButton.click()
    assert read.ui.reportButton.text == "Cancel"
    assert "report is done" in read.ui.exportButton.toolTip
    report_is_done(read)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    extent = read.panel.reading.live.metrics.value("whole lung", "extent_percent")
    assert f"{extent:.2f} %" in page
    assert (tmp_path / "report.html").as_uri() in read.ui.doneLabel.text
    assert {path.name for path in tmp_path.iterdir()} <= {"report.html", "report.pdf"}


def test_an_earlier_report_is_replaced_only_after_a_question_and_a_click_stops_it(read, tmp_path, monkeypatch):
    monkeypatch.setattr(report_job, "_FUNCTION", "export_world:write_and_linger")
    (tmp_path / "report.html").write_text("mine", encoding="utf-8")
    choose(read, tmp_path)
    read.ui.reportButton.click()
    assert "report.html" in read.questions[0]
    pid = read.panel.sections[_EXPORT]._job.pid
    read.until(lambda: read.ui.exportBar.value == 500)
    read.ui.reportButton.click()
    assert read.ui.reportButton.text == "Report…"
    assert "Stopped" in read.ui.doneLabel.text
    assert contents(tmp_path) == {"report.html": b"mine"}
    assert not is_running(pid)


def test_a_report_that_fails_is_told_and_the_button_works_again(read, tmp_path, monkeypatch):
    monkeypatch.setattr(report_job, "_FUNCTION", "export_world:refuse")
    choose(read, tmp_path)
    read.ui.reportButton.click()
    report_is_done(read)
    assert read.errors == [read.ui.doneLabel.text]
    assert "not like this" in read.errors.pop()
    assert list(tmp_path.iterdir()) == []
    assert read.ui.reportButton.enabled


def test_dicom_is_offered_for_a_ct_of_the_database_alone(read, tmp_path, monkeypatch):
    box = read.panel.sections[_EXPORT]._boxes["dicom"]
    assert not box.enabled
    volume = read.panel.reading.live.volume
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    held = {"1.2.3": str(tmp_path / "a"), "1.2.4": str(tmp_path / "b")}
    database = types.SimpleNamespace(isOpen=True, fileForInstance=lambda uid: held.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    read.panel.sections[_EXPORT].on_reading()
    assert box.enabled
    choose(read, tmp_path / "case", "dicom")
    read.ui.exportButton.click()
    finish(read)
    assert "dicom-changed" in read.ui.doneLabel.text
    assert not (tmp_path / "case").exists()
    read.errors.clear()
