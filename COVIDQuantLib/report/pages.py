"""The report as HTML: the pages put through the template, every text escaped, nothing loaded from outside."""

from __future__ import annotations

import importlib.util

import COVIDQuantLib
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.report.exam_page import ExamPage
from COVIDQuantLib.report.exam_pictures import ROW_MM
from COVIDQuantLib.report.followup_page import FollowupPage
from COVIDQuantLib.report.methods import CITATION
from COVIDQuantLib.resources import resource_path

HEADING = "Pneumonia on chest CT"
TEMPLATE, STYLE = "report.html.j2", "report.css"
# From airy to dense; the first that fits its pages is taken.
DENSITIES = (0, 1, 2, 3, 4)
_SLICES_MM, _VIEW_MM, _CHART_MM = (
    (54.0, 50.0, 46.0, 40.0, 29.0),
    (42.0, 39.0, 36.0, 31.0, 24.0),
    (48.0, 48.0, 47.0, 44.0, 36.0),
)
_LOBES_MM = (88.0, 82.0, 76.0, 68.0, 56.0)
_GAP_MM = 2.0
_PACKAGES = (("jinja2", "Jinja2", "report-no-jinja"), ("matplotlib", "matplotlib", "report-no-matplotlib"))


def need_packages() -> None:
    """Check that the report can be made; HTML at least.

    Raises:
        UsageError: Jinja2 or matplotlib is not installed.
    """
    for package, called, code in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            remedy = 'Install it with pip install "COVIDQuant[report]".'
            raise UsageError(f"the report needs {called}, which is not installed", "", remedy, code)


def html_of(exam: ExamPage, followup: FollowupPage | None = None, density: int = 0, followup_density: int = 0) -> str:
    """The whole HTML file.

    Args:
        exam: the page of the exam.
        followup: the page of the follow-up; None without one.
        density: of :data:`DENSITIES`: how small text and pictures of the exam's page are.
        followup_density: the same of the follow-up's.

    Raises:
        UsageError: Jinja2 or matplotlib is not installed.
    """
    need_packages()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = resource_path("Report")
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    return environment.get_template(TEMPLATE).render(
        exam=exam,
        followup=followup,
        heading=HEADING,
        style=(folder / STYLE).read_text(encoding="utf-8"),
        density=density,
        followup_density=followup_density,
        version=COVIDQuantLib.__version__,
        citation=CITATION,
        pages=2 if followup else 1,
        slice_height=_slice_height(exam, density),
        view_width=_VIEW_MM[density],
        chart_width=_CHART_MM[density],
        lobes_width=_LOBES_MM[followup_density],
    )


def _slice_height(exam: ExamPage, density: int) -> float:
    """The height in mm at which the slices fill the row, or the most that the density allows."""
    across = sum(image.aspect for image in exam.pictures.slices)
    room = ROW_MM - _GAP_MM * max(0, len(exam.pictures.slices) - 1)
    most = _SLICES_MM[density] if len(exam.pictures.slices) != 1 else 2 * _SLICES_MM[density]
    return min(most, room / across) if across else most
