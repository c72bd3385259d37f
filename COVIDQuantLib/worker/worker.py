"""Segmentation in a background process that stays warm: submit a CT, poll, cancel at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.pipeline import DEFAULT_PLAN, GivenMasks, Plan
from COVIDQuantLib.progress import ProgressState, show_nothing
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.values import encode
from COVIDQuantLib.worker.warm import Lifetime, WarmCall, WarmProcess

_SECONDS_BETWEEN_POLLS = 0.02
_JOBS = "COVIDQuantLib.worker.jobs.segment"
# Beyond the voxels, for provenance, warnings and checks; a result that needs more comes in a file.
ROOM_FOR_TEXT = 1 << 20


class Job(WarmCall):
    """The segmentation of one CT by a worker. Created by :meth:`Worker.submit` and :meth:`Worker.submit_copied`."""

    def poll(self) -> Any:
        """The progress (``ProgressState``) or the result; never blocks. Call it from a timer.

        Raises:
            Cancelled: the job was cancelled.
            WorkerError: the process ended or failed.
            COVIDQuantError: what the job itself raised, of the same class.
        """
        self._process.advance()
        self.call.check()
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


def shared_ct(ct: CTVolume, given: GivenMasks, plan: Plan) -> SharedArguments:
    """The arguments of ``worker.jobs.segment.segmented``; the CT's warnings stay here, and so does its identity."""
    hu = ct.hu.astype(np.int16, copy=False)
    sent = CTVolume(hu, ct.geometry, ct.padding, ct.source.without_identity())
    # Lobes and lesions, one byte per voxel each, overwrite the CT's two bytes.
    return SharedArguments({}, {"ct": sent, "given": given, "plan": plan}, room=ROOM_FOR_TEXT)


class Worker(WarmProcess):
    """A background process of this interpreter that segments CTs one after another and keeps the networks loaded.

    Args:
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``; by default that of this process.
        idle_seconds: the process exits after this long without a job, and the next job starts another; None: never.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, idle_seconds: float | None = None) -> None:
        super().__init__(_JOBS, environment, Lifetime(idle_seconds))

    def start(self, plan: Plan | None = None) -> None:
        """Start the process ahead of the first job, so that it is warm by then.

        Args:
            plan: of the jobs to come; the networks it needs are loaded immediately.

        Raises:
            WorkerError: it cannot be started.
        """
        super().start()
        if plan is not None:
            # The reply is ignored: no job has the number 0.
            self.send_if_idle({"job": 0, "function": f"{_JOBS}:prepare", "arguments": encode({"plan": plan})})

    def submit(self, ct: CTVolume, given: GivenMasks | None = None, plan: Plan = DEFAULT_PLAN) -> Job:
        """Start to segment a CT; returns immediately.

        Args:
            ct: a checked CT in any orientation; copied, so it may change afterwards.
            given: masks that replace a step.
            plan: how lungs, lobes and lesions are found.

        Raises:
            WorkerError: the process cannot be started, or there is too little shared memory.
        """
        # Before the CT is copied.
        self.start()
        return self._submit(f"{_JOBS}:segmented", shared_ct(ct, given or GivenMasks(), plan), Job)

    def submit_copied(self, shared: SharedArguments) -> Job:
        """Start to check and segment a CT that the caller has copied, with what a scene needs as result.

        Args:
            shared: the arguments of ``worker.jobs.segment.segmented_for_scene``; freed by the job.

        Raises:
            WorkerError: the process cannot be started.
        """
        return self._submit(f"{_JOBS}:segmented_for_scene", shared, Job)
