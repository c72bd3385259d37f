"""``covidquant batch``: quantify every exam of a manifest into one data set, or make a manifest from DICOM files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from COVIDQuantLib.cli.output_options import add_out, add_quiet
from COVIDQuantLib.cli.plan_options import add_plan_options, plan_of
from COVIDQuantLib.cli.terminal import console, progress_bar, show_files, show_warning, shown
from COVIDQuantLib.errors import NotSoundError, UsageError
from COVIDQuantLib.export.exam_files import EXPORTS
from COVIDQuantLib.progress import Stage
from COVIDQuantLib.system.atomic_files import OutputFolder

if TYPE_CHECKING:
    from COVIDQuantLib.cohort.batch import BatchResult
    from COVIDQuantLib.cohort.settings import BatchSettings

NAME = "batch"
HELP = (
    "Quantify the exams of many patients, in parallel, into one data set; run it again to go on where it stopped. "
    "Or make the list of exams from a tree of DICOM files."
)
# Lines of each list that the terminal shows; the file has them all.
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "manifest", type=Path, nargs="?", metavar="MANIFEST", help="CSV or Parquet with columns patient, exam, path"
    )
    add_out(parser)
    parser.add_argument(
        "--make-manifest", type=Path, metavar="TREE", help="list the chest CTs below a folder into DIR/manifest.csv"
    )
    parser.add_argument("--dates", action="store_true", help="with --make-manifest: write the date of each exam")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="exams made at a time on this machine")
    where.add_argument("--scheduler", metavar="ADDRESS", help="use the workers of a running Dask scheduler")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each worker on this machine")
    add_plan_options(parser)
    parser.add_argument("--no-picture", action="store_true", help="do not write the overview images")
    parser.add_argument("--identify", action="store_true", help="write names, UIDs and dates as they are")
    parser.add_argument("--redo", action="store_true", help="make exams again that were made with other settings")
    parser.add_argument("--collect", action="store_true", help="make no exam; write the data set of what is done")
    parser.add_argument("--strict", action="store_true", help="end with status 4 if an exam failed or needs review")
    add_quiet(parser, "summary")


def run(arguments: argparse.Namespace) -> None:
    """Do it.

    Raises:
        UsageError: neither a manifest nor a tree is given, or both; a package is missing.
        UnfitInputError: the manifest cannot be used, the folder holds another batch, or the scheduler is lost.
        OutputError: the folder cannot be written.
    """
    if (arguments.manifest is None) == (arguments.make_manifest is None):
        remedy = "Use: covidquant batch MANIFEST --out DIR, or covidquant batch --make-manifest TREE --out DIR."
        raise UsageError("give either a manifest or a tree to make one from", remedy=remedy)
    if arguments.make_manifest is not None:
        _make_manifest(arguments)
    elif arguments.dates:
        raise UsageError("--dates belongs to --make-manifest", remedy="Leave it out.")
    else:
        _run_batch(arguments)


def _run_batch(arguments: argparse.Namespace) -> None:
    from COVIDQuantLib.cli.batch_display import BatchDisplay
    from COVIDQuantLib.cohort.batch import Where, run_batch
    from COVIDQuantLib.cohort.columns import FILES
    from COVIDQuantLib.cohort.manifest.rows import read_manifest

    settings = _settings(arguments)
    manifest = read_manifest(arguments.manifest)
    for warning in manifest.warnings:
        show_warning(f"{warning.code}: {warning.message}")
    where = Where(arguments.scheduler, arguments.workers, arguments.threads)
    with OutputFolder(arguments.out) as out:
        # Checked before the work: whether the folder is writable and the file names are free.
        out.expect(FILES)
        arguments.left = "every exam that is done is kept; run the same command again to go on"
        with BatchDisplay(quiet=arguments.quiet) as display:
            result = run_batch(manifest, out, settings, where, display, redo=arguments.redo, collect=arguments.collect)
    arguments.written = True
    try:
        if not arguments.quiet:
            _show(result)
    finally:
        if arguments.strict:
            _refuse_unsound(result, arguments.out)


def _settings(arguments: argparse.Namespace) -> BatchSettings:
    from COVIDQuantLib.cohort.settings import BatchSettings

    plan, thresholds = plan_of(arguments)
    wanted = [export.name for export in EXPORTS if export.default or getattr(arguments, export.name)]
    if arguments.no_picture:
        wanted.remove("picture")
    return BatchSettings.of(plan, thresholds, tuple(wanted), identify=arguments.identify)


def _show(result: BatchResult) -> None:
    """Print what a reader must look at, then the counts, the rate and the files."""
    from COVIDQuantLib.cohort.summary import counts_line, listed

    screen = console()
    for each in listed(result.states):
        screen.print(f"{each.heading}: {len(each.lines)}")
        for line in each.lines[:_SHOWN]:
            screen.print(Text(f"  {shown(line)}"), soft_wrap=True)
        if len(each.lines) > _SHOWN:
            screen.print(f"… and {len(each.lines) - _SHOWN} more")
    screen.print(counts_line(result.states), soft_wrap=True)
    if result.made:
        rate = 3600.0 * result.made / max(result.seconds, 1e-3)
        screen.print(f"{result.made} made in this run in {result.seconds:.0f} s, {rate:.0f} an hour")
    show_files(result.files)


def _refuse_unsound(result: BatchResult, out: Path) -> None:
    from COVIDQuantLib.cohort.columns import Status

    bad = sum(state.status not in {Status.DONE, Status.LEFT_OUT} for state in result.states)
    review = sum(state.to_review for state in result.states)
    if bad or review:
        what = f"{bad} exams are not in the data set and {review} are to be reviewed"
        raise NotSoundError(what, str(out), "All files were written: see the summary.")


def _make_manifest(arguments: argparse.Namespace) -> None:
    from COVIDQuantLib.cohort.manifest.from_dicom import FILES, SEARCHING, put_manifest, series_below

    with OutputFolder(arguments.out) as out:
        _refuse_existing(arguments.out, FILES)
        with (
            progress_bar((Stage(SEARCHING, 1.0),), quiet=arguments.quiet) as progress,
            progress.stage(SEARCHING) as told,
        ):
            found = series_below(arguments.make_manifest, told)
        files = put_manifest(found, out, dates=arguments.dates, identify=arguments.identify)
    arguments.written = True
    if not arguments.quiet:
        used = sum(one.used for one in found)
        fit = sum(not one.why_not for one in found)
        screen = console()
        screen.print(
            f"{len(found)} series: {fit} chest CTs that can be quantified, {used} of them chosen, one per study"
        )
        for line in [f"{one.shown}: {one.why_not}" for one in found if one.why_not][:_SHOWN]:
            screen.print(Text(f"  {shown(line)}"), soft_wrap=True)
        show_files(files)


def _refuse_existing(folder: Path, names: Sequence[str]) -> None:
    """A manifest that somebody may have filled in by hand is never replaced."""
    from COVIDQuantLib.errors import OutputError

    for name in names:
        if (folder / name).exists():
            what = "a manifest is there already, which may have been filled in by hand"
            raise OutputError(what, str(folder / name), "Move it away, or choose another folder.", "manifest-exists")
