"""The log of one exam: what was done when, with every warning and error, appended at each try."""

from __future__ import annotations

import os
import platform
import time
import traceback
from pathlib import Path

from COVIDQuantLib.export.anonymous import redacted

LOG_FILE = "log.txt"
_KEPT_BYTES = 256 << 10


class ExamLog:
    """Appends lines to an exam's log; a log that cannot be written stops nothing.

    Args:
        folder: the exam's; must exist.
        names: texts that name the patient, hashed in every line; None writes all lines as they are.
    """

    def __init__(self, folder: Path, names: tuple[str, ...] | None) -> None:
        self._path = folder / LOG_FILE
        self._names = None if names is None else sorted((name for name in names if name), key=len, reverse=True)
        self._begun = time.monotonic()

    def begin(self, attempt: int) -> None:
        """Write the heading of a try."""
        self._forget_old()
        where = f"{platform.node()}, process {os.getpid()}"
        self.line(f"---- {time.strftime('%Y-%m-%d %H:%M:%S %z')}, try {attempt}, {where}")

    def line(self, text: str) -> None:
        """Append a line with the seconds since the try began."""
        line = "".join(c if c.isprintable() else " " for c in " ".join(self.worded(text).split()))
        self._append(f"{time.monotonic() - self._begun:8.1f} s  {line}\n")

    def worded(self, text: str) -> str:
        """A text as the log may show it."""
        return text if self._names is None else redacted(text, self._names)

    def error(self, error: BaseException) -> None:
        """Append an error with its trace."""
        for text in traceback.format_exception(error):
            for line in text.splitlines():
                self.line(line)

    def _append(self, text: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(text)
        except OSError:
            return

    def _forget_old(self) -> None:
        """Of a long log keep the newer half."""
        try:
            if self._path.stat().st_size > _KEPT_BYTES:
                data = self._path.read_bytes()[-_KEPT_BYTES // 2 :]
                self._path.write_bytes(data[data.find(b"\n") + 1 :])
        except OSError:
            return
