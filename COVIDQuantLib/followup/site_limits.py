"""A site's own limits of agreement, from the results of ``covidquant evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from COVIDQuantLib.anatomy import REGIONS, WHOLE_LUNG
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.evaluation.agreement import LIMIT_SD
from COVIDQuantLib.evaluation.measures import QUANTITIES, Quantity
from COVIDQuantLib.evaluation.overlap import LESIONS
from COVIDQuantLib.evaluation.result_files import FORMAT, SUMMARY_JSON
from COVIDQuantLib.followup.limits import Limits, LimitsTable, PlainLimits, SquareRootLimits
from COVIDQuantLib.system.atomic_files import settle_results
from COVIDQuantLib.system.json_file import read_json

_FORMATS = "covidquant-evaluation/"
_GIVE = "Give a folder written by evaluate, of several scans."
# Limits from fewer scans are rough: their standard error is √(3/n) SD (Bland and Altman 1986), or ±60 % with ten scans.
_ENOUGH_SCANS = 10
# The measure for each quantity of evaluate; on the row of the lesions volume is the lesions', elsewhere the region's.
_MEASURES = {"extent": "extent_percent", "weight": "weight_g", "mean_lesion": "mean_lesion_hu"}
_VOLUME_OF_LESIONS, _VOLUME_OF_REGION = "lesion_volume_ml", "volume_ml"


@dataclass(frozen=True)
class SiteLimits:
    """A site's own limits.

    Attributes:
        path: the file.
        scans: the smallest number of scans behind any of them.
        limits: by region and measure.
        warnings: warnings about the limits.
    """

    path: Path
    scans: int
    limits: LimitsTable
    warnings: tuple[CTWarning, ...] = ()


def read_site_limits(path: Path) -> SiteLimits:
    """Read ``summary.json`` of evaluate, or the folder that holds it.

    Where evaluate gives limits from square roots (extent, weight), they are used; otherwise the plain ones.

    Raises:
        UnfitInputError: it is missing, damaged, of another format, or of too few scans for limits.
    """
    file = path / SUMMARY_JSON if path.is_dir() else path
    settle_results(file.parent)
    try:
        record = read_json(file, _GIVE)
    except FileNotFoundError as error:
        raise UnfitInputError("there is no such file", str(file), _GIVE, code="no-such-file") from error
    found = record.get("format") if isinstance(record, dict) else None
    if found != FORMAT:
        described = (
            f"has the format {found[:40]}" if isinstance(found, str) and found.startswith(_FORMATS) else "is none"
        )
        raise UnfitInputError(
            f"is not a summary of the format {FORMAT} ({described})", str(file), _GIVE, code="limits-damaged"
        )
    try:
        found = _limits(record["structures"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"has a missing or invalid field ({type(error).__name__}: {error})"
        raise UnfitInputError(what, str(file), "Run evaluate again.", code="limits-damaged") from error
    if not any(measure in _MEASURES.values() for _, measure in found):
        what = "holds no limits of agreement of pneumonia, which need at least two scans"
        raise UnfitInputError(what, str(file), _GIVE, code="limits-none")
    scans = min(n for n, _ in found.values())
    warnings: tuple[CTWarning, ...] = ()
    if scans < _ENOUGH_SCANS:
        text = f"The site's own limits come from only {scans} scans: they are rough."
        warnings = (CTWarning("limits-few-scans", text),)
    return SiteLimits(file, scans, {key: limits for key, (_, limits) in found.items()}, warnings)


def _limits(structures: Mapping[str, Any]) -> dict[tuple[str, str], tuple[int, Limits]]:
    found = {}
    for region in REGIONS:
        # The lesions' row holds the whole lung's pneumonia; the whole lung's own row its volume.
        rows = (LESIONS.name, region.name) if region is WHOLE_LUNG else (region.name,)
        for row in rows:
            described = structures.get(row)
            if described is None:
                continue
            for quantity in QUANTITIES:
                limits = _limits_of(quantity, described["quantities"].get(quantity.difference))
                if limits is not None:
                    found[region.name, _measure(quantity, row)] = limits
    return found


def _measure(quantity: Quantity, row: str) -> str:
    of_volume = _VOLUME_OF_LESIONS if row == LESIONS.name else _VOLUME_OF_REGION
    return _MEASURES.get(quantity.name, of_volume)


def _limits_of(quantity: Quantity, record: Mapping[str, Any] | None) -> tuple[int, Limits] | None:
    if record is None or record["n"] < 2 or record["sd"] is None:
        return None
    scans, bias, sd = int(record["n"]), float(record["mean"]), float(record["sd"])
    # evaluate writes a root_sd for every quantity, but limits from it only for those with levels.
    root_sd = float(record["root_sd"]) if quantity.levels and record["root_sd"] is not None else None
    if min(sd, root_sd or 0.0) < 0:
        raise ValueError("a standard deviation below zero")
    if root_sd is None:
        return scans, PlainLimits(bias, LIMIT_SD * sd)
    # As in evaluate's limits at a level: mean ± 2·√level × 1.96 × the SD of the differences of square roots.
    return scans, SquareRootLimits(bias, 2.0 * LIMIT_SD * root_sd)
