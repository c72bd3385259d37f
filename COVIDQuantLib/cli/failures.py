"""Handle unexpected errors: write a log for debugging, and explain known causes such as memory."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import ClassVar, Self

from COVIDQuantLib import __version__
from COVIDQuantLib.errors import COVIDQuantError

_KEPT = 20
_PREFIX, _ENDING = "covidquant-error-", ".log"
_MEMORY = ("out of memory", "cannot allocate memory", "failed to allocate memory", "bad_alloc", "can't allocate memory")


class MemoryWasNotEnoughError(COVIDQuantError):
    """The computer has too little memory for the job."""

    exit_status: ClassVar[int] = 3

    @classmethod
    def of(cls, error: BaseException) -> Self | None:
        """This error if the given one means that memory ran out; else None."""
        said = isinstance(error, (RuntimeError, OSError)) and any(text in str(error).lower() for text in _MEMORY)
        if not isinstance(error, MemoryError) and not said:
            return None
        return cls(
            "the computer has too little memory for this",
            remedy="Close other programs, or give a smaller input.",
            code="memory-ran-out",
        )


def log_folder() -> Path:
    """The user's folder for logs of unexpected errors."""
    if sys.platform == "win32":
        state = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        return Path.home() / "Library" / "Logs" / "COVIDQuant"
    else:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "COVIDQuant"


def write_log(error: BaseException) -> Path | None:
    """Write a log of an error that only the user can read; None if it cannot be written.

    It stays on this machine; it may contain names of files and folders, and says so.
    """
    text = "".join(
        (
            f"COVIDQuant {__version__}, Python {platform.python_version()}, {platform.platform()}\n",
            f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}\n",
            f"Arguments: {sys.argv[1:]!r}\n",
            "This file may contain names of files, folders, series and patients: check it before you share it.\n\n",
            *traceback.format_exception(error),
        )
    )
    for folder in (_log_folder_or_none(), Path(tempfile.gettempdir())):
        if folder is not None:
            try:
                return _write_private(folder, text)
            except OSError:
                continue
    return None


def _log_folder_or_none() -> Path | None:
    try:
        return log_folder()
    except RuntimeError:  # no home
        return None


def _write_private(folder: Path, text: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes it accessible only to its owner.
    handle, name = tempfile.mkstemp(_ENDING, f"{_PREFIX}{time.strftime('%Y%m%d-%H%M%S')}-", folder)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    _forget_old(folder)
    return Path(name)


def _forget_old(folder: Path) -> None:
    for path in sorted(folder.glob(f"{_PREFIX}*{_ENDING}"))[:-_KEPT]:
        try:
            path.unlink()
        except OSError:
            return
