"""Files written by ``covidquant evaluate``: a row per scan and structure, the summary as CSV and JSON, and a plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from COVIDQuantLib.evaluation.agreement import LIMIT_SD, PairedAgreement
from COVIDQuantLib.evaluation.evaluate import CohortAgreement, StructureSummary
from COVIDQuantLib.evaluation.measures import COLUMNS, QUANTITIES, SCORES, Quantity
from COVIDQuantLib.evaluation.overlap import LESIONS, LUNGS
from COVIDQuantLib.export.bland_altman import BlandAltmanPanel, write_bland_altman
from COVIDQuantLib.export.csv_file import Cell, write_rows
from COVIDQuantLib.export.table_file import software_versions, write_json
from COVIDQuantLib.system.atomic_files import OutputFolder

SCANS_FILE = "evaluation.csv"
SUMMARY_CSV = "summary.csv"
SUMMARY_JSON = "summary.json"
PLOT_FILE = "bland_altman.png"
FILES = (SCANS_FILE, SUMMARY_CSV, SUMMARY_JSON, PLOT_FILE)
FORMAT = "covidquant-evaluation/1"

MEAN_LOBE_DICE = "mean_lobe_dice"
DEFINITIONS = {
    "difference": "predicted − reference",
    "icc": "ICC(A,1): two-way, absolute agreement, single measurement (McGraw and Wong 1996), 95 % interval",
    "limits": f"mean difference ± {LIMIT_SD} × standard deviation of the differences",
    "limits_at": f"mean difference ± 2·√level × {LIMIT_SD} × standard deviation of the differences of square roots",
    "scores": "spread over the scans whose reference has the structure",
    "pooled": "the overlaps of all scans, in millilitres, added up",
    "absent_in_reference": "scans whose reference has none of it, and what was predicted there anyway",
    "missed": "scans whose reference has it and whose prediction has none",
}
# The plotted quantities, for at least two scans.
_PLOTTED = ((LESIONS.name, "extent"), (LESIONS.name, "weight"), (LESIONS.name, "volume"), (LUNGS.name, "volume"))


def scan_rows(cohort: CohortAgreement) -> Iterator[list[Cell]]:
    """The rows of ``evaluation.csv``, header first; a last column only if readers excluded a scan."""
    gate = any(scan.excluded for scan in cohort.scans)
    yield ["scan", "structure", *COLUMNS, *(["excluded_by_readers"] if gate else ())]
    for scan in cohort.scans:
        for name, agreement in scan.structures.items():
            yield [scan.name, name, *agreement.row().values(), *([scan.excluded] if gate else ())]


def summary_rows(cohort: CohortAgreement) -> Iterator[list[Cell]]:
    """The rows of ``summary.csv``, header first: per structure every score, then every quantity's difference."""
    rows = [row for summary in cohort.structures.values() for row in _structure_rows(summary)]
    if cohort.mean_lobe_dice.n:
        rows.append({"structure": "five lobes", "measure": MEAN_LOBE_DICE, **asdict(cohort.mean_lobe_dice)})
    columns = list(dict.fromkeys(column for row in rows for column in row))
    yield list(columns)
    for row in rows:
        yield [row.get(column) for column in columns]


def _structure_rows(summary: StructureSummary) -> Iterator[dict[str, Cell]]:
    head = {"structure": summary.structure.name}
    for score in SCORES:
        pooled = score.pooled(summary.pooled) if score.pooled else None
        yield {**head, "measure": score.name, **asdict(summary.scores[score.name]), "pooled": pooled}
    for quantity in QUANTITIES:
        agreement = summary.quantities.get(quantity.name)
        if agreement is not None:
            described = _described(agreement, quantity)
            yield {**head, "measure": quantity.difference, **asdict(agreement.difference), "pooled": None, **described}


def _described(agreement: PairedAgreement, quantity: Quantity) -> dict[str, Cell]:
    """ICC, correlations and limits of agreement as columns; None where undefined."""
    difference = agreement.bland_altman
    described: dict[str, Cell] = {
        "icc": getattr(agreement.icc, "value", None),
        "icc_lower": getattr(agreement.icc, "lower", None),
        "icc_upper": getattr(agreement.icc, "upper", None),
    }
    for name, correlation in (("pearson", agreement.pearson), ("spearman", agreement.spearman)):
        described |= {name: getattr(correlation, "r", None), f"{name}_p": getattr(correlation, "p", None)}
    lower, upper = difference.limits if difference else (None, None)
    described |= {"limit_lower": lower, "limit_upper": upper, "root_sd": getattr(difference, "root_sd", None)}
    for level in quantity.levels:
        low, high = (difference and difference.limits_at(level)) or (None, None)
        name = f"{level:g}_{quantity.unit}"
        described |= {f"limit_lower_at_{name}": low, f"limit_upper_at_{name}": high}
    return described


def summary_record(cohort: CohortAgreement, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The contents of ``summary.json``, without a date, so that the same input gives the same file."""
    return {
        "format": FORMAT,
        "software": software_versions(),
        "scans": [scan.name for scan in cohort.scans],
        "excluded_by_readers": {scan.name: scan.excluded for scan in cohort.scans if scan.excluded},
        "structures": {name: _structure_record(summary) for name, summary in cohort.structures.items()},
        MEAN_LOBE_DICE: cohort.mean_lobe_dice.as_record(),
        "definitions": DEFINITIONS,
        "warnings": [*warnings, *(f"{scan.name}: {note}" for scan in cohort.scans for note in scan.notes)],
    }


def _structure_record(summary: StructureSummary) -> dict[str, Any]:
    scores = {}
    for score in SCORES:
        scores[score.name] = summary.scores[score.name].as_record()
        if score.pooled is not None:
            scores[score.name]["pooled"] = score.pooled(summary.pooled)
    quantities = {}
    for quantity in QUANTITIES:
        agreement = summary.quantities.get(quantity.name)
        if agreement is not None:
            quantities[quantity.difference] = {**agreement.difference.as_record(), **_described(agreement, quantity)}
    units = {quantity.name: quantity.predicted for quantity in QUANTITIES}
    return {
        "scans": summary.scans,
        "scores": scores,
        "quantities": quantities,
        "pooled_ml": asdict(summary.pooled),
        "absent_in_reference": {
            "scans": summary.absent,
            **{units[name]: spread.as_record() for name, spread in summary.false_positive.items() if spread.n},
        },
        "missed": summary.missed,
    }


def panels(cohort: CohortAgreement) -> list[BlandAltmanPanel]:
    """The panels to plot."""
    quantities = {quantity.name: quantity for quantity in QUANTITIES}
    found = []
    for structure, name in _PLOTTED:
        summary = cohort.structures.get(structure)
        agreement = summary.quantities.get(name) if summary else None
        if agreement is None or agreement.bland_altman is None:
            continue
        quantity, difference = quantities[name], agreement.bland_altman
        found.append(
            BlandAltmanPanel(
                f"{quantity.title}: {structure}",
                quantity.symbol,
                agreement.predicted,
                agreement.reference,
                difference.mean,
                difference.limits,
                difference.limits_at if quantity.levels else None,
            )
        )
    return found


def put_evaluation(
    cohort: CohortAgreement, out: OutputFolder, warnings: Sequence[str] = (), *, plots: bool = True
) -> list[Path]:
    """Write the files of an evaluation into a set of files that appear together, when its block ends.

    Args:
        cohort: the results.
        out: where to.
        warnings: further warnings.
        plots: whether to draw Bland-Altman plots, which need at least two scans.

    Returns:
        The files.

    Raises:
        OutputError: a file cannot be written.
    """
    names = [SCANS_FILE, SUMMARY_CSV, SUMMARY_JSON]
    out.write(SCANS_FILE, lambda path: write_rows(path, scan_rows(cohort)))
    out.write(SUMMARY_CSV, lambda path: write_rows(path, summary_rows(cohort)))
    record = summary_record(cohort, warnings)
    out.write(SUMMARY_JSON, lambda path: write_json(path, record))
    drawn = panels(cohort) if plots else []
    if drawn:
        out.write(PLOT_FILE, lambda path: write_bland_altman(path, drawn))
        names.append(PLOT_FILE)
    return [out.path / name for name in names]
