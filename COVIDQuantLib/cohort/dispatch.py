"""Hand exams to workers and take in what became of them, whatever happens to workers and scheduler meanwhile."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from COVIDQuantLib.cohort.exams.job import ExamJob, Outcome, run_exam
from COVIDQuantLib.errors import UnfitInputError

# How often the state of the cluster is looked at while no exam ends.
_POLL_SECONDS = 0.5
_RECOUNT_SECONDS = 5.0
# So long a scheduler may be out of reach before the batch stops.
_PATIENCE_SECONDS = 60.0
# Exams handed over beyond those that are being made, so that no worker waits for the next, and a cluster that grows
# with its work sees some. The scheduler never holds more than these, however many exams there are.
_AHEAD = 2
_AGAIN = "Run the same command again: what is done is kept."


@dataclass
class Dispatch:
    """Exams on their way through a cluster.

    Args:
        client: of Dask.
        jobs: exams to make, in order.
        done: called with each exam and what became of it.
        tick: called now and then with the number of workers.
    """

    client: Any
    jobs: Iterable[ExamJob]
    done: Callable[[ExamJob, Outcome], None]
    tick: Callable[[int], None] = lambda _: None
    patience: float = _PATIENCE_SECONDS
    _out: dict[Any, ExamJob] = field(default_factory=dict)
    _ended: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    _workers: int = 0
    _counted: float = float("-inf")
    _lost_since: float | None = None

    def run(self) -> None:
        """Make all exams.

        Raises:
            UnfitInputError: the scheduler has gone, or a worker cannot make any exam (full disk, other version).
        """
        waiting: Iterator[ExamJob] = iter(self.jobs)
        again: list[ExamJob] = []
        exhausted = False
        try:
            while True:
                self._look()
                while len(self._out) < self._room() and not (exhausted and not again):
                    job = again.pop() if again else next(waiting, None)
                    if job is None:
                        exhausted = True
                        break
                    self._submit(job)
                if exhausted and not again and not self._out:
                    return
                again += self._take()
        finally:
            self._drop()

    @property
    def unfinished(self) -> list[ExamJob]:
        """Exams that were handed over and have not come back."""
        return list(self._out.values())

    def _room(self) -> int:
        return max(1, self._workers) + _AHEAD if self._lost_since is None else 0

    def _submit(self, job: ExamJob) -> None:
        future = self.client.submit(run_exam, job, pure=False, retries=0)
        self._out[future] = job
        future.add_done_callback(self._ended.put)

    def _take(self) -> list[ExamJob]:
        """Wait a moment for an exam to end; those that must be handed over again."""
        try:
            ended = [self._ended.get(timeout=_POLL_SECONDS)]
        except queue.Empty:
            # A future that was lost with its scheduler calls nobody.
            ended = [future for future in self._out if future.status in {"cancelled", "lost"}]
        return [job for future in ended if (job := self._out.pop(future, None)) and not self._settled(future, job)]

    def _settled(self, future: Any, job: ExamJob) -> bool:
        """Take in an exam that ended; false if it must be made again."""
        if future.status == "finished":
            outcome: Outcome = future.result()
            if outcome.status == "fatal":
                raise UnfitInputError(outcome.reason, outcome.where, outcome.remedy or _AGAIN, outcome.code)
            self.done(job, outcome)
            return True
        if future.status != "error":
            return False
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            # Its own tries tell whether it is to blame.
            return False
        raise UnfitInputError(
            f"a worker cannot run COVIDQuant ({type(error).__name__}: {error!s:.120})",
            remedy="Install the same version of COVIDQuant[cohort] on every worker.",
            code="worker-differs",
        )

    def _look(self) -> None:
        """Look at the cluster.

        Raises:
            UnfitInputError: the scheduler has been out of reach for too long.
        """
        now = time.monotonic()
        if self.client.status == "running":
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = now
        if self._lost_since is not None:
            if self.client.status in {"closed", "closing"} or now - self._lost_since > self.patience:
                raise UnfitInputError("the Dask scheduler has gone", remedy=_AGAIN, code="scheduler-lost")
            time.sleep(_POLL_SECONDS)
        elif now - self._counted > _RECOUNT_SECONDS:
            self._counted = now
            self._workers = self._count()
        self.tick(self._workers)

    def _count(self) -> int:
        try:
            return sum(self.client.nthreads().values())
        except (OSError, TimeoutError, RuntimeError):
            return self._workers

    def _drop(self) -> None:
        """Let the scheduler forget what has not come back."""
        if self._out and self.client.status == "running":
            try:
                self.client.cancel(list(self._out), force=True)
            except (OSError, TimeoutError, RuntimeError):
                return
