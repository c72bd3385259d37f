"""Errors that a user can cause; each says what is wrong, where, and what to do."""

from __future__ import annotations

from typing import ClassVar


class COVIDQuantError(Exception):
    """Base of every error that the user can fix; the command line prints it as one line.

    Args:
        what: what is wrong, a clause without a full stop.
        where: the file, series, slice or segment concerned; empty if there is none.
        remedy: what the user can do about it.
        code: the error's code in ``docs/input.md``, shown at the end of the line; empty if not listed.
    """

    exit_status: ClassVar[int] = 3

    def __init__(self, what: str, where: str = "", remedy: str = "", code: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        self.code = code
        super().__init__(self.line())

    def line(self) -> str:
        """The error as one line: ``where: what. Remedy. [code]``."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.remedy:
            text = f"{text.rstrip('.')}. {self.remedy}"
        if self.code:
            text = f"{text} [{self.code}]"
        return " ".join(text.split())


class UnfitInputError(COVIDQuantError):
    """The input cannot be read, is damaged, or is not a chest CT that can be quantified."""


class OutputError(COVIDQuantError):
    """The result cannot be written: folder read-only, disk full, name taken."""


class UsageError(COVIDQuantError):
    """The request contradicts itself; the command line ends with status 2."""

    exit_status: ClassVar[int] = 2


class NotSoundError(COVIDQuantError):
    """The result was written, but is graded below sound although sound was required."""

    exit_status: ClassVar[int] = 4


class Cancelled(Exception):  # noqa: N818 - a request, not an error
    """The user cancelled; raised from a progress callback and never caught on the way up."""
