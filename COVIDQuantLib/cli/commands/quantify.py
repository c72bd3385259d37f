"""``covidquant quantify``: segment and quantify a CT, and write the results."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from COVIDQuantLib.cli.dicom_options import (
    add_dicom_options,
    check_dicom,
    check_dicom_options,
    dicom_names,
    earlier_dicom,
    put_dicom,
)
from COVIDQuantLib.cli.mask_options import GIVEN, add_mask_options, ct_path, given_masks
from COVIDQuantLib.cli.output_options import add_out, add_quiet
from COVIDQuantLib.cli.plan_options import add_plan_options, plan_of
from COVIDQuantLib.cli.reading_aid_tables import show_reading_aids
from COVIDQuantLib.cli.report_options import (
    add_report_options,
    check_report_options,
    earlier_reports,
    identity_of,
    report_names,
)
from COVIDQuantLib.cli.terminal import progress_bar, show_files, show_grade, show_metrics, show_warnings
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import NotSoundError, OutputError, UnfitInputError, UsageError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.exam_files import EXPORTS, files_of, put_exam
from COVIDQuantLib.export.odds_file import ODDS_FILE
from COVIDQuantLib.export.reader_records import READING_AIDS
from COVIDQuantLib.export.table_file import JSON_FILE, read_metrics
from COVIDQuantLib.grades import Grade, findings_of
from COVIDQuantLib.pipeline import Plan, quantify_ct
from COVIDQuantLib.progress import Stage, StagedProgress
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.readers.reading_aids import reading_aids
from COVIDQuantLib.system.atomic_files import OutputFolder

if TYPE_CHECKING:
    from COVIDQuantLib.report.write import ReportFiles

NAME = "quantify"
HELP = "Find lobes and pneumonia on a chest CT; write a segmentation, a table of measurements and an overview image."

_READING, _WRITING = Stage("reading", 2.5), Stage("writing", 4.0)
_REPORTING, _DICOM = Stage("report", 6.0), Stage("DICOM", 8.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "ct", type=Path, nargs="?", metavar="CT", help="a DICOM folder or file, NIfTI, NRRD or MetaImage"
    )
    add_out(parser)
    parser.add_argument(
        "--series", metavar="UID|NUMBER|TEXT", help="the DICOM series to use, by UID, number or description"
    )
    add_mask_options(parser)
    add_plan_options(parser)
    parser.add_argument(
        "--reading-aids", action="store_true", help="say where the exam lies among published cut-offs and groups"
    )
    parser.add_argument(
        "--days-since-onset", type=int, metavar="N", help="with --reading-aids: compare with published time courses"
    )
    add_report_options(parser)
    add_dicom_options(parser)
    parser.add_argument("--no-picture", action="store_true", help="do not write the overview image")
    parser.add_argument("--identify", action="store_true", help="write names, UIDs and the exam date as they are")
    parser.add_argument("--strict", action="store_true", help="end with status 4 if the result is not graded sound")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it; errors as in :func:`COVIDQuantLib.pipeline.quantify_ct` and the readers and writers."""
    plan, thresholds = plan_of(arguments)
    wanted = [export.name for export in EXPORTS if _wanted(export.name, arguments, default=export.default)]
    _check_onset(arguments)
    check_report_options(arguments)
    check_dicom_options(arguments)
    more = [stage for stage, on in ((_REPORTING, arguments.report), (_DICOM, arguments.dicom)) if on]
    with OutputFolder(arguments.out) as out:
        # Checked before the work: whether the folder is writable and the file names are free.
        out.expect(_all_files(wanted, arguments))
        _refuse_rated(arguments.out)
        with progress_bar((_READING, *plan.stages, _WRITING, *more), quiet=arguments.quiet) as progress:
            exam = _quantify(arguments, plan, thresholds, progress)
            if arguments.reading_aids:
                exam.records = {READING_AIDS: reading_aids(exam.metrics, arguments.days_since_onset)}
            with progress.stage(_WRITING.name) as report:
                files = put_exam(exam, out, wanted, report, identify=arguments.identify)
            reported = _report(arguments, exam, out, progress)
            files += [] if reported is None else reported.paths
            files += _dicom(arguments, exam, out, reported, progress)
    arguments.written = True
    try:
        of_report = [] if reported is None else reported.warnings
        written = [*_all_files(wanted, arguments), *(path.name for path in files)]
        show_warnings([*exam.warnings, *of_report, *_earlier_files(arguments, written)])
        if not arguments.quiet:
            show_grade(exam.checks)
            show_metrics(exam.metrics)
            if arguments.reading_aids:
                show_reading_aids(exam.records[READING_AIDS])
            show_files(files)
    finally:
        if arguments.strict and exam.grade is not Grade.SOUND:
            remedy = "All files were written: review the result and correct it."
            raise NotSoundError(_not_sound(exam), str(arguments.out), remedy)


def _check_onset(arguments: argparse.Namespace) -> None:
    days = arguments.days_since_onset
    if days is not None and not arguments.reading_aids:
        remedy = "Add --reading-aids, or leave it out."
        raise UsageError("it only serves the reading aids", "--days-since-onset", remedy, code="onset-unused")
    if days is not None and days < 0:
        remedy = "Give the days from the first symptoms to the CT."
        raise UsageError(f"{days} days lie before the onset", "--days-since-onset", remedy, code="days-before-onset")


def _refuse_rated(folder: Path) -> None:
    """Refuse to replace a result that readers have rated or edited: their work would be lost."""
    if not (folder / JSON_FILE).is_file():
        return
    try:
        readers = read_metrics(folder / JSON_FILE).readers
    except UnfitInputError:
        # A result that nobody can read holds no work of theirs either.
        return
    if readers.rating is not None or (readers.edits is not None and readers.edits.is_edited):
        what = "the folder holds a result that readers have rated or edited, which would be replaced"
        raise OutputError(what, str(folder), "Choose another folder, or move it away.", code="rated-result")


def _quantify(arguments: argparse.Namespace, plan: Plan, thresholds: Thresholds, progress: StagedProgress) -> Exam:
    path = ct_path(arguments)
    with progress.stage(_READING.name) as report:
        ct = read_ct(path, arguments.series, report)
        check_dicom(arguments, ct)
        given = given_masks(arguments, ct)
    # A CT that names nobody is refused before the work.
    identity_of(arguments, ct.source)
    return quantify_ct(ct, given, thresholds, progress, plan)


def _report(
    arguments: argparse.Namespace, exam: Exam, out: OutputFolder, progress: StagedProgress
) -> ReportFiles | None:
    """The report, if it is wanted."""
    if not arguments.report:
        return None
    from COVIDQuantLib.report.subject import subject_of_exam
    from COVIDQuantLib.report.write import put_report

    identity = identity_of(arguments, exam.ct.source)
    with progress.stage(_REPORTING.name) as report:
        subject = subject_of_exam(exam, identify=identity is not None)
        return put_report(subject, out, identity=identity, label=arguments.report_label, report=report)


def _dicom(
    arguments: argparse.Namespace, exam: Exam, out: OutputFolder, reported: ReportFiles | None, progress: StagedProgress
) -> list[Path]:
    """The DICOM objects, if they are wanted; the report of this run goes along."""
    if not arguments.dicom:
        return []
    made = out.staged(reported.pdf.name) if reported is not None and reported.pdf is not None else None
    with progress.stage(_DICOM.name) as report:
        return put_dicom(exam, out, arguments, made, report)


def _all_files(wanted: Collection[str], arguments: argparse.Namespace) -> list[str]:
    """The names of every file that is to be written."""
    return [*files_of(wanted), *report_names(arguments), *dicom_names(arguments)]


def _earlier_files(arguments: argparse.Namespace, written: Collection[str]) -> list[CTWarning]:
    """A warning if the folder holds files from an earlier run that this one did not replace."""
    given = [path for name in GIVEN for path in _paths(getattr(arguments, name))]
    left = [
        name
        for name in (*files_of([export.name for export in EXPORTS]), ODDS_FILE)
        if name not in written and (path := arguments.out / name).is_file() and not any(map(path.samefile, given))
    ]
    left += [*earlier_reports(arguments), *earlier_dicom(arguments)]
    if not left:
        return []
    return [
        CTWarning("earlier-files", f"{', '.join(left)} in {arguments.out} may be from an earlier run; left unchanged.")
    ]


def _paths(given: Path | Sequence[Path] | None) -> Sequence[Path]:
    if given is None:
        return ()
    return (given,) if isinstance(given, Path) else given


def _not_sound(exam: Exam) -> str:
    codes = ", ".join(dict.fromkeys(check.code for check in findings_of(exam.checks)))
    return f"the result is graded {exam.grade.text if exam.grade else 'by nothing'}, not sound ({codes})"


def _wanted(name: str, arguments: argparse.Namespace, *, default: bool) -> bool:
    if name == "picture":
        return not arguments.no_picture
    return default or bool(getattr(arguments, name))
