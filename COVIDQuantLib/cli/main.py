"""The command ``covidquant``: hands its arguments to a subcommand and turns errors into one line and a status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from COVIDQuantLib import __version__
from COVIDQuantLib.cli import evaluate, models, phantom, quantify, reference, train
from COVIDQuantLib.errors import COVIDQuantError

# Added in the order of --help; each module has NAME, HELP, add_arguments(parser) and run(arguments).
COMMANDS = (quantify, phantom, evaluate, models, train, reference)

STATUS_INTERRUPTED = 130


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="covidquant",
        description="Quantify COVID-19 pneumonia on chest CT. Not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"covidquant {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = commands.add_parser(command.NAME, help=command.HELP, description=command.HELP)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0 done, 2 wrong use, 3 unfit input, 4 written but not sound as was asked, 130 interrupted.
    """
    parsed = make_parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except COVIDQuantError as error:
        sys.stderr.write(f"covidquant: {error.line()}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("covidquant: stopped; nothing was written\n")
        return STATUS_INTERRUPTED
    return 0
