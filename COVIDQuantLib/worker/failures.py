"""Errors of the background process, and errors of its jobs as records for the parent."""

from __future__ import annotations

import importlib
import signal
from typing import Any

from COVIDQuantLib.errors import COVIDQuantError

_AGAIN = "Try again."
_REPORT = "Try again; if it happens again, report it with these log lines"
# What the user can do, by the way the process ended.
_MEMORY = "The computer most likely ran out of memory: close other programs and try again."
_REMEDIES = {"SIGKILL": _MEMORY}


class WorkerError(COVIDQuantError):
    """The background process could not be started, or ended before it was done.

    Attributes:
        log: the last lines of its log.
    """

    def __init__(self, what: str, where: str = "", remedy: str = "", log: str = "") -> None:
        super().__init__(what, where, remedy)
        self.log = log


def death_of(code: int | None, log: str) -> WorkerError:
    """The error for a process that ended while it had work.

    Args:
        code: its exit status as ``subprocess`` gives it; None if it is not known.
        log: the last lines of its log.
    """
    how = _manner(code)
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    otherwise = f"{_REPORT}: {' | '.join(lines[-3:])}" if lines else _AGAIN
    remedy = _REMEDIES.get(how, otherwise)
    return WorkerError(f"the background process ended before it was done ({how})", remedy=remedy, log=log)


def _manner(code: int | None) -> str:
    if code is None:
        return "cause unknown"
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    # Windows status codes are large numbers that are documented in hexadecimal.
    return f"status {code:#010x}" if code > 255 else f"status {code}"


def error_record(error: COVIDQuantError) -> dict[str, Any]:
    """An error as JSON for the channel, with the names of its classes."""
    kinds = [[kind.__module__, kind.__qualname__] for kind in type(error).__mro__ if issubclass(kind, COVIDQuantError)]
    record = {"kinds": kinds, "what": error.what, "where": error.where, "remedy": error.remedy, "code": error.code}
    return record | ({"log": error.log} if isinstance(error, WorkerError) else {})


def error_of_record(record: dict[str, Any]) -> COVIDQuantError:
    """The error that :func:`error_record` described, of its class or of the nearest base class that exists here."""
    for module, name in record["kinds"]:
        kind = _class_named(module, name)
        if kind is not None:
            break
    else:
        kind = COVIDQuantError
    # A subclass may take other arguments; what the user reads is in these four.
    error = kind.__new__(kind)
    COVIDQuantError.__init__(error, record["what"], record["where"], record["remedy"], record.get("code", ""))
    if isinstance(error, WorkerError):
        error.log = record.get("log", "")
    return error


def _class_named(module: str, name: str) -> type[COVIDQuantError] | None:
    """A class of this library; None if its module cannot be imported, for example without torch."""
    if module.split(".", maxsplit=1)[0] != "COVIDQuantLib":
        return None
    try:
        kind = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    return kind if isinstance(kind, type) and issubclass(kind, COVIDQuantError) else None
