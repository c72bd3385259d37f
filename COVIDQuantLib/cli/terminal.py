"""Terminal output: a progress bar with the time left, warnings, and the table of measurements."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.grades import CheckResult, Grade, finding_line, findings_of, grade_of
from COVIDQuantLib.progress import ProgressState, Stage, StagedProgress
from COVIDQuantLib.quantification.measure_table import Measure, View
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import MetricsTable, Row

_PIPED_WIDTH = 110


class _Screen(Console):
    """A console that shows text literally: names that look like rich markup or control codes have no effect.

    For styled text, use :class:`rich.text.Text`.
    """

    def __init__(self, *, stderr: bool, width: int | None = None) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(shown(each) if isinstance(each, str) else each for each in objects), **options)

    def on_broken_pipe(self) -> None:
        """Raise, so that the command line can end quietly; rich would exit the program."""
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """A console without markup; as wide as the table needs if the output is a file or a pipe."""
    made = _Screen(stderr=stderr)
    return made if made.is_terminal else _Screen(stderr=stderr, width=_PIPED_WIDTH)


def shown(text: object) -> str:
    """Make a text safe for the terminal: one line, without control characters."""
    line = " ".join(str(text).split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


@contextmanager
def progress_bar(stages: Sequence[Stage], *, quiet: bool = False, log: bool = False) -> Iterator[StagedProgress]:
    """Show progress on standard error as a bar with the stage and the time left.

    If standard error is not a terminal, nothing is shown, so that an error is the only line.

    Args:
        stages: of the work.
        quiet: show nothing at all.
        log: print a line per stage to a file or pipe (except for the first, reading): for jobs that take hours.
    """
    screen = console(stderr=True)
    if quiet or not (screen.is_terminal or log):
        yield StagedProgress(stages)
        return
    if not screen.is_terminal:
        yield StagedProgress(stages, _line_per_stage(screen, stages[0].name))
        return
    bar = Progress(
        # Stage names may contain file names.
        TextColumn("{task.description:<10}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        console=screen,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=1.0, left="")

        def show(state: ProgressState) -> None:
            left = time_left(state.seconds_left)
            bar.update(task, completed=state.fraction, description=shown(state.stage), left=left)

        yield StagedProgress(stages, show)


def _line_per_stage(screen: Console, last: str) -> Callable[[ProgressState], None]:
    def show(state: ProgressState) -> None:
        nonlocal last
        if state.stage not in {"", last}:
            last = state.stage
            screen.print(f"{state.fraction:4.0%} {state.stage}")

    return show


def time_left(seconds: float | None) -> str:
    """Seconds left in words."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left"


def figure(row: Row, measure: Measure) -> str:
    """A measurement formatted for display; empty if undefined."""
    value = row[measure.name]
    return "" if value is None else f"{value:.{measure.decimals}f}"


_GRADE_STYLE = {Grade.SOUND: "green", Grade.LOOK: "bold yellow", Grade.UNUSABLE: "bold red"}


def show_grade(checks: Sequence[CheckResult]) -> None:
    """Print the grade on standard output, with a line per reason."""
    grade = grade_of(checks)
    if grade is None:
        return
    screen = console()
    screen.print(Text.assemble("result: ", (grade.text, _GRADE_STYLE[grade])))
    for check in findings_of(checks):
        region = f"{check.region}: " if check.region else ""
        grade_told = (check.grade.text, _GRADE_STYLE[check.grade])
        screen.print(Text.assemble("  ", grade_told, " ", shown(f"{region}{finding_line(check)}")), soft_wrap=True)


def show_metrics(metrics: MetricsTable) -> None:
    """Print the table on standard output."""
    measures = MEASURES.shown_in(View.TERMINAL)
    table = Table(header_style="bold")
    table.add_column("region", no_wrap=True)
    for measure in measures:
        table.add_column(f"{measure.title}\n{measure.unit}", justify="right", no_wrap=True)
    for row in metrics.rows:
        table.add_row(str(row["region"]), *(figure(row, measure) for measure in measures))
    screen = console()
    screen.print(table)
    parts = [f"involved lobes {metrics.involved_lobes}"]
    if metrics.ct_score_total is not None:
        parts.insert(0, f"CT score {metrics.ct_score_total} of 25")
    if metrics.hellinger_distance is not None and metrics.histogram_iou is not None:
        parts.append(f"Hellinger distance {metrics.hellinger_distance:.3f}, IoU {metrics.histogram_iou:.3f}")
    screen.print("; ".join(parts))


def show_warnings(warnings: Sequence[CTWarning]) -> None:
    """Print the warnings on standard error, one per line."""
    for warning in warnings:
        show_warning(f"{warning.code}: {warning.message}")


def show_warning(text: str) -> None:
    """Print one warning on standard error."""
    console(stderr=True).print(Text.assemble(("warning", "yellow"), " ", shown(text)), soft_wrap=True)


def show_files(files: Sequence[Path]) -> None:
    """Print the written files on standard output, one unmodified path per line, for scripts."""
    sys.stdout.write("".join(f"{file}\n" for file in files))
