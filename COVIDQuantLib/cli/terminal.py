"""What the terminal shows: a progress bar with time left, warnings, and the table of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.grades import CheckResult, Grade, findings_of, grade_of, told
from COVIDQuantLib.progress import ProgressState, Stage, StagedProgress
from COVIDQuantLib.quantification.measures import MEASURES, Measure
from COVIDQuantLib.quantification.table import MetricsTable, Row

# The terminal has room for these; the files hold every column.
TERMINAL_MEASURES = (
    "volume_ml",
    "lesion_volume_ml",
    "extent_percent",
    "weight_g",
    "ggo_percent",
    "consolidation_percent",
    "mean_lesion_hu",
    "ct_score",
)
_PIPED_WIDTH = 110


def console(*, stderr: bool = False) -> Console:
    """A console; as wide as the table needs where the output is a file or a pipe."""
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=_PIPED_WIDTH)


@contextmanager
def progress_bar(stages: Sequence[Stage], *, quiet: bool = False) -> Iterator[StagedProgress]:
    """A staged progress shown on standard error as a bar with the stage and the time left.

    Where standard error is no terminal, each stage is a line instead.
    """
    screen = console(stderr=True)
    if quiet:
        yield StagedProgress(stages)
        return
    if not screen.is_terminal:
        yield StagedProgress(stages, _line_per_stage(screen))
        return
    bar = Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
        console=screen,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=1.0, left="")

        def show(state: ProgressState) -> None:
            bar.update(task, completed=state.fraction, description=state.stage, left=time_left(state.seconds_left))

        yield StagedProgress(stages, show)


def _line_per_stage(screen: Console) -> Callable[[ProgressState], None]:
    shown: list[str] = []

    def show(state: ProgressState) -> None:
        if not shown or shown[-1] != state.stage:
            shown.append(state.stage)
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
    """A figure as people read it; empty where it is undefined."""
    value = row[measure.name]
    return "" if value is None else f"{value:.{measure.decimals}f}"


_GRADE_STYLE = {Grade.SOUND: "green", Grade.LOOK: "bold yellow", Grade.UNUSABLE: "bold red"}


def show_grade(checks: Sequence[CheckResult]) -> None:
    """The grade on standard output, with a line per reason."""
    grade = grade_of(checks)
    if grade is None:
        return
    screen = console()
    screen.print(f"result: [{_GRADE_STYLE[grade]}]{grade.text}[/]")
    for check in findings_of(checks):
        region = f"{check.region}: " if check.region else ""
        screen.print(f"  [{_GRADE_STYLE[check.grade]}]{check.grade.text}[/] {region}{told(check)}", soft_wrap=True)


def show_metrics(metrics: MetricsTable) -> None:
    """The table on standard output."""
    measures = [measure for measure in MEASURES if measure.name in TERMINAL_MEASURES]
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
    """The warnings on standard error, a line each."""
    screen = console(stderr=True)
    for warning in warnings:
        screen.print(f"[yellow]warning[/yellow] {warning.code}: {warning.message}", soft_wrap=True)
