"""Keep the output of C libraries off the user's terminal.

MetaIO, HDF5, GDCM and the JPEG codecs write to file descriptor 2 below Python, where no filter of ``sys.stderr`` sees
it. While such a library reads, the descriptor is redirected; what it printed is kept to explain an error.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TextIO

_STDERR = 2
_MAX_TEXT_BYTES = 4096


class HeldText:
    """What was printed since a hold began; kept after its end."""

    def __init__(self) -> None:
        self._start = 0
        self._file: BinaryIO | None = None
        self._kept = b""

    @property
    def text(self) -> str:
        """The lines without blank ones, joined by a semicolon; at most the first 4 KiB; empty if none."""
        with _HOLD.lock:
            raw = self._kept if self._file is None else self._read()
        lines = (line.strip() for line in raw.decode("utf-8", errors="replace").splitlines())
        return "; ".join(line for line in lines if line)

    def _begin(self, file: BinaryIO | None) -> None:
        self._file = file
        self._start = 0 if file is None else os.lseek(file.fileno(), 0, os.SEEK_END)

    def _end(self) -> None:
        if self._file is not None:
            self._kept = self._read()
            self._file = None

    def _read(self) -> bytes:
        if self._file is None:
            return b""
        # Descriptor 2 is a copy of this one and shares its position, which must return to the end for the next write.
        number = self._file.fileno()
        os.lseek(number, self._start, os.SEEK_SET)
        try:
            return os.read(number, _MAX_TEXT_BYTES)
        finally:
            os.lseek(number, 0, os.SEEK_END)


class _Hold:
    """The process's single redirection: the first caller takes the descriptor, the last to leave restores it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._depth = 0
        self._true_stderr = -1
        self._file: BinaryIO | None = None
        self._python: tuple[TextIO, TextIO] | None = None

    def enter(self, held: HeldText) -> None:
        with self.lock:
            if not self._depth:
                self._take()
            self._depth += 1
            held._begin(self._file)  # noqa: SLF001

    def leave(self, held: HeldText) -> None:
        with self.lock:
            held._end()  # noqa: SLF001
            self._depth -= 1
            if not self._depth:
                self._give_back()

    def _take(self) -> None:
        _flush()
        try:
            self._true_stderr = os.dup(_STDERR)
        except OSError:
            # A program without a terminal (Slicer on Windows) may have no descriptor 2: nothing to hold.
            return
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in _give_back
            os.dup2(self._file.fileno(), _STDERR)
        except OSError:
            os.close(self._true_stderr)
            self._close_file()
            return
        self._python = self._keep_python_on_the_terminal()

    def _keep_python_on_the_terminal(self) -> tuple[TextIO, TextIO] | None:
        """Python's own messages (a progress bar of another thread) still reach the terminal."""
        shown = sys.stderr
        try:
            if shown is None or shown.fileno() != _STDERR:
                return None
        except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
            return None
        stream = open(  # noqa: SIM115 - a descriptor, closed in _give_back
            self._true_stderr,
            "w",
            buffering=1,
            encoding=getattr(shown, "encoding", None) or "utf-8",
            errors="backslashreplace",
            closefd=False,
        )
        sys.stderr = stream
        return shown, stream

    def _give_back(self) -> None:
        if self._file is None:
            return
        _flush()
        if self._python is not None:
            shown, stream = self._python
            if sys.stderr is stream:
                sys.stderr = shown
            with suppress(OSError, ValueError):
                stream.flush()
            self._python = None
        os.dup2(self._true_stderr, _STDERR)
        os.close(self._true_stderr)
        self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _flush() -> None:
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()


_HOLD = _Hold()


@contextmanager
def held_stderr() -> Iterator[HeldText]:
    """Hold file descriptor 2 while a C library reads.

    May be nested and used by several threads at once: the descriptor is given back when the last of them leaves.
    Where there is no descriptor 2, or no room for a temporary file, nothing is held.

    Returns:
        What was printed meanwhile, by its ``text``; with several threads also what the others' libraries printed.
    """
    held = HeldText()
    _HOLD.enter(held)
    try:
        yield held
    finally:
        _HOLD.leave(held)
