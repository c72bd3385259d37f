"""One function call in a background process, polled by a timer so that the window stays responsive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.worker.call import Call
from COVIDQuantLib.worker.failures import death_of
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.process import CHILD_MAIN, ChildProcess, child_command, clean_environment


class BackgroundJob:
    """A function call in another process of the same interpreter.

    Nothing blocks here, and nothing advances unless :meth:`poll` is called. The process ends when the job is done,
    cancelled or garbage-collected, and by itself when this process dies.

    Args:
        function: ``module:name``; called with the arguments and ``report``, all by name. Its module may import nothing
            of Slicer. What it returns must be a value that can be sent (``worker/values.py``).
        shared: its arguments; freed by the job.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.
        folders: staging folders of this process, which the child removes if this process dies before the job is done.

    Raises:
        WorkerError: the process cannot be started.
    """

    def __init__(
        self,
        function: str,
        shared: SharedArguments,
        environment: Mapping[str, str] | None = None,
        folders: Iterable[Path] = (),
    ) -> None:
        # Not kept for the result, so that the arguments are in memory only once during the job.
        self._call = Call(function, shared, folders=folders, keep=False)
        try:
            command = child_command(CHILD_MAIN)
            self._process: ChildProcess | None = ChildProcess(command, clean_environment(environment))
        except BaseException:
            shared.free()
            raise
        self._process.send(self._call.order)

    @property
    def pid(self) -> int | None:
        """The process ID; None once the process has ended."""
        return self._process.pid if self._process is not None else None

    @property
    def is_done(self) -> bool:
        """Whether :meth:`poll` has received the result."""
        return self._call.is_done

    @property
    def result(self) -> Any:
        """What the function returned; None before that."""
        return self._call.result

    def poll(self) -> float:
        """The fraction done; never blocks.

        Raises:
            Cancelled: the job was cancelled.
            COVIDQuantError: what the function raised, of the same class.
            WorkerError: the process failed.
        """
        if self._process is not None:
            for message in self._process.receive():
                self._call.handle(message)
            if self._call.is_over:
                self._end()
            elif self._process.ended:
                self._call.fail(death_of(*self._end()))
        return self._call.fraction()

    def cancel(self) -> None:
        """End the job and its process; does nothing if it is over."""
        self._call.fail(Cancelled())
        self._end()

    def _end(self) -> tuple[int | None, str]:
        process, self._process = self._process, None
        return process.end() if process is not None else (None, "")
