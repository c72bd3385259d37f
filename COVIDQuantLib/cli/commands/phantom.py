"""``covidquant phantom``: make a synthetic chest CT with known truth."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from COVIDQuantLib.cli.output_options import add_out
from COVIDQuantLib.cli.terminal import progress_bar
from COVIDQuantLib.errors import OutputError, UsageError
from COVIDQuantLib.export.csv_file import write_rows
from COVIDQuantLib.progress import Stage
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.simulation.phantom.cohort import MATRIX as COHORT_MATRIX
from COVIDQuantLib.simulation.phantom.cohort import THICKNESS_MM as COHORT_MM
from COVIDQuantLib.simulation.phantom.cohort import draw_cohort, manifest_rows
from COVIDQuantLib.simulation.phantom.course import COURSES, DEFAULT_DAYS, check_days, folder_of, make_course
from COVIDQuantLib.simulation.phantom.files import FILES, put_phantom, write_phantom
from COVIDQuantLib.simulation.phantom_settings import SURROUNDINGS
from COVIDQuantLib.system.atomic_files import OutputFolder

NAME = "phantom"
HELP = (
    "Make a synthetic chest CT with pneumonia whose lobes, lesions and measurements are known exactly, "
    "or several of one patient along a course."
)

MANIFEST_FILE = "manifest.csv"
_ALL = "all"
_MAKING, _WRITING = Stage("making", 20.0), Stage("writing", 2.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; omitted values are drawn from the seed or take the phantom's defaults."""
    defaults = PhantomSettings()
    add_out(parser, "CT and its truth")
    parser.add_argument("--seed", type=int, default=defaults.seed, metavar="N", help="which patient")
    parser.add_argument(
        "--thickness",
        type=float,
        metavar="MM",
        help=f"section thickness, default {defaults.thickness_mm:g}, of a cohort {COHORT_MM:g}",
    )
    parser.add_argument(
        "--matrix",
        type=int,
        metavar="N",
        help=f"pixels along a side, default {defaults.matrix}, of a cohort {COHORT_MATRIX}",
    )
    parser.add_argument("--slices", type=int, metavar="N", help="number of sections")
    parser.add_argument("--extent", type=float, metavar="PERCENT", help="extent of the pneumonia, 0 for none")
    parser.add_argument("--motion", action=argparse.BooleanOptionalAction, help="whether to add motion artefacts")
    parser.add_argument("--kernel", choices=("soft", "standard", "sharp"), help="reconstruction kernel")
    parser.add_argument("--noise", type=float, metavar="HU", help="standard deviation of the noise")
    parser.add_argument(
        "--surroundings",
        nargs="+",
        default=[],
        choices=(*SURROUNDINGS, _ALL),
        metavar="THING",
        help=f"objects around the body: {', '.join(SURROUNDINGS)} or {_ALL}",
    )
    parser.add_argument(
        "--course",
        choices=tuple(COURSES),
        help="several exams of the patient, the disease following the published course; a folder for each",
    )
    parser.add_argument(
        "--days",
        type=float,
        nargs="+",
        metavar="DAY",
        help=f"days since onset of a course's exams, default {' '.join(f'{day:g}' for day in DEFAULT_DAYS)}",
    )
    parser.add_argument(
        "--cohort",
        type=int,
        metavar="N",
        help="N patients with three exams each, in groups, with outcomes; manifest.csv lists them for batch",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(arguments: argparse.Namespace) -> None:
    """Do it.

    Raises:
        UsageError: settings out of range.
        OutputError: the folder cannot be written.
    """
    whole = arguments.cohort is not None
    defaults = PhantomSettings(matrix=COHORT_MATRIX, thickness_mm=COHORT_MM) if whole else PhantomSettings()
    settings = PhantomSettings(
        seed=arguments.seed,
        thickness_mm=defaults.thickness_mm if arguments.thickness is None else arguments.thickness,
        matrix=defaults.matrix if arguments.matrix is None else arguments.matrix,
        slices=arguments.slices,
        extent_percent=arguments.extent,
        motion=arguments.motion,
        kernel=arguments.kernel,
        noise_hu=arguments.noise,
        surroundings=SURROUNDINGS if _ALL in arguments.surroundings else tuple(arguments.surroundings),
    )
    settings.check()
    if whole:
        _run_cohort(settings, arguments)
        return
    if arguments.course is not None:
        _run_course(settings, arguments)
        return
    if arguments.days is not None:
        raise UsageError("--days belongs to a course", "phantom", "Add --course severe or moderate.", "course-days")
    with (
        OutputFolder(arguments.out) as out,
        progress_bar((_MAKING, _WRITING), quiet=arguments.quiet) as progress,
    ):
        out.expect(FILES)
        with progress.stage(_MAKING.name) as report:
            phantom = make_phantom(settings, report)
        with progress.stage(_WRITING.name):
            put_phantom(phantom, out)
    arguments.written = True


def _run_course(settings: PhantomSettings, arguments: argparse.Namespace) -> None:
    """Make and write all exams of a course; every folder appears when the last exam is made, or none does."""
    days = arguments.days or list(DEFAULT_DAYS)
    check_days(days)
    exams = make_course(settings, COURSES[arguments.course], days)
    makings = [Stage(f"making exam {number}", _MAKING.weight) for number in range(1, len(days) + 1)]
    with ExitStack() as stack:
        outs = []
        for number, day in enumerate(days, start=1):
            outs.append(stack.enter_context(OutputFolder(arguments.out / folder_of(number, day))))
            outs[-1].expect(FILES)
        progress = stack.enter_context(progress_bar((*makings, _WRITING), quiet=arguments.quiet))
        for making, out in zip(makings, outs, strict=True):
            with progress.stage(making.name):
                put_phantom(next(exams).phantom, out)
        with progress.stage(_WRITING.name):
            pass
    arguments.written = True


def _run_cohort(settings: PhantomSettings, arguments: argparse.Namespace) -> None:
    """Make and write the exams of every patient; the manifest comes last, when all are there."""
    if arguments.course is not None or arguments.days is not None:
        remedy = "Leave out --course and --days, or --cohort."
        raise UsageError("the patients of a cohort have courses of their own", "phantom", remedy, code="course-days")
    patients = draw_cohort(arguments.cohort, settings)
    makings = {patient.name: Stage(f"making {patient.name}", _MAKING.weight) for patient in patients}
    with OutputFolder(arguments.out) as out:
        if (arguments.out / MANIFEST_FILE).exists():
            what = "a manifest is there already, which may have been filled in by hand"
            remedy = "Move it away, or choose another folder."
            raise OutputError(what, str(arguments.out / MANIFEST_FILE), remedy, "manifest-exists")
        arguments.left = "exams that were made are kept, the manifest was not written"
        with progress_bar((*makings.values(), _WRITING), quiet=arguments.quiet) as progress:
            for patient in patients:
                with progress.stage(makings[patient.name].name) as report:
                    exams = make_course(patient.settings, patient.course, patient.days, report=report)
                    for exam in exams:
                        write_phantom(exam.phantom, arguments.out / patient.name / exam.folder)
        out.write(MANIFEST_FILE, lambda path: write_rows(path, manifest_rows(patients)))
    arguments.written = True
