"""Turn Ctrl-C and the system's stop signals into one exception that passes through all cleanup code."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# SIGHUP: the terminal was closed. SIGBREAK: Ctrl-Break on Windows.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
# The first signal stops; during cleanup the second is ignored; a third stops at once.
_PATIENCE = 3


class Stopped(KeyboardInterrupt):
    """The user or the system has asked the program to stop.

    Attributes:
        status: the exit status, 128 plus the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + (signal.SIGINT if number == getattr(signal, "SIGBREAK", None) else number)


@dataclass
class StopRequest:
    """What was asked of the program.

    Attributes:
        raised: the exception of the first stop signal; None before one.
    """

    raised: Stopped | None = None


@contextmanager
def stop_signals(*, whole_program: bool) -> Iterator[StopRequest]:
    """Raise :class:`Stopped` for every stop signal that the program does not ignore.

    A compiled module that is being imported may turn it into an error of its own; the request that is yielded tells.

    Args:
        whole_program: the program ends with this block, so later signals are ignored.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    asked = 0

    def handle(number: int, frame: object) -> None:  # noqa: ARG001 - given by Python
        nonlocal asked
        asked += 1
        if asked == 1:
            request.raised = Stopped(number)
            raise request.raised
        if asked >= _PATIENCE:
            os._exit(128 + number)

    before = {}
    for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
        handler = signal.getsignal(number)
        # Ignored: as by nohup for a closed terminal. None: a handler that was not set from Python.
        if handler not in {signal.SIG_IGN, None}:
            before[number] = handler
            signal.signal(number, handle)
    try:
        yield request
    finally:
        for number, handler in before.items():
            # Only Python's own shutdown is left, where Ctrl-C would show a traceback, and a kill would hide that the
            # work is done.
            signal.signal(number, signal.SIG_IGN if whole_program else handler)
