"""Compare the masks that a study names with their references, so that its tables of agreement need no other command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from COVIDQuantLib.evaluation.evaluate import pool
from COVIDQuantLib.evaluation.result_files import scan_rows
from COVIDQuantLib.evaluation.scan_pairs import evaluate_pair, find_pairs
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.statistics.context import StudyContext

if TYPE_CHECKING:
    from pandas import DataFrame


def masks_of(study: StudyContext) -> dict[str, Mapping[str, str]]:
    """The folders of masks that the analyses of a study name, by data set."""
    return dict(_named(study))


def _named(study: StudyContext) -> Iterator[tuple[str, Mapping[str, str]]]:
    for analysis in study.config["analysis"]:
        yield from analysis.get("masks", {}).items()


def with_compared_masks(study: StudyContext, report: Report = silent) -> StudyContext:
    """The study with a table of scans for every data set of masks, as ``covidquant evaluate`` writes them.

    Raises:
        UnfitInputError: masks cannot be read, have no partner, or are not on one grid.
    """
    tables = {}
    named = masks_of(study)
    for number, (name, folders) in enumerate(named.items()):
        share = part(report, number / len(named), (number + 1) / len(named))
        tables[name] = compared_masks(study.folder, folders, share)
    return replace(study, compared=tables)


def compared_masks(base: Path, folders: Mapping[str, str], report: Report = silent) -> DataFrame:
    """A row per scan and structure.

    Args:
        base: against which the paths are resolved.
        folders: ``predicted``, ``reference`` and optionally ``ct``.
        report: progress; may raise ``Cancelled``.
    """
    import pandas as pd

    ct = base / folders["ct"] if folders.get("ct") else None
    pairs = find_pairs(base / folders["predicted"], base / folders["reference"], ct).pairs
    scans = [
        evaluate_pair(pair, distances=False, report=part(report, number / len(pairs), (number + 1) / len(pairs)))
        for number, pair in enumerate(pairs)
    ]
    head, *rows = scan_rows(pool(scans))
    return pd.DataFrame(rows, columns=[str(name) for name in head])
