"""The options of the report, the same for every command that can write one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.errors import UsageError

if TYPE_CHECKING:
    from COVIDQuantLib.report.identity import ReportIdentity

# Named here too, because the commands start faster without the report.
_FILES = ("report.html", "report.pdf")


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--report", action="store_true", help="write a report to hand on as well, as HTML and PDF")
    parser.add_argument(
        "--report-identity",
        action="store_true",
        help="name the patient in the report: name, ID, birth date and sex of the DICOM files, and dates of exams",
    )
    parser.add_argument("--report-label", default="", metavar="TEXT", help="a text of your own in the report's heading")


def check_report_options(arguments: argparse.Namespace) -> None:
    """Check before the work that the options fit together and that the report can be made.

    Raises:
        UsageError: an option of the report without it; Jinja2 or matplotlib is not installed.
    """
    if arguments.report:
        from COVIDQuantLib.report.pages import need_packages

        need_packages()
        return
    for name in ("--report-identity", "--report-label"):
        if getattr(arguments, name[2:].replace("-", "_")):
            raise UsageError(
                f"{name} says how to write a report, but none is wanted", name, "Add --report.", "report-unused"
            )


def report_names(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The names of the report's files, if it is wanted."""
    return _FILES if arguments.report else ()


def earlier_reports(arguments: argparse.Namespace) -> list[str]:
    """The report's files that lie in the results' folder although this run writes none."""
    return [] if arguments.report else [name for name in _FILES if (arguments.out / name).is_file()]


def identity_of(arguments: argparse.Namespace, source: CTSource) -> ReportIdentity | None:
    """Whose report it is, if that is to be said.

    Raises:
        UsageError: the CT does not say whose it is.
    """
    from COVIDQuantLib.report.identity import ReportIdentity

    return ReportIdentity.of(source) if arguments.report_identity else None
