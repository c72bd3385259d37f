"""``covidquant study``: the statistics of a study, from tables of exams to the tables and figures of a paper."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table as Shown

from COVIDQuantLib.cli.output_options import add_out, add_quiet
from COVIDQuantLib.cli.terminal import console, progress_bar, show_files, show_warning
from COVIDQuantLib.progress import Stage
from COVIDQuantLib.system.atomic_files import OutputFolder

if TYPE_CHECKING:
    from COVIDQuantLib.statistics.study import Study

NAME = "study"
HELP = "Statistics of a study: groups, time courses, agreement, risk; tables, figures and one report."

_PIPED_WIDTH = 180
_COMPARING = Stage("comparing masks", 4.0)
_ANALYSING, _MAPPING, _WRITING = Stage("analysing", 0.4), Stage("mapping lesions", 2.0), Stage("writing", 0.5)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the study: a TOML file (docs/study.md)")
    add_out(parser)
    parser.add_argument("--identify", action="store_true", help="name those left out instead of writing hashes")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it.

    Raises:
        UsageError: a setting of the study is unknown or unfit, or a package is missing.
        UnfitInputError: a table is missing, damaged, or lacks a column.
        OutputError: the folder cannot be written.
    """
    from COVIDQuantLib.statistics.packages import require_packages

    require_packages()
    from COVIDQuantLib.cohort.frequency_figure import frequency_section
    from COVIDQuantLib.cohort.mask_agreement import masks_of, with_compared_masks
    from COVIDQuantLib.statistics.report.files import FIXED_FILES, earlier_files, put_study
    from COVIDQuantLib.statistics.study import load_study, run_study

    with OutputFolder(arguments.out) as out:
        out.expect(FIXED_FILES)
        before = earlier_files(arguments.out)
        context = load_study(arguments.config)
        mapped, masks = bool(context.config["frequency_map"]["results"]), bool(masks_of(context))
        stages = (*([_COMPARING] if masks else []), _ANALYSING, *([_MAPPING] if mapped else []), _WRITING)
        with progress_bar(stages, quiet=arguments.quiet) as progress:
            if masks:
                with progress.stage(_COMPARING.name) as report:
                    context = with_compared_masks(context, report)
            with progress.stage(_ANALYSING.name) as report:
                study = run_study(context, report)
            if mapped:
                with progress.stage(_MAPPING.name) as report:
                    study.sections.append(frequency_section(context, report))
            with progress.stage(_WRITING.name) as report:
                files = put_study(study, out, report, identify=arguments.identify)
    arguments.written = True
    _warn(study, sorted(before - {file.name for file in files}), arguments.out)
    if not arguments.quiet:
        show_study(study)
        show_files(files)


def _warn(study: Study, left: list[str], folder: Path) -> None:
    for text in study.warnings:
        show_warning(text)
    for section in study.sections:
        for text in section.warnings:
            show_warning(f"{section.title}: {text}")
    if left:
        show_warning(f"earlier-files: {', '.join(left)} in {folder} may be from an earlier run; left unchanged.")


def show_study(study: Study) -> None:
    """Print every table, with its notes and what was left out."""
    screen = console()
    if not screen.is_terminal:
        screen.width = _PIPED_WIDTH
    for section in study.sections:
        for table in section.tables:
            shown = Shown(title=table.title, title_justify="left", header_style="bold")
            for number, column in enumerate(table.columns):
                shown.add_column(column, no_wrap=number == 0 and len(table.columns) < 7)
            for row in table.rows:
                shown.add_row(*(text.replace("    ", "  ") for text in row))
            screen.print(shown)
            for note in table.notes:
                screen.print(note, soft_wrap=True)
        for text in section.left_out:
            screen.print(f"left out: {text}", soft_wrap=True)
