"""How a batch goes, on standard error: a bar with counts, rate and time left, or a line per exam in a file or pipe."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from COVIDQuantLib.cli.terminal import console, shown, time_left
from COVIDQuantLib.cohort.batch import Watcher
from COVIDQuantLib.cohort.exams.job import ExamJob, Outcome
from COVIDQuantLib.grades import Grade


class BatchDisplay(Watcher):
    """Shows how a batch goes.

    Args:
        quiet: show nothing at all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._screen = console(stderr=True)
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._begun = time.monotonic()
        self._before = self._ended = self._of = 0
        self._made = self._failed = self._review = self._workers = 0

    def __enter__(self) -> Self:
        """Begin."""
        if not self._quiet and self._screen.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description:<9}", markup=False),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
                TextColumn("{task.fields[told]}", markup=False),
                console=self._screen,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("checking", total=1, told="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        if self._bar is not None:
            self._bar.stop()

    def checked(self, number: int, of: int) -> None:
        """So many exams have been looked up."""
        if self._bar is not None and self._task is not None and (number % 100 == 0 or number == of):
            self._bar.update(self._task, description="checking", completed=number, total=of)

    def starts(self, done: int, of: int) -> None:
        """The making begins."""
        self._begun, self._before, self._of = time.monotonic(), done, of
        self._show()

    def ended(self, job: ExamJob, outcome: Outcome) -> None:
        """An exam was made, found or refused."""
        self._ended += 1
        self._made += outcome.status != "found"
        self._failed += outcome.status == "failed"
        self._review += outcome.grade not in {None, Grade.SOUND}
        self._show()
        if self._bar is None and not self._quiet:
            number = self._before + self._ended
            self._screen.print(
                f"{number}/{self._of} {shown(job.name)}: {_words(outcome)}; {self._rate()}", soft_wrap=True
            )

    def ticks(self, workers: int) -> None:
        """Time passes; there are so many workers."""
        if workers != self._workers and self._bar is None and not self._quiet and not workers:
            self._screen.print("waiting for workers")
        self._workers = workers
        self._show()

    def _rate(self) -> str:
        seconds = time.monotonic() - self._begun
        if not self._made or seconds <= 0:
            return "waiting for workers" if not self._workers else ""
        per_second = self._made / seconds
        left = (self._of - self._before - self._ended) / per_second
        return f"{per_second * 3600:.0f}/h, {_long_time_left(left)}"

    def _show(self) -> None:
        if self._bar is None or self._task is None:
            return
        parts = [self._rate(), f"{self._workers} workers" if self._workers else ""]
        parts += [f"{self._review} to review" if self._review else "", f"{self._failed} failed" if self._failed else ""]
        told = ", ".join(part for part in parts if part)
        number = self._before + self._ended
        self._bar.update(self._task, description="exams", completed=number, total=max(self._of, 1), told=told)


def _words(outcome: Outcome) -> str:
    if outcome.status == "failed":
        return f"failed, {outcome.reason} [{outcome.code}]"
    graded = Grade(outcome.grade).text if outcome.grade else "not graded"
    return f"{graded}, {'done before' if outcome.status == 'found' else f'{outcome.seconds:.1f} s'}"


def _long_time_left(seconds: float) -> str:
    return time_left(seconds) if seconds < 5400 else f"{seconds / 3600:.1f} h left"
