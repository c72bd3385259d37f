"""``covidquant quantify``: segment and quantify a CT, and write the results."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path

from COVIDQuantLib.cli.mask_options import GIVEN, add_mask_options, ct_path, given_masks
from COVIDQuantLib.cli.terminal import progress_bar, show_files, show_grade, show_metrics, show_warnings
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.dicom.files import DICOM, DICOM_FILES, dicom_files
from COVIDQuantLib.errors import NotSoundError, UsageError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.exam_files import EXPORTS, files_of, put_exam
from COVIDQuantLib.grades import Grade, findings_of
from COVIDQuantLib.inference.device import DEVICES
from COVIDQuantLib.pipeline import DEFAULT_PLAN, METHODS, Plan, quantify_ct
from COVIDQuantLib.progress import Stage, StagedProgress, part
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.system.atomic_files import OutputFolder

NAME = "quantify"
HELP = "Find lobes and pneumonia on a chest CT; write a segmentation, a table of measurements and an overview image."

_READING, _WRITING, _DICOM = Stage("reading", 2.5), Stage("writing", 4.0), Stage("DICOM", 8.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "ct", type=Path, nargs="?", metavar="CT", help="a DICOM folder or file, NIfTI, NRRD or MetaImage"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--series", metavar="UID|NUMBER|TEXT", help="the DICOM series to use, by UID, number or description"
    )
    add_mask_options(parser)
    parser.add_argument(
        "--method", choices=METHODS, default=DEFAULT_PLAN.method, help="how to find lungs, lobes and lesions"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where networks run; not used by model-free")
    for step in ("lobes", "lesions"):
        parser.add_argument(
            f"--{step}-model", metavar="NAME|DIR", help=f"model bundle for the {step}; default: the shipped one"
        )
    parser.add_argument("--ggo-hu", type=int, default=DEFAULT_THRESHOLDS.ggo_hu, metavar="HU", help="default −750")
    parser.add_argument(
        "--consolidation-hu", type=int, default=DEFAULT_THRESHOLDS.consolidation_hu, metavar="HU", help="default −350"
    )
    for export in EXPORTS:
        if not export.default:
            parser.add_argument(f"--{export.name}", action="store_true", help=f"write {export.text} as well")
    parser.add_argument(f"--{DICOM.name}", action="store_true", help=f"write {DICOM.text} as well")
    parser.add_argument(
        "--report-pdf", type=Path, metavar="PDF", help="with --dicom: a report to go along as Encapsulated PDF"
    )
    parser.add_argument(
        "--earlier",
        type=Path,
        metavar="RESULT",
        help="with --dicom: an earlier result of this patient; its lesions keep their tracking identifiers",
    )
    parser.add_argument("--no-picture", action="store_true", help="do not write the overview image")
    parser.add_argument("--identify", action="store_true", help="write names, UIDs and the exam date as they are")
    parser.add_argument("--strict", action="store_true", help="end with status 4 if the result is not graded sound")
    parser.add_argument("--quiet", action="store_true", help="show no progress and no table")


def run(arguments: argparse.Namespace) -> None:
    """Do it; errors as in :func:`COVIDQuantLib.pipeline.quantify_ct` and the readers and writers."""
    plan = Plan(arguments.method, arguments.device, arguments.lobes_model, arguments.lesions_model)
    thresholds = Thresholds(arguments.ggo_hu, arguments.consolidation_hu)
    wanted = [export.name for export in EXPORTS if _wanted(export.name, arguments, default=export.default)]
    _check_dicom_options(arguments)
    with OutputFolder(arguments.out) as out:
        # Checked before the work: whether the folder is writable and the file names are free.
        out.expect(_all_files(wanted, arguments))
        stages = (_READING, *plan.stages, *([_DICOM] if arguments.dicom else []), _WRITING)
        with progress_bar(stages, quiet=arguments.quiet) as progress:
            exam = _quantify(arguments, plan, thresholds, progress)
            dicom = _put_dicom(exam, out, arguments, progress) if arguments.dicom else []
            with progress.stage(_WRITING.name) as report:
                files = [*put_exam(exam, out, wanted, report, identify=arguments.identify), *dicom]
    arguments.written = True
    try:
        show_warnings([*exam.warnings, *_earlier_files(arguments, wanted)])
        if not arguments.quiet:
            show_grade(exam.checks)
            show_metrics(exam.metrics)
            show_files(files)
    finally:
        if arguments.strict and exam.grade is not Grade.SOUND:
            remedy = "All files were written: review the result and correct it."
            raise NotSoundError(_not_sound(exam), str(arguments.out), remedy)


def _quantify(arguments: argparse.Namespace, plan: Plan, thresholds: Thresholds, progress: StagedProgress) -> Exam:
    path = ct_path(arguments)
    with progress.stage(_READING.name) as report:
        ct = read_ct(path, arguments.series, report)
        if arguments.dicom:
            _check_dicom(arguments, ct)
        given = given_masks(arguments, ct)
    return quantify_ct(ct, given, thresholds, progress, plan)


def _check_dicom_options(arguments: argparse.Namespace) -> None:
    for name in ("report_pdf", "earlier"):
        if getattr(arguments, name) is not None and not arguments.dicom:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} goes with --dicom", option, "Add --dicom, or leave it out.", "dicom-unused")


def _check_dicom(arguments: argparse.Namespace, ct: CTVolume) -> None:
    """Refuse before the work what would be refused after it."""
    from COVIDQuantLib.dicom.lineage import read_earlier
    from COVIDQuantLib.dicom.objects.pdf import read_pdf
    from COVIDQuantLib.dicom.objects.source import check_source

    check_source(ct.source)
    if arguments.report_pdf is not None:
        read_pdf(arguments.report_pdf)
    if arguments.earlier is not None:
        read_earlier(arguments.earlier, ct.source.text("patient_check"))


def _put_dicom(exam: Exam, out: OutputFolder, arguments: argparse.Namespace, progress: StagedProgress) -> list[Path]:
    from COVIDQuantLib.dicom.lineage import inherited_tracking, read_earlier
    from COVIDQuantLib.dicom.write import put_dicom_result

    with progress.stage(_DICOM.name) as report:
        inherited = None
        if arguments.earlier is not None:
            earlier = read_earlier(arguments.earlier, exam.ct.source.text("patient_check"))
            inherited = inherited_tracking(earlier, exam, part(report, 0.0, 0.6))
        span = part(report, 0.0 if inherited is None else 0.6, 1.0)
        files = put_dicom_result(exam, out, report_pdf=arguments.report_pdf, inherited=inherited, report=span)
    return files.paths()


def _all_files(wanted: Collection[str], arguments: argparse.Namespace) -> list[str]:
    """The names of every file that is to be written."""
    added = dicom_files(with_pdf=arguments.report_pdf is not None) if arguments.dicom else []
    return [*files_of(wanted), *added]


def _earlier_files(arguments: argparse.Namespace, wanted: Collection[str]) -> list[CTWarning]:
    """A warning if the folder holds files from an earlier run that this one did not replace."""
    written = _all_files(wanted, arguments)
    given = [path for name in GIVEN for path in _paths(getattr(arguments, name))]
    left = [
        name
        for name in [*files_of([export.name for export in EXPORTS]), *DICOM_FILES]
        if name not in written and (path := arguments.out / name).is_file() and not any(map(path.samefile, given))
    ]
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
