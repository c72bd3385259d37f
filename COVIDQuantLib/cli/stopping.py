"""Ctrl-C and the system's ways to say stop, all as one exception that every cleanup passes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# SIGHUP: the terminal was closed. SIGBREAK: Ctrl-Break on Windows.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
# The first asks; while things are put in order the second is not heard; whoever asks a third time means it.
_PATIENCE = 3


class Stopped(KeyboardInterrupt):
    """The user, or the system, wants the program to stop.

    Attributes:
        status: the exit status that says so, 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + (signal.SIGINT if number == getattr(signal, "SIGBREAK", None) else number)


@contextmanager
def stop_signals(*, whole_program: bool) -> Iterator[None]:
    """Raise :class:`Stopped` for every signal to stop that the program was not told to ignore.

    Args:
        whole_program: the program ends with this block, so that later signals are of no use.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = 0

    def handle(number: int, frame: object) -> None:  # noqa: ARG001 - given by Python
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Stopped(number)
        if asked >= _PATIENCE:
            os._exit(128 + number)

    before = {}
    for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
        handler = signal.getsignal(number)
        # Ignored: as nohup does for the end of the terminal. None: somebody else's, not set from Python.
        if handler not in {signal.SIG_IGN, None}:
            before[number] = handler
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            # All that is left is Python's own end, where a Ctrl-C would show a traceback, and where being ended would
            # hide that the work is done.
            signal.signal(number, signal.SIG_IGN if whole_program else handler)
