"""``covidquant evaluate``: compare segmentations with reference segmentations, for one scan or a folder of scans."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from COVIDQuantLib.cli.output_options import add_out, add_quiet
from COVIDQuantLib.cli.terminal import console, progress_bar, show_files, show_warning
from COVIDQuantLib.evaluation.agreement import PairedAgreement, Spread
from COVIDQuantLib.evaluation.anonymous import without_names
from COVIDQuantLib.evaluation.evaluate import CohortAgreement, pool
from COVIDQuantLib.evaluation.measures import QUANTITIES, SCORES, Quantity
from COVIDQuantLib.evaluation.overlap import LESIONS
from COVIDQuantLib.evaluation.result_files import FILES, put_evaluation, summary_record
from COVIDQuantLib.evaluation.scan_files import CONTENTS
from COVIDQuantLib.evaluation.scan_pairs import evaluate_pair, find_pairs
from COVIDQuantLib.progress import Stage
from COVIDQuantLib.system.atomic_files import OutputFolder

NAME = "evaluate"
HELP = "Compare segmentations with reference segmentations: Dice, distances, volumes, extent, weight, agreement."

# Columns that fit the terminal; the files hold all of them.
TERMINAL_SCORES = ("dice", "sensitivity", "ppv", "surface_distance_mm", "surface_distance_95_mm")
_WRITING = Stage("writing", 0.2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    kinds = "a folder written by quantify, a .seg.nrrd, label maps (lobes, lungs, lesions), or a folder of many scans"
    parser.add_argument("predicted", type=Path, metavar="PREDICTED", help=kinds)
    parser.add_argument(
        "reference", type=Path, metavar="REFERENCE", help="the reference, in the same forms; scans are paired by name"
    )
    add_out(parser)
    parser.add_argument("--ct", type=Path, metavar="FILE_OR_DIR", help="the CT, or a folder of CTs, for weight and HU")
    parser.add_argument("--content", choices=CONTENTS, help="contents of label maps whose names do not say")
    parser.add_argument("--identify", action="store_true", help="write the names of the scans instead of hashes")
    parser.add_argument("--no-distances", action="store_true", help="skip the surface distances, which is faster")
    parser.add_argument("--no-plots", action="store_true", help="do not draw Bland-Altman plots")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it.

    Raises:
        UnfitInputError: there is nothing to compare, a file cannot be read, or two files are on different grids.
        UsageError: the contents of a label map are unknown.
        OutputError: the folder cannot be written.
    """
    with OutputFolder(arguments.out) as out:
        # Checked before the work: whether the folder is writable and the file names are free.
        out.expect(FILES)
        pairing = find_pairs(arguments.predicted, arguments.reference, arguments.ct, arguments.content)
        stages = {pair.name: Stage(f"scan {pair.name}", 1.0) for pair in pairing.pairs}
        scans = []
        with progress_bar((*stages.values(), _WRITING), quiet=arguments.quiet) as progress:
            for pair in pairing.pairs:
                with progress.stage(stages[pair.name].name) as report:
                    scans.append(evaluate_pair(pair, distances=not arguments.no_distances, report=report))
            cohort = pool(scans)
            with progress.stage(_WRITING.name):
                named = (cohort, pairing.warnings)
                written = named if arguments.identify else without_names(cohort, pairing)
                files = put_evaluation(written[0], out, written[1], plots=not arguments.no_plots)
    arguments.written = True
    for warning in summary_record(cohort, pairing.warnings)["warnings"]:
        show_warning(warning)
    if not arguments.quiet:
        show_agreement(cohort)
        show_files(files)


def show_agreement(cohort: CohortAgreement) -> None:
    """Print overlap by structure, then the agreement of the lesion measurements."""
    screen = console()
    table = Table(header_style="bold", title=f"{len(cohort.scans)} scans: mean ± SD" if len(cohort.scans) > 1 else None)
    table.add_column("structure", no_wrap=True)
    described = {name for summary in cohort.structures.values() for name, spread in summary.scores.items() if spread.n}
    shown = [score for score in SCORES if score.name in TERMINAL_SCORES and score.name in described]
    for score in shown:
        table.add_column(f"{score.title}\n{score.unit}", justify="right", no_wrap=True)
    for name, summary in cohort.structures.items():
        table.add_row(name, *(_spread(summary.scores[score.name]) for score in shown))
    screen.print(table)
    if cohort.mean_lobe_dice.n:
        screen.print(f"mean lobe Dice {_spread(cohort.mean_lobe_dice)}")
    _show_quantities(cohort, screen)


def _show_quantities(cohort: CohortAgreement, screen: Console) -> None:
    table = Table(header_style="bold", title="predicted − reference")
    columns = ("", "mean", "95 % limits", "ICC(A,1) (95 % CI)", "Pearson", "Spearman")
    for column in columns:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, summary in cohort.structures.items():
        for quantity in QUANTITIES:
            agreement = summary.quantities.get(quantity.name)
            if agreement is not None and (name == LESIONS.name or quantity is QUANTITIES[0]):
                table.add_row(f"{name}, {quantity.title.lower()}", *_agreement_cells(agreement, quantity))
    screen.print(table)
    lesions = cohort.structures.get(LESIONS.name)
    if lesions is not None and lesions.absent:
        screen.print(
            f"{lesions.absent} scans without lesions in the reference; {_false_positive(lesions.false_positive)}"
        )
    if lesions is not None and lesions.missed:
        screen.print(f"{lesions.missed} scans with lesions in the reference where none was predicted")


def _agreement_cells(agreement: PairedAgreement, quantity: Quantity) -> list[str]:
    limits = agreement.bland_altman.limits if agreement.bland_altman else None
    icc = agreement.icc
    interval = ""
    if icc is not None and icc.lower is not None and icc.upper is not None:
        interval = f" ({icc.lower:.3f} to {icc.upper:.3f})"
    return [
        f"{_number(agreement.difference.mean)} {quantity.symbol}",
        f"{limits[0]:.2f} to {limits[1]:.2f}" if limits else "",
        f"{icc.value:.3f}{interval}" if icc else "",
        *(f"{found.r:.3f}" if found else "" for found in (agreement.pearson, agreement.spearman)),
    ]


def _false_positive(spreads: dict[str, Spread]) -> str:
    parts = [
        f"{quantity.title.lower()} {_number(spread.mean)} {quantity.symbol}, at most {_number(spread.max)}"
        for quantity in QUANTITIES
        if (spread := spreads[quantity.name]).n and quantity.name in {"extent", "volume"}
    ]
    return "predicted there on average: " + "; ".join(parts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _spread(spread: Spread) -> str:
    if spread.mean is None:
        return ""
    return f"{spread.mean:.3f}" if spread.sd is None else f"{spread.mean:.3f} ± {spread.sd:.3f}"
