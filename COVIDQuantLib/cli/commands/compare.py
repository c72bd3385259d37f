"""``covidquant compare``: what changed between exams of one patient, and whether it exceeds measurement error."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from COVIDQuantLib.cli.compare_tables import show_comparison
from COVIDQuantLib.cli.lesion_tables import show_lesions
from COVIDQuantLib.cli.output_options import add_out, add_quiet
from COVIDQuantLib.cli.report_options import (
    add_report_options,
    check_report_options,
    earlier_reports,
    identity_of,
    report_names,
)
from COVIDQuantLib.cli.terminal import progress_bar, show_files, show_warnings
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import NotSoundError, UnfitInputError, UsageError
from COVIDQuantLib.followup.comparison import Comparison, compare_exams
from COVIDQuantLib.followup.comparison_files import (
    earlier_files,
    expected_files,
    put_comparison,
    refuse_others_files,
)
from COVIDQuantLib.followup.exam_ct import ExamCT
from COVIDQuantLib.followup.exam_result import ExamResult
from COVIDQuantLib.followup.lesions import write_change_map
from COVIDQuantLib.followup.lesions.course import check_segmentations, follow_lesions
from COVIDQuantLib.followup.registration import ExamImages
from COVIDQuantLib.followup.site_limits import read_site_limits
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.progress import Stage, StagedProgress, part
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.system.atomic_files import OutputFolder

if TYPE_CHECKING:
    from COVIDQuantLib.report.write import ReportFiles

NAME = "compare"
HELP = "Compare exams of one patient: what changed, whether it exceeds measurement error, and the time course."

_READING, _COMPARING, _WRITING = Stage("reading", 1.0), Stage("comparing", 0.5), Stage("writing", 2.0)
_REPORTING = Stage("report", 6.0)
_LESIONS = "lesions"
# Seconds for an exam of usual size.
_LESIONS_WEIGHT = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "baseline", type=Path, metavar="BASELINE", help="a folder written by quantify, or DICOM objects of a result"
    )
    parser.add_argument("followup", type=Path, nargs="+", metavar="FOLLOWUP", help="one or more later exams")
    add_out(parser)
    parser.add_argument(
        "--date",
        type=_day,
        nargs="+",
        action="extend",
        default=[],
        metavar="YYYY-MM-DD",
        help="dates of the exams, one each in their order; default: those stored in the results",
    )
    parser.add_argument("--onset", type=_day, metavar="YYYY-MM-DD", help="first day of symptoms")
    parser.add_argument(
        "--limits",
        type=Path,
        metavar="DIR",
        help="a folder written by evaluate, for the site's own limits of agreement",
    )
    parser.add_argument("--ggo-hu", type=int, metavar="HU", help="recompute all measurements with this threshold")
    parser.add_argument("--consolidation-hu", type=int, metavar="HU", help="and at this")
    lesions = parser.add_mutually_exclusive_group()
    lesions.add_argument(
        "--lesions",
        action="store_true",
        default=None,
        help="follow every lesion from exam to exam, or refuse if a segmentation does not allow it; "
        "default: where all exams have one",
    )
    lesions.add_argument("--no-lesions", dest="lesions", action="store_false", help="compare the figures alone")
    parser.add_argument(
        "--ct",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="CT",
        help="the exams' CTs, one each in their order, to lay the lungs over each other by their structure as well",
    )
    parser.add_argument(
        "--series",
        nargs="+",
        action="extend",
        default=[],
        metavar="UID|NUMBER|TEXT",
        help="with --ct, the DICOM series of each exam in their order, or one for all; default: the one that the "
        "result records",
    )
    parser.add_argument("--same-patient", action="store_true", help="accept exams whose patient IDs differ")
    add_report_options(parser)
    parser.add_argument("--no-picture", action="store_true", help="do not draw the time course")
    parser.add_argument("--identify", action="store_true", help="write folder names and dates as they are")
    parser.add_argument(
        "--strict", action="store_true", help="end with status 4 if an exam is not graded sound, or excluded"
    )
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it.

    Raises:
        UnfitInputError: a result cannot be read, is of another patient or of the same exam, or has no date; lesions
            are to be followed and a segmentation or CT is not the exam's own.
        UsageError: the number of dates or CTs differs from the number of exams, or the thresholds are not in order.
        OutputError: the folder cannot be written, or holds files of these names that compare did not write.
        NotSoundError: with ``--strict``, an exam is not graded sound, or its readers excluded it.
    """
    thresholds = _thresholds(arguments)
    count = 1 + len(arguments.followup)
    _check_cts(arguments, count)
    _check_report(arguments)
    names = [*expected_files(count, lesions=arguments.lesions is not False), *report_names(arguments)]
    with OutputFolder(arguments.out) as out:
        # Checked before the work: whether the folder is writable and the file names are free.
        out.expect(names)
        refuse_others_files(arguments.out, names)
        lesions = Stage(_LESIONS, _LESIONS_WEIGHT * count)
        stages = (_READING, _COMPARING, lesions, _WRITING, *([_REPORTING] if arguments.report else []))
        with progress_bar(stages, quiet=arguments.quiet) as progress:
            results = _read(arguments, progress)
            site = read_site_limits(arguments.limits) if arguments.limits else None
            with progress.stage(_COMPARING.name):
                comparison = compare_exams(
                    results,
                    arguments.date,
                    onset=arguments.onset,
                    thresholds=thresholds,
                    site=site,
                    same_patient=arguments.same_patient,
                )
            comparison = _with_lesions(arguments, comparison, results, out, progress)
            with progress.stage(_WRITING.name) as report:
                options = {"identify": arguments.identify, "chart": not arguments.no_picture}
                files = put_comparison(comparison, out, report, **options)
            reported = _report(arguments, comparison, results, out, progress)
    arguments.written = True
    if reported is not None:
        files += reported.paths
        comparison = replace(comparison, warnings=(*comparison.warnings, *reported.warnings))
    _show(arguments, comparison, files)
    if arguments.strict:
        _refuse_unsound(arguments, comparison)


def _check_cts(arguments: argparse.Namespace, count: int) -> None:
    given = len(arguments.ct)
    if given and arguments.lesions is False and not arguments.report:
        remedy = "Leave --ct or --no-lesions out, or add --report."
        raise UsageError(
            "--ct only serves to follow lesions and for the report's pictures, and neither is wanted",
            "--ct",
            remedy,
            "ct-unused",
        )
    if given not in {0, count}:
        what = f"there are {count} exams, but {given} CT{'s' if given > 1 else ''}"
        raise UsageError(what, "--ct", "Give one CT per exam, in the order of the exams.", "ct-count")
    named = len(arguments.series)
    if named not in {0, 1, count} or (named and not given):
        what = f"there are {given} CTs, but {named} series {'is' if named == 1 else 'are'} named"
        remedy = "Give one series for all, or one per exam in their order, together with --ct."
        raise UsageError(what, "--series", remedy, "series-count")


def _check_report(arguments: argparse.Namespace) -> None:
    check_report_options(arguments)
    if arguments.report_identity and not arguments.ct:
        what = "the results do not name the patient; only the exams' own DICOM files do"
        remedy = "Give the CTs with --ct, or head the report with a text of your own (--report-label)."
        raise UsageError(what, "--report-identity", remedy, "report-no-identity")


def _report(
    arguments: argparse.Namespace,
    comparison: Comparison,
    results: list[ExamResult],
    out: OutputFolder,
    progress: StagedProgress,
) -> ReportFiles | None:
    """The report of the last exam and of the changes, if it is wanted."""
    if not arguments.report:
        return None
    from COVIDQuantLib.report.write import comparison_subject, put_report

    ct = _cts(arguments, results).get(comparison.exams[-1].result.path)
    with progress.stage(_REPORTING.name) as report:
        identity = None
        if arguments.report_identity and ct is not None:
            identity = identity_of(arguments, ct.read(comparison.exams[-1].result).source)
        subject = comparison_subject(comparison, ct)
        report(0.3)
        options = {"identity": identity, "comparison": comparison, "label": arguments.report_label}
        return put_report(subject, out, **options, report=part(report, 0.3, 1.0))


def _cts(arguments: argparse.Namespace, results: list[ExamResult]) -> dict[Path, ExamCT]:
    """Per exam, by the path of its result, the CT that was given for it."""
    count = len(results)
    named = arguments.series * count if len(arguments.series) == 1 else arguments.series or [None] * count
    given = map(ExamCT, arguments.ct, named)
    return {result.path: ct for result, ct in zip(results, given, strict=False)}


def _with_lesions(
    arguments: argparse.Namespace,
    comparison: Comparison,
    results: list[ExamResult],
    out: OutputFolder,
    progress: StagedProgress,
) -> Comparison:
    """The comparison with what became of each lesion, if that is wanted and possible; the figures are the same.

    Raises:
        UnfitInputError: with ``--lesions`` or ``--ct``, a segmentation or CT cannot be used.
    """
    demanded = bool(arguments.lesions or arguments.ct)
    having = [exam for exam in comparison.exams if exam.result.segmentation is not None]
    if arguments.lesions is False or not (demanded or having):
        return comparison
    if not demanded and len(having) < len(comparison.exams):
        lacking = ", ".join(str(exam.number) for exam in comparison.exams if exam not in having)
        return _left_out(comparison, f"exam {lacking} has no segmentation")
    cts = _cts(arguments, results)
    with progress.stage(_LESIONS) as report:
        try:
            check_segmentations(comparison.exams, part(report, 0.0, 0.15))
        except UnfitInputError as error:
            if demanded:
                raise
            # Of the error only its code: the files of compare name no file.
            return _left_out(comparison, f"a segmentation cannot be used [{error.code or 'unreadable'}]")
        course = follow_lesions(comparison.exams, cts, partial(_keep_map, out), part(report, 0.15, 1.0))
    return replace(comparison, lesions=course.record, warnings=(*comparison.warnings, *course.warnings))


def _left_out(comparison: Comparison, why: str) -> Comparison:
    text = f"What became of each lesion was left out, since {why}; --lesions says which, --no-lesions silences this."
    return replace(comparison, warnings=(*comparison.warnings, CTWarning("lesions-left-out", text)))


def _keep_map(out: OutputFolder, name: str, labels: np.ndarray, exam: ExamImages) -> None:
    out.write(name, lambda path: write_change_map(path, labels, exam))


def _read(arguments: argparse.Namespace, progress: StagedProgress) -> list[ExamResult]:
    paths = [arguments.baseline, *arguments.followup]
    results = []
    from COVIDQuantLib.dicom.read import read_any_result

    with progress.stage(_READING.name) as report:
        for number, path in enumerate(paths, start=1):
            results.append(read_any_result(path))
            report(number / len(paths))
    return results


def _show(arguments: argparse.Namespace, comparison: Comparison, files: list[Path]) -> None:
    left = [*earlier_files(arguments.out, {path.name for path in files}), *earlier_reports(arguments)]
    text = f"{', '.join(left)} in {arguments.out} may be from an earlier run; left unchanged."
    earlier = [CTWarning("earlier-files", text)] if left else []
    show_warnings([*comparison.warnings, *earlier])
    if not arguments.quiet:
        show_comparison(comparison)
        if comparison.lesions is not None:
            show_lesions(comparison.lesions)
        show_files(files)


def _refuse_unsound(arguments: argparse.Namespace, comparison: Comparison) -> None:
    excluded = [str(exam.number) for exam in comparison.exams if exam.result.is_excluded]
    unsound = [str(exam.number) for exam in comparison.exams if exam.result.grade is not Grade.SOUND]
    if excluded and not unsound:
        what = f"exam {', '.join(excluded)} was excluded from quantification by its readers"
        raise NotSoundError(what, str(arguments.out), "All files were written: correct the segmentation and rate it.")
    if unsound:
        what = f"exam {', '.join(unsound)} is not graded sound"
        raise NotSoundError(what, str(arguments.out), "All files were written: review the exams and correct them.")


def _thresholds(arguments: argparse.Namespace) -> Thresholds | None:
    """The user's thresholds, with the default for a missing one; None if neither was given."""
    ggo, consolidation = arguments.ggo_hu, arguments.consolidation_hu
    if ggo is None and consolidation is None:
        return None
    return Thresholds(
        DEFAULT_THRESHOLDS.ggo_hu if ggo is None else ggo,
        DEFAULT_THRESHOLDS.consolidation_hu if consolidation is None else consolidation,
    )


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no time zone
    except ValueError:
        message = f"{text!r} is not a date like 2020-02-29; give the exams before the dates"
        raise argparse.ArgumentTypeError(message) from None
