"""The options of DICOM results, and their writing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from COVIDQuantLib.dicom.files import DICOM, DICOM_FILES, dicom_files
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.progress import Report, part

if TYPE_CHECKING:
    from COVIDQuantLib.ct.volume import CTVolume
    from COVIDQuantLib.exam import Exam
    from COVIDQuantLib.system.atomic_files import OutputFolder


def add_dicom_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(f"--{DICOM.name}", action="store_true", help=f"write {DICOM.text} as well")
    parser.add_argument(
        "--report-pdf",
        type=Path,
        metavar="PDF",
        help="with --dicom: a report to go along as Encapsulated PDF instead of that of --report",
    )
    parser.add_argument(
        "--earlier",
        type=Path,
        metavar="RESULT",
        help="with --dicom: an earlier result of this patient; its lesions keep their tracking identifiers",
    )


def check_dicom_options(arguments: argparse.Namespace) -> None:
    """Check before the work that the options fit together.

    Raises:
        UsageError: an option of DICOM results without ``--dicom``.
    """
    for name in ("report_pdf", "earlier"):
        if getattr(arguments, name) is not None and not arguments.dicom:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} goes with --dicom", option, "Add --dicom, or leave it out.", "dicom-unused")


def check_dicom(arguments: argparse.Namespace, ct: CTVolume) -> None:
    """Refuse before the work what would be refused after it; nothing without ``--dicom``."""
    if not arguments.dicom:
        return
    from COVIDQuantLib.dicom.lineage import read_earlier
    from COVIDQuantLib.dicom.objects.pdf import read_pdf
    from COVIDQuantLib.dicom.objects.source import check_source

    check_source(ct.source)
    if arguments.report_pdf is not None:
        read_pdf(arguments.report_pdf)
    if arguments.earlier is not None:
        read_earlier(arguments.earlier, ct.source.text("patient_check"))


def put_dicom(
    exam: Exam, out: OutputFolder, arguments: argparse.Namespace, made_pdf: Path | None, report: Report
) -> list[Path]:
    """Write the DICOM objects into a set of files that is open.

    Args:
        exam: the result.
        out: the set.
        arguments: of the command line.
        made_pdf: the report of this run, where it lies now; goes along unless another is named.
        report: progress.
    """
    from COVIDQuantLib.dicom.lineage import inherited_tracking, read_earlier
    from COVIDQuantLib.dicom.write import put_dicom_result

    inherited = None
    if arguments.earlier is not None:
        earlier = read_earlier(arguments.earlier, exam.ct.source.text("patient_check"))
        inherited = inherited_tracking(earlier, exam, part(report, 0.0, 0.6))
    span = part(report, 0.0 if inherited is None else 0.6, 1.0)
    pdf = arguments.report_pdf or made_pdf
    return put_dicom_result(exam, out, report_pdf=pdf, inherited=inherited, report=span).paths()


def dicom_names(arguments: argparse.Namespace) -> list[str]:
    """The names of the DICOM files, if they are wanted."""
    return dicom_files(with_pdf=arguments.report or arguments.report_pdf is not None) if arguments.dicom else []


def earlier_dicom(arguments: argparse.Namespace) -> list[str]:
    """DICOM files that lie in the results' folder although this run writes none of that name."""
    written = dicom_names(arguments)
    return [name for name in DICOM_FILES if name not in written and (arguments.out / name).is_file()]
