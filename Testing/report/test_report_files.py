"""The report's files: whole or not at all, with or without a PDF, the same each time."""

import sys

import pytest
from report_world import (
    EDITS,
    PDF_CAN_BE_MADE,
    RATING,
    banners,
    check_table,
    exam,
    needs_pdf,
    page_of,
    pages_of,
    parsed,
)

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import Cancelled, OutputError, UsageError
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.report import write as write_module
from COVIDQuantLib.report.exam_page import AMPLE, SCARCE
from COVIDQuantLib.report.identity import ReportIdentity
from COVIDQuantLib.report.write import put_pages, write_report, write_result_report
from COVIDQuantLib.system.atomic_files import OutputFolder


@needs_pdf
def test_one_exam_is_one_page(written):
    assert written.warnings == ()
    assert written.pdf is not None
    assert pages_of(written.pdf) == 1


@pytest.mark.slow
def test_the_same_exam_has_the_same_report(written, tmp_path):
    again = write_report(exam(), tmp_path)
    assert again.html.read_bytes() == written.html.read_bytes()


@needs_pdf
def test_a_page_full_of_bad_news_is_still_one_page(tmp_path, pictures):
    checks = [CheckResult(f"c{n}", Grade.UNUSABLE, "very long words " * 12, "right middle lobe") for n in range(30)]
    warnings = [CTWarning(f"w{n}", "more words than fit " * 12) for n in range(30)]
    identity = ReportIdentity("Longname " * 13, (("ID", "1234567890" * 12),))
    made, aids = exam(checks=checks, warnings=warnings), ["a " * 99] * 40
    documents = {"rating": RATING, "edit_record": EDITS, "reading_aids": aids}
    pages = [page_of(made, pictures, identity, room, **documents) for room in (AMPLE, SCARCE)]
    with OutputFolder(tmp_path) as out:
        files = put_pages(pages, out)
    assert pages_of(files.pdf) == 1
    root = parsed(files.html.read_text(encoding="utf-8"))
    # Whatever is left out is counted: of sixty findings, forty aids, thirty reasons.
    for node, count in zip(
        (
            next(one for one in root.all("ul") if "findings" in one.classes),
            next(one for one in root.all("section") if "wide" in one.classes),
            banners(root)[1],
        ),
        (60, 40, 30),
        strict=True,
    ):
        *lines, last = node.all("li")
        assert last.text == f"and {count - len(lines)} more in metrics.json"


def put(made, pictures, folder):
    with OutputFolder(folder) as out:
        return put_pages([page_of(made, pictures)], out)


def test_without_weasyprint_there_is_html_and_one_line_of_advice(tmp_path, pictures, no_pdf):
    files = put(exam(), pictures, tmp_path)
    assert files.pdf is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html"]
    (warning,) = files.warnings
    assert warning.code == "report-no-pdf"
    assert "WeasyPrint is not installed" in warning.message
    assert 'pip install "COVIDQuant[report]"' in warning.message


def test_without_pango_there_is_html_and_one_line_of_advice(tmp_path, pictures, monkeypatch):
    class Broken:
        def find_spec(self, name, *_):
            if name == "weasyprint":
                raise OSError("cannot load library 'libpango-1.0-0'")

    for name in [name for name in sys.modules if name.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    files = put(exam(), pictures, tmp_path)
    assert files.pdf is None
    assert "Pango is not installed" in files.warnings[0].message
    assert files.html.is_file()


def test_an_older_pdf_beside_new_html_is_told(tmp_path, pictures, no_pdf):
    (tmp_path / "report.pdf").write_bytes(b"old")
    files = put(exam(), pictures, tmp_path)
    assert [warning.code for warning in files.warnings] == ["report-no-pdf", "earlier-files"]
    assert (tmp_path / "report.pdf").read_bytes() == b"old"


def test_a_fault_of_weasyprint_costs_the_pdf_alone(tmp_path, pictures, monkeypatch):
    def stumble(*_arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(write_module, "laid_out", stumble)
    files = put(exam(), pictures, tmp_path)
    assert files.pdf is None
    assert files.html.is_file()
    assert [warning.code for warning in files.warnings] == ["report-no-pdf"]
    if PDF_CAN_BE_MADE:
        assert "ZeroDivisionError" in files.warnings[0].message


def test_without_jinja_the_extra_is_named(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("COVIDQuantLib.report.pages.importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"COVIDQuant\[report\]"):
        put(exam(), pictures, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(tmp_path, pictures, no_pdf):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match="folder of this name"):
        put(exam(), pictures, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "report.html"]


def test_a_report_can_be_cancelled(tmp_path):
    def stop(_fraction):
        raise Cancelled

    with pytest.raises(Cancelled):
        write_report(exam(), tmp_path / "new", report=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_result_gives_the_same_figures(written, tmp_path, no_pdf):
    files = write_result_report(written.html.parent, tmp_path)
    assert [warning.code for warning in files.warnings] == ["report-no-picture", "report-no-pdf"]
    root = parsed(files.html.read_text(encoding="utf-8"))
    check_table(root, read_metrics(written.html.parent).metrics)
    # The lungs in 3D are drawn from the segmentation; the slices need the CT.
    assert len(root.all("img")) == 4
    assert "the folder has no overlay.png" in root.text
