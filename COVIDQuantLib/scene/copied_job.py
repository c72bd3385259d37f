"""A function call in a background process with a CT that is copied for it in pieces, so that the window stays awake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.scene.piecewise_copy import PIECE_SECONDS, VoxelCopy
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.function_job import BackgroundJob

# Of the time for a job, for copying the CT.
_COPY_SHARE = 0.05


class CopiedJob:
    """Polled from a timer; each poll copies one piece of a few hundredths of a second, or takes in what has come.

    Args:
        function: ``module:name``; called with the copied arrays, the arguments and ``report``, all by name.
        copy: what is copied; one whose box cannot change.
        arguments: the other arguments.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        WorkerError: there is too little memory to share.
    """

    def __init__(
        self,
        function: str,
        copy: VoxelCopy,
        arguments: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._function, self._copy, self._environment = function, copy, environment
        self._shared: SharedArguments | None = SharedArguments(copy.blank(), arguments, at_once=False)
        self._job: BackgroundJob | None = None

    @property
    def pid(self) -> int | None:
        """The process ID; None before the CT is copied, and once the process has ended."""
        return None if self._job is None else self._job.pid

    @property
    def is_done(self) -> bool:
        """Whether :meth:`poll` has received the result."""
        return self._job is not None and self._job.is_done

    @property
    def result(self) -> Any:
        """What the function returned; None before that."""
        return None if self._job is None else self._job.result

    def poll(self) -> float:
        """The fraction done; holds the window for one piece at most.

        Raises:
            Cancelled: the job was cancelled.
            COVIDQuantError: what the function raised, of the same class, or the CT cannot be read.
            WorkerError: the process failed, or cannot be started.
        """
        if self._job is not None:
            return _COPY_SHARE + (1.0 - _COPY_SHARE) * self._job.poll()
        if self._shared is None:
            raise Cancelled
        try:
            if self._shared.prepare(PIECE_SECONDS) and self._copy.copy(self._shared):
                shared, self._shared = self._shared, None
                self._job = BackgroundJob(self._function, shared, self._environment)
        except BaseException:
            self.cancel()
            raise
        return _COPY_SHARE * self._copy.fraction

    def cancel(self) -> None:
        """End the job and its process; does nothing if it is over."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.free()
        if self._job is not None:
            self._job.cancel()
