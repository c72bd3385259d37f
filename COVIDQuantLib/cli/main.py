"""The command ``covidquant``: run a subcommand and turn errors into one line and an exit status.

The subcommands, which are slow to import, are imported only after Ctrl-C is handled.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType
from typing import NoReturn

from COVIDQuantLib import __version__
from COVIDQuantLib.cli.failures import MemoryWasNotEnoughError, write_log
from COVIDQuantLib.cli.stopping import Stopped, StopRequest, stop_signals
from COVIDQuantLib.errors import COVIDQuantError, UnfitInputError

STATUS_UNEXPECTED = 1
STATUS_INTERRUPTED = 130
_LONGEST_NAME = 200


def commands() -> tuple[ModuleType, ...]:
    """The subcommands in the order of --help; each module has NAME, HELP, add_arguments(parser) and run(arguments)."""
    from COVIDQuantLib.cli.commands import (
        batch,
        compare,
        evaluate,
        models,
        phantom,
        quantify,
        rate,
        reference,
        serve,
        study,
        train,
    )

    return quantify, rate, batch, serve, compare, study, phantom, evaluate, models, train, reference


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where to find help, and exit with status 2."""
        _complain(f"{message}. See {self.prog} --help.")
        raise SystemExit(2)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="covidquant",
        description="Quantify COVID-19 pneumonia on chest CT. Not a medical device.",
        epilog="Exit status: 0 done, 1 unexpected error (the line names its log), 2 wrong usage, 3 unusable input or "
        "output, 4 written but not sound (--strict), 130 stopped by Ctrl-C, 143 by SIGTERM.",
    )
    parser.add_argument("--version", action="version", version=f"covidquant {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands():
        subparser = subparsers.add_parser(command.NAME, help=command.HELP, description=command.HELP)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None means ``sys.argv``.

    Returns:
        The exit status: 0 done, 1 unexpected error, 2 wrong usage, 3 unusable input or output, 4 written but not sound
        (with --strict), 130 stopped by Ctrl-C, 143 by SIGTERM, 129 when the terminal was closed.
    """
    _speak_any_language()
    parsed = argparse.Namespace()
    with stop_signals(whole_program=arguments is None) as request:
        try:
            status = _run(arguments, parsed, request)
        except KeyboardInterrupt as stopped:
            left = getattr(parsed, "left", "nothing was written")
            _complain(f"stopped; {'the result was written before' if getattr(parsed, 'written', False) else left}")
            status = stopped.status if isinstance(stopped, Stopped) else STATUS_INTERRUPTED
        return _close_output(status)


def _run(arguments: Sequence[str] | None, parsed: argparse.Namespace, request: StopRequest) -> int:
    """Run the subcommand; every error except a request to stop becomes a line and a status."""
    try:
        make_parser().parse_args(arguments, parsed)
        parsed.run(parsed)
    except Exception as error:
        # Whatever became of a request to stop on its way.
        if request.raised is not None:
            raise request.raised from error
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    """Say what went wrong in one line; the status."""
    if isinstance(error, COVIDQuantError):
        _complain(error.line())
        return error.exit_status
    if isinstance(error, BrokenPipeError):
        # The reader of the output closed it; the files are written before anything is printed.
        return 0
    return _unforeseen(error)


# Errors caused by the system, and their messages.
_FORBIDDEN = (
    "no permission to read or write it",
    "Ask its owner for access, or copy it to your own folder.",
    "unreadable",
)
_OF_THE_SYSTEM = {
    errno.ENAMETOOLONG: ("the name is too long for this system", "Give a shorter one.", "name-too-long"),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EIO: ("the disk failed to read or write it", "Copy it to another disk, if that is possible.", "unreadable"),
    errno.ELOOP: ("its links form a loop", "Give the file itself.", "unreadable"),
    errno.ENOSPC: ("the disk is full", "Free some space.", "disk-full"),
    errno.EMFILE: (
        "too many files are open",
        "Close other programs, or raise the limit (ulimit -n).",
        "too-many-files",
    ),
}


def _of_the_system(error: Exception) -> COVIDQuantError | None:
    if not isinstance(error, OSError) or error.errno not in _OF_THE_SYSTEM:
        return None
    what, remedy, code = _OF_THE_SYSTEM[error.errno]
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    where = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return UnfitInputError(what, where, remedy, code)


def _unforeseen(error: Exception) -> int:
    known = _of_the_system(error) or MemoryWasNotEnoughError.of(error)
    if known is not None:
        _complain(known.line())
        return known.exit_status
    log = write_log(error)
    described = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    where = f"Details are in {log}, which may contain file names" if log else "No log could be written"
    _complain(f"unexpected error ({described:.300}). {where}. Report it with the log. [unexpected-error]")
    return STATUS_UNEXPECTED


def _complain(text: str) -> None:
    """Print one line on standard error, whatever the text contains."""
    line = " ".join(text.split())
    with suppress(OSError, ValueError):
        sys.stderr.write(f"covidquant: {''.join(c if c.isprintable() else chr(0xFFFD) for c in line)}\n")
        sys.stderr.flush()


def _speak_any_language() -> None:
    """Escape characters that the terminal's encoding lacks instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")


def _close_output(status: int) -> int:
    """Flush the output; a closed reader is not an error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would flush again at exit, and print an error.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _complain(f"standard output cannot be written ({error.strerror or error}). [output-lost]")
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status or 3
    return status
