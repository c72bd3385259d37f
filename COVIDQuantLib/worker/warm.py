"""A background process that stays warm: calls one function after another and keeps what was loaded for the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.worker.call import Call
from COVIDQuantLib.worker.channel import Message
from COVIDQuantLib.worker.failures import WorkerError, death_of
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.process import ChildProcess, child_command, clean_environment


@dataclass(frozen=True)
class Lifetime:
    """When a process ends by itself; the next call starts another. None: not for this reason.

    Attributes:
        idle_seconds: after this long without a call.
        calls: after so many calls.
        held_bytes: after a call, once it holds more memory than this; only where the system tells, as Linux does.
    """

    idle_seconds: float | None = None
    calls: int | None = None
    held_bytes: int | None = None


FOR_EVER = Lifetime()
AnyCall = TypeVar("AnyCall", bound="WarmCall")


class WarmCall:
    """A call of a function by a warm process. Created by :meth:`WarmProcess.submit_call`."""

    def __init__(self, process: WarmProcess, call: Call) -> None:
        self._process = process
        self.call = call
        self.retried = False

    @property
    def is_over(self) -> bool:
        """Whether it is done, failed or cancelled; updated by :meth:`poll`."""
        return self.call.is_over

    @property
    def is_done(self) -> bool:
        """Whether :meth:`poll` has received the result."""
        return self.call.is_done

    @property
    def pid(self) -> int | None:
        """ID of the process that it is or will be called by; None if it is over, or no process runs."""
        return None if self.is_over else self._process.pid

    def poll(self) -> Any:
        """The fraction done; never blocks. Call it from a timer.

        Raises:
            Cancelled: the call was cancelled.
            WorkerError: the process ended or failed.
            COVIDQuantError: what the function itself raised, of the same class.
        """
        self._process.advance()
        return self.call.fraction()

    def cancel(self) -> None:
        """Cancel the call, killing the process if it is working on it; a call that is over does not change."""
        if not self.is_over:
            self._process.drop(self)


class WarmProcess:
    """A background process of this interpreter that calls functions one after another and stays warm in between.

    What is submitted while another call runs is queued. Two of these are independent. Nothing here blocks or uses
    threads, which starve in Slicer's window; but nothing advances unless some call is polled, or :meth:`advance` is
    called. Not thread-safe.

    Args:
        modules: imported before the first call, so that a process started early is warm.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``; by default that of this process.
        lifetime: when the process ends by itself.
    """

    def __init__(
        self, modules: str, environment: Mapping[str, str] | None = None, lifetime: Lifetime = FOR_EVER
    ) -> None:
        self._imports = f"import {modules}"
        self._main = f"from COVIDQuantLib.worker.child import main; main(*{astuple(lifetime)!r})"
        self._environment = clean_environment(environment)
        self._process: ChildProcess | None = None
        self._current: WarmCall | None = None
        self._queue: deque[WarmCall] = deque()
        self._count = 0
        self._closed = False

    def start(self) -> None:
        """Start the process ahead of the first call, so that it is warm by then.

        Raises:
            WorkerError: it cannot be started.
        """
        self.advance()
        self._running()

    def submit_call(self, function: str, shared: SharedArguments) -> WarmCall:
        """Start a call; returns immediately.

        Args:
            function: ``module:name``; called with the arguments and ``report``, all by name.
            shared: its arguments, and room for what it returns; freed once the call is over.

        Raises:
            WorkerError: the process cannot be started.
        """
        return self._submit(function, shared, WarmCall)

    def _submit(self, function: str, shared: SharedArguments, kind: Callable[[WarmProcess, Call], AnyCall]) -> AnyCall:
        try:
            self.start()
        except BaseException:
            shared.free()
            raise
        self._count += 1
        submitted = kind(self, Call(function, shared, number=self._count, keep=True))
        self._queue.append(submitted)
        self.advance()
        return submitted

    def send_if_idle(self, order: Message) -> None:
        """Send an order ahead of the first call whose answer nobody waits for."""
        if self._current is None:
            self._running().send(order)

    def rest(self) -> None:
        """End the process if it has nothing to do; the next call starts another."""
        if self._current is None and not self._queue:
            self._end()

    def close(self) -> None:
        """End the process and cancel all calls; it cannot be used again."""
        self._closed = True
        for turn in [*self._queue, *([self._current] if self._current else [])]:
            turn.call.fail(Cancelled())
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
        """Handle what the process has sent and give it the next call; never blocks."""
        if self._process is not None:
            for message in self._process.receive():
                self._handle(message)
            if self._process.ended:
                self._replace_dead()
        while self._current is None and self._queue:
            turn = self._queue.popleft()
            try:
                self._running().send(turn.call.order)
            except WorkerError as error:
                turn.call.fail(error)
            else:
                self._current = turn

    def drop(self, turn: WarmCall) -> None:
        """Cancel a call that is not over."""
        turn.call.fail(Cancelled())
        if turn in self._queue:
            self._queue.remove(turn)
        else:
            self._end()
            self.advance()

    def _handle(self, message: Message) -> None:
        turn = self._current
        if turn is None:
            return
        turn.call.handle(message)
        if turn.is_over:
            self._current = None

    def _replace_dead(self) -> None:
        """The process has ended by itself: fail its call, and be ready to start another."""
        turn, was_ready = self._current, self._process is not None and self._process.ready
        code, log = self._end()
        if turn is None:
            return
        if was_ready and not turn.call.taken and not turn.retried:
            # It died between two calls; try this one again in a new process.
            turn.retried = True
            self._queue.appendleft(turn)
        else:
            turn.call.fail(death_of(code, log))

    def _end(self) -> tuple[int | None, str]:
        process, self._process, self._current = self._process, None, None
        return process.end() if process is not None else (None, "")

    def _running(self) -> ChildProcess:
        """The running process, started if necessary."""
        if self._closed:
            raise RuntimeError("the process was closed")
        if self._process is None:
            self._process = ChildProcess(child_command(f"{self._imports}; {self._main}"), self._environment)
        return self._process
