"""Staged progress with the time left, reported to a display (terminal, panel or none).

A long function takes ``report: Report`` and calls it with its own fraction done, 0..1. The job hands each
function the report of its stage. A report may raise :class:`~COVIDQuantLib.errors.Cancelled`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

Report = Callable[[float], None]

# Before this much of the job and of time has passed, the time left is too uncertain to show.
_LEAST_FRACTION = 0.02
_LEAST_SECONDS = 1.0


def silent(fraction: float) -> None:
    """No-op progress callback."""


def show_nothing(state: ProgressState) -> None:
    """No-op progress display."""


def part(report: Report, start: float, stop: float) -> Report:
    """A progress callback for a part of the work that covers ``start..stop`` of the whole."""
    return lambda fraction: report(start + (stop - start) * min(max(fraction, 0.0), 1.0))


@dataclass(frozen=True)
class Stage:
    """One step of a job: its displayed name and its share of the time, in any unit."""

    name: str
    weight: float


@dataclass(frozen=True)
class ProgressState:
    """The state of a progress bar: the stage, the fraction of the whole job done, and seconds left if known."""

    stage: str
    fraction: float
    seconds_left: float | None


class StagedProgress:
    """Combine the fractions of stages into one fraction of the job, with an estimate of the time left.

    Args:
        stages: the steps in the order they run; a step may be skipped.
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
