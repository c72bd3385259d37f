"""What the tests of reports share."""

import sys

import pytest
from report_world import exam, parsed

from COVIDQuantLib.export.exam_files import write_exam
from COVIDQuantLib.report.exam_pictures import draw_pictures
from COVIDQuantLib.report.subject import subject_of_exam
from COVIDQuantLib.report.write import write_report


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """The report of an exam with lesions, and what quantify writes of it."""
    folder = tmp_path_factory.mktemp("report")
    made = exam()
    write_exam(made, folder, ["metrics", "segmentation"])
    return write_report(made, folder)


@pytest.fixture(scope="session")
def page(written):
    return parsed(written.html.read_text(encoding="utf-8"))


@pytest.fixture
def no_pdf(monkeypatch):
    """WeasyPrint as if it were not installed."""
    monkeypatch.setitem(sys.modules, "weasyprint", None)


@pytest.fixture(scope="session")
def pictures():
    """Of the usual exam; where only the words of a page count, they stand for those of any."""
    return draw_pictures(subject_of_exam(exam()))
