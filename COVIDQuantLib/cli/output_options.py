"""The options about output that most commands have: where it goes, and whether anything is shown."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_out(parser: argparse.ArgumentParser, content: str = "results") -> None:
    """Add ``--out``, the folder that the files go to."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"folder for the {content}")


def add_quiet(parser: argparse.ArgumentParser, result: str = "table") -> None:
    """Add ``--quiet``, for scripts: neither the progress nor what is shown in the end."""
    parser.add_argument("--quiet", action="store_true", help=f"show no progress and no {result}")
