"""``--lobes``, ``--lungs`` and ``--lesions``: the user's own masks, one file or several for each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.pipeline import GivenMasks
from COVIDQuantLib.segmentation.masks.user_masks import read_given_masks

GIVEN = {
    "lobes": "lobes to use instead of finding them: one file, a file for each lobe, or their folder",
    "lesions": "pneumonia to use instead of finding it; several files are joined",
    "lungs": "lungs to use instead of finding them: one file, or one for each lung",
}
_LAST = "last_mask_option"


class _Files(argparse.Action):
    """Stores the files of an option, and which such option came last: its last file may be the CT."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's signature
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        setattr(namespace, self.dest, list(values or ()))
        setattr(namespace, _LAST, self.dest)


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the CT must be declared with ``nargs="?"`` and obtained from :func:`ct_path`."""
    for name, text in GIVEN.items():
        parser.add_argument(f"--{name}", type=Path, nargs="+", action=_Files, metavar="FILE", help=text)


def ct_path(arguments: argparse.Namespace) -> Path:
    """The CT's path, even if it follows the files of an option, which then consumed it.

    Raises:
        UsageError: there is none.
    """
    if arguments.ct is None:
        files: list[Path] = getattr(arguments, getattr(arguments, _LAST, ""), None) or []
        if len(files) < 2:
            raise UsageError("no CT was given", remedy="Use: covidquant quantify CT --out DIR.")
        arguments.ct = files.pop()
    path: Path = arguments.ct
    return path


def given_masks(arguments: argparse.Namespace, ct: CTVolume) -> GivenMasks:
    """Read the masks of the options onto the CT's grid; warnings are added to the CT's.

    Raises:
        UnfitInputError: see :func:`COVIDQuantLib.segmentation.masks.user_masks.read_given_masks`.
    """
    paths = {name: files for name in GIVEN if (files := getattr(arguments, name))}
    masks, sources, warnings = read_given_masks(paths, ct)
    ct.warnings += warnings
    return GivenMasks(**masks, sources=sources)
