"""Staged progress with time left, told to whoever shows it (terminal, panel, nobody).

A long function takes ``report: Report`` and calls it with its own fraction done, 0..1. The job hands each
function the report of its stage. A report may raise :class:`~COVIDQuantLib.errors.Cancelled`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

Report = Callable[[float], None]

# Before this much of the job and of time has passed, the time left is a guess not worth showing.
_LEAST_FRACTION = 0.02
_LEAST_SECONDS = 1.0


def silent(fraction: float) -> None:
    """No-op progress callback."""


def show_nothing(state: ProgressState) -> None:
    """The display of someone who does not want to see."""


def part(report: Report, start: float, stop: float) -> Report:
    """The report for a part of a function's work that covers ``start..stop`` of the whole."""
    return lambda fraction: report(start + (stop - start) * min(max(fraction, 0.0), 1.0))


@dataclass(frozen=True)
class Stage:
    """One step of a job: a name for the reader and its share of the time, in any unit."""

    name: str
    weight: float


@dataclass(frozen=True)
class ProgressState:
    """What a progress bar shows: the stage, the whole job's fraction done, seconds left if it can be told."""

    stage: str
    fraction: float
    seconds_left: float | None


class StagedProgress:
    """Turns the fractions of stages into one fraction of the job with an estimate of the time left.

    Args:
        stages: the steps in the order they run; a step that does not run may be left out or skipped.
        show: called at every change; may raise ``Cancelled``.
        clock: seconds from any origin, for tests.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        show: Callable[[ProgressState], None] = show_nothing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._total = sum(stage.weight for stage in stages) or 1.0
        self._show = show
        self._clock = clock
        self._began = clock()
        self._finished = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[Report]:
        """Run a stage: ``with progress.stage("lungs") as report: find_lungs(ct, report)``.

        Raises:
            KeyError: no such stage was announced.
        """
        stage = self._stages[name]

        def report(fraction: float) -> None:
            self._tell(name, self._finished + stage.weight * min(max(fraction, 0.0), 1.0))

        report(0.0)
        yield report
        self._finished += stage.weight
        self._tell(name, self._finished)

    def _tell(self, name: str, done: float) -> None:
        fraction = min(done / self._total, 1.0)
        elapsed = self._clock() - self._began
        settled = fraction > _LEAST_FRACTION and elapsed >= _LEAST_SECONDS
        left = elapsed * (1.0 - fraction) / fraction if settled else None
        self._show(ProgressState(name, fraction, left))
