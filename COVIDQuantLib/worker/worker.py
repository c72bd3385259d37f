"""Segmentation in a background process that stays warm: submit a CT, poll, cancel at any time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.pipeline import DEFAULT_PLAN, GivenMasks, Plan
from COVIDQuantLib.progress import ProgressState, show_nothing
from COVIDQuantLib.worker.call import Call
from COVIDQuantLib.worker.channel import Message
from COVIDQuantLib.worker.failures import WorkerError, death_of
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.process import ChildProcess, child_command, clean_environment
from COVIDQuantLib.worker.values import encode

_SECONDS_BETWEEN_POLLS = 0.02
_JOBS = "COVIDQuantLib.worker.jobs.segment"
# Beyond the voxels, for provenance, warnings and checks; a result that needs more comes in a file.
ROOM_FOR_TEXT = 1 << 20


class Job:
    """The segmentation of one CT by a worker. Created by :meth:`Worker.submit` and :meth:`Worker.submit_copied`."""

    def __init__(self, worker: Worker, call: Call) -> None:
        self._worker = worker
        self.call = call
        self.retried = False

    @property
    def is_over(self) -> bool:
        """Whether it is done, failed or cancelled; updated by :meth:`poll`."""
        return self.call.is_over

    def poll(self) -> Any:
        """The progress (``ProgressState``) or the result; never blocks. Call it from a timer.

        Raises:
            Cancelled: the job was cancelled.
            WorkerError: the process ended or failed.
            COVIDQuantError: what the job itself raised, of the same class.
        """
        self._worker.advance()
        if self.call.error is not None:
            raise self.call.error
        state = self.call.result if self.call.is_over else self.call.progress
        return state or ProgressState("waiting", 0.0, None)

    def wait(self, show: Callable[[ProgressState], None] = show_nothing) -> Any:
        """Wait for the result; for scripts. An interrupt, or an error in ``show``, cancels the job.

        Args:
            show: called with the progress; may raise ``Cancelled``.

        Raises:
            Cancelled: as raised by ``show``, or by :meth:`cancel`.
            COVIDQuantError: see :meth:`poll`.
        """
        try:
            while isinstance(state := self.poll(), ProgressState):
                show(state)
                time.sleep(_SECONDS_BETWEEN_POLLS)
        except BaseException:
            self.cancel()
            raise
        return state

    def cancel(self) -> None:
        """Cancel the job, killing the process if it is working on it; a job that is over does not change."""
        if not self.is_over:
            self._worker.drop(self)


def shared_ct(ct: CTVolume, given: GivenMasks, plan: Plan) -> SharedArguments:
    """The arguments of ``worker.jobs.segment.segmented``; the CT's warnings stay here, and so does its identity."""
    hu = ct.hu.astype(np.int16, copy=False)
    sent = CTVolume(hu, ct.geometry, ct.padding, ct.source.without_identity())
    # Lobes and lesions, one byte per voxel each, overwrite the CT's two bytes.
    return SharedArguments({}, {"ct": sent, "given": given, "plan": plan}, room=ROOM_FOR_TEXT)


class Worker:
    """A background process of this interpreter that segments CTs one after another and stays warm in between.

    Jobs submitted while another runs are queued. Two workers are independent. Nothing here blocks or uses threads,
    which starve in Slicer's window; but nothing advances unless some job of the worker is polled. Not thread-safe.

    Args:
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``; by default that of this process.
        idle_seconds: the process exits after this long without a job, and the next job starts another; None: never.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, idle_seconds: float | None = None) -> None:
        self._idle_seconds = idle_seconds
        self._environment = clean_environment(environment)
        self._process: ChildProcess | None = None
        self._current: Job | None = None
        self._queue: deque[Job] = deque()
        self._count = 0
        self._closed = False

    def start(self, plan: Plan | None = None) -> None:
        """Start the process ahead of the first job, so that it is warm by then.

        Args:
            plan: of the jobs to come; the networks it needs are loaded immediately.

        Raises:
            WorkerError: it cannot be started.
        """
        self.advance()
        process = self._running()
        if plan is not None and self._current is None:
            # The reply is ignored: no job has the number 0.
            process.send({"job": 0, "function": f"{_JOBS}:prepare", "arguments": encode({"plan": plan})})

    def submit(self, ct: CTVolume, given: GivenMasks | None = None, plan: Plan = DEFAULT_PLAN) -> Job:
        """Start to segment a CT; returns immediately.

        Args:
            ct: a checked CT in any orientation; copied, so it may change afterwards.
            given: masks that replace a step.
            plan: how lungs, lobes and lesions are found.

        Raises:
            WorkerError: the process cannot be started, or there is too little shared memory.
        """
        self.start()
        return self._add(f"{_JOBS}:segmented", shared_ct(ct, given or GivenMasks(), plan))

    def submit_copied(self, shared: SharedArguments) -> Job:
        """Start to check and segment a CT that the caller has copied, with what a scene needs as result.

        Args:
            shared: the arguments of ``worker.jobs.segment.segmented_for_scene``; freed by the job.

        Raises:
            WorkerError: the process cannot be started.
        """
        try:
            self.start()
        except BaseException:
            shared.free()
            raise
        return self._add(f"{_JOBS}:segmented_for_scene", shared)

    def _add(self, function: str, shared: SharedArguments) -> Job:
        self._count += 1
        job = Job(self, Call(function, shared, number=self._count, keep=True))
        self._queue.append(job)
        self.advance()
        return job

    def rest(self) -> None:
        """End the process if it has nothing to do; the next job starts another."""
        if self._current is None and not self._queue:
            self._end()

    def close(self) -> None:
        """End the process and cancel all jobs; the worker cannot be used again."""
        self._closed = True
        for job in [*self._queue, *([self._current] if self._current else [])]:
            job.call.fail(Cancelled())
        self._queue.clear()
        self._end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process ID; None while there is no process."""
        return self._process.pid if self._process else None

    def advance(self) -> None:
        """Handle what the process has sent and give it the next job; never blocks."""
        if self._process is not None:
            for message in self._process.receive():
                self._handle(message)
            if self._process.ended:
                self._replace_dead()
        while self._current is None and self._queue:
            job = self._queue.popleft()
            try:
                self._running().send(job.call.order)
            except WorkerError as error:
                job.call.fail(error)
            else:
                self._current = job

    def drop(self, job: Job) -> None:
        """Cancel a job that is not over."""
        job.call.fail(Cancelled())
        if job in self._queue:
            self._queue.remove(job)
        else:
            self._end()
            self.advance()

    def _handle(self, message: Message) -> None:
        job = self._current
        if job is None:
            return
        job.call.handle(message)
        if job.is_over:
            self._current = None

    def _replace_dead(self) -> None:
        """The process has ended by itself: fail its job, and be ready to start another."""
        job, was_ready = self._current, self._process is not None and self._process.ready
        code, log = self._end()
        if job is None:
            return
        if was_ready and not job.call.taken and not job.retried:
            # It died between two jobs; try this one again in a new process.
            job.retried = True
            self._queue.appendleft(job)
        else:
            job.call.fail(death_of(code, log))

    def _end(self) -> tuple[int | None, str]:
        process, self._process, self._current = self._process, None, None
        return process.end() if process is not None else (None, "")

    def _running(self) -> ChildProcess:
        """The running process, started if necessary."""
        if self._closed:
            raise RuntimeError("the worker was closed")
        if self._process is None:
            self._process = ChildProcess(self._command(), self._environment)
        return self._process

    def _command(self) -> list[str]:
        # Import everything before the first job, so that a process started early is warm.
        return child_command(
            f"import {_JOBS}; from COVIDQuantLib.worker.child import main; main({self._idle_seconds!r})"
        )
