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
    "lobes": "lobes to use instead of finding them: one file, or a file for each lobe, or their folder",
    "lesions": "pneumonia to use instead of finding it; several files are joined",
    "lungs": "lungs to use instead of finding them: one file, or one for each lung",
}
_LAST = "last_mask_option"


class _Files(argparse.Action):
    """Keeps the files of an option, and which such option came last: its last file may be the CT."""

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
    """Declare the options; the CT must be declared with ``nargs="?"``, and asked of :func:`ct_path`."""
    for name, text in GIVEN.items():
        parser.add_argument(f"--{name}", type=Path, nargs="+", action=_Files, metavar="FILE", help=text)


def ct_path(arguments: argparse.Namespace) -> Path:
    """The CT, also where it stands after the files of an option, which then took it for one of its own.

    Raises:
        UsageError: there is none.
    """
    if arguments.ct is None:
        files: list[Path] = getattr(arguments, getattr(arguments, _LAST, ""), None) or []
        if len(files) < 2:
            raise UsageError("no CT was given", remedy="Say covidquant quantify CT --out DIR.")
        arguments.ct = files.pop()
    path: Path = arguments.ct
    return path


def given_masks(arguments: argparse.Namespace, ct: CTVolume) -> GivenMasks:
    """The masks of the options on the CT's grid; what was noticed is added to the CT's warnings.

    Raises:
        UnfitInputError: see :func:`COVIDQuantLib.segmentation.masks.user_masks.read_given_masks`.
    """
    paths = {name: files for name in GIVEN if (files := getattr(arguments, name))}
    masks, sources, warnings = read_given_masks(paths, ct)
    ct.warnings += warnings
    return GivenMasks(**masks, sources=sources)
