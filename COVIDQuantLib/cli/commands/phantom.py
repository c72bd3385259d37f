"""``covidquant phantom``: make a synthetic chest CT with known truth."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from COVIDQuantLib.cli.terminal import progress_bar
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.progress import Stage
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.simulation.phantom.course import COURSES, DEFAULT_DAYS, check_days, folder_of, make_course
from COVIDQuantLib.simulation.phantom.files import FILES, put_phantom
from COVIDQuantLib.simulation.phantom_settings import SURROUNDINGS
from COVIDQuantLib.system.atomic_files import OutputFolder

NAME = "phantom"
HELP = (
    "Make a synthetic chest CT with pneumonia whose lobes, lesions and measurements are known exactly, "
    "or several of one patient along a course."
)

_ALL = "all"
_MAKING, _WRITING = Stage("making", 20.0), Stage("writing", 2.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; omitted values are drawn from the seed or take the phantom's defaults."""
    defaults = PhantomSettings()
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the CT and its truth")
    parser.add_argument("--seed", type=int, default=defaults.seed, metavar="N", help="which patient")
    parser.add_argument(
        "--thickness", type=float, default=defaults.thickness_mm, metavar="MM", help="section thickness"
    )
    parser.add_argument("--matrix", type=int, default=defaults.matrix, metavar="N", help="pixels along a side")
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
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(arguments: argparse.Namespace) -> None:
    """Do it.

    Raises:
        UsageError: settings out of range.
        OutputError: the folder cannot be written.
    """
    settings = PhantomSettings(
        seed=arguments.seed,
        thickness_mm=arguments.thickness,
        matrix=arguments.matrix,
        slices=arguments.slices,
        extent_percent=arguments.extent,
        motion=arguments.motion,
        kernel=arguments.kernel,
        noise_hu=arguments.noise,
        surroundings=SURROUNDINGS if _ALL in arguments.surroundings else tuple(arguments.surroundings),
    )
    settings.check()
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
