"""Agreement with reference masks over data sets: Table 1 of Yoo 2022 (papers.md row Y4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.evaluation.agreement import BlandAltman, PairedAgreement, Spread
from COVIDQuantLib.evaluation.measures import QUANTITIES, SCORES, Quantity, Score
from COVIDQuantLib.evaluation.overlap import LESIONS
from COVIDQuantLib.export.bland_altman import BlandAltmanPanel, draw_bland_altman
from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.statistics.analyses.kind import Kind
from COVIDQuantLib.statistics.config import mapping
from COVIDQuantLib.statistics.context import StudyContext
from COVIDQuantLib.statistics.data.read_table import as_numbers, need_columns, read_table
from COVIDQuantLib.statistics.methods.correlations import CorrelationOutcome, correlate
from COVIDQuantLib.statistics.report.numbers import UNDEFINED, interval, mean_sd, number, p_words
from COVIDQuantLib.statistics.report.sections import Figure, Records, Section, Table
from COVIDQuantLib.system.settings_schema import Setting, text

if TYPE_CHECKING:
    from pandas import DataFrame

_QUANTITY = {quantity.name: quantity for quantity in QUANTITIES}
# What evaluate and batch call their table of scans and structures.
_TABLES = ("evaluation.csv", "agreement.parquet")
_SHOWN_SCORES = ("dice", "sensitivity", "ppv")


@dataclass(frozen=True)
class DataSet:
    """One data set of Yoo's table.

    Attributes:
        name: heading of its column.
        scans: compared.
        scores: spread of each overlap score, shares 0..1.
        quantities: agreement of each quantity that both sides have.
        visual: correlation of each quantity with the visual score; empty without one.
    """

    name: str
    scans: int
    scores: dict[str, Spread]
    quantities: dict[str, PairedAgreement]
    visual: dict[str, CorrelationOutcome]


def _fill(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    sets = []
    for name, file in settings["datasets"].items():
        path = _table_in(study.folder / file)
        table = read_table(path, study.config["columns"])
        sets.append(_data_set(section, name, table, settings, str(path)))
    sets += [_data_set(section, n, study.compared[n], settings, f"the masks of {n}") for n in settings["masks"]]
    if not sets:
        remedy = 'Name at least one, as datasets = {internal = "evaluation.csv"}.'
        raise UsageError("the agreement has no data set", "the study", remedy, code="study-config")
    section.tables.append(_table(section.title, sets, settings))
    section.methods += [
        "ICC(A,1): two-way, absolute agreement, single measurement (McGraw and Wong 1996), with its 95 % interval.",
        "Dice, sensitivity and positive predictive value: mean ± standard deviation of the scans with pneumonia.",
        "Bland–Altman: predicted − reference, mean ± 1.96 standard deviations.",
        "Limits at a level: mean difference ± 2·√level × 1.96 standard deviations of the differences of square roots.",
    ]
    panels = [p for one in sets for q in settings["quantities"] if (p := _panel(one, _QUANTITY[q])) is not None]
    if panels:
        drawn: Records = [{"panel": p.title, "predicted": float(a), "reference": float(b)}
                 for p in panels for a, b in zip(p.predicted, p.reference, strict=True)]  # fmt: skip
        caption = "Straight lines: limits from the original values. Curves: limits from the square roots."
        section.figures.append(Figure("Bland–Altman plots", caption, lambda: draw_bland_altman(panels), drawn))


def _table_in(path: Path) -> Path:
    """The table itself, also of a folder written by evaluate or batch."""
    return next((path / name for name in _TABLES if (path / name).is_file()), path)


def _data_set(section: Section, name: str, table: DataFrame, settings: Mapping[str, Any], where: str) -> DataSet:
    if "structure" in table.columns:
        table = table[table["structure"] == settings["structure"]]
    scores = {s.name: _numbers(table, s.name, where) for s in SCORES if s.name in table.columns}
    quantities: dict[str, PairedAgreement] = {}
    visual: dict[str, CorrelationOutcome] = {}
    for quantity in settings["quantities"]:
        record = _QUANTITY[quantity]
        if record.reference not in table.columns and settings["score"] in table.columns:
            need_columns(table, (record.predicted,), where)
            one, other = _numbers(table, record.predicted, where), _numbers(table, settings["score"], where)
            known = np.isfinite(one) & np.isfinite(other)
            section.note_missing(f"{record.title.lower()} or visual score ({name})", int((~known).sum()), "scans")
            visual[quantity] = correlate(one[known], other[known], rank=False)
            continue
        need_columns(table, (record.predicted, record.reference), where)
        one, other = _numbers(table, record.predicted, where), _numbers(table, record.reference, where)
        known = np.isfinite(one) & np.isfinite(other)
        section.note_missing(f"{record.title.lower()} on both sides ({name})", int((~known).sum()), "scans")
        if known.sum() < 2:
            section.warnings.append(f"{name}: fewer than two scans have {record.title.lower()} on both sides")
        quantities[quantity] = PairedAgreement.of(one[known], other[known])
    spreads = {key: Spread.of(values[np.isfinite(values)]) for key, values in scores.items()}
    for key in _SHOWN_SCORES:
        if key in scores:
            section.note_missing(f"{key} ({name})", int((~np.isfinite(scores[key])).sum()), "scans")
    return DataSet(name, len(table), spreads, quantities, visual)


def _numbers(table: DataFrame, column: str, where: str) -> np.ndarray:
    return np.asarray(as_numbers(table[column], column, where), float)


def _table(title: str, sets: Sequence[DataSet], settings: Mapping[str, Any]) -> Table:
    rows: list[list[str]] = [["Correlation coefficients", *([""] * len(sets))]]
    records: list[dict[str, Cell]] = []
    quantities = [_QUANTITY[name] for name in settings["quantities"]]
    rows += [[f"    ICC, {q.title.lower()}", *(_icc(one, q) for one in sets)] for q in quantities]
    rows += [[f"    Pearson, {q.title.lower()}", *(_pearson(one, q) for one in sets)] for q in quantities]
    rows.append(["Overlap of predicted and reference mask (%)", *([""] * len(sets))])
    scores = [score for score in SCORES if score.name in _SHOWN_SCORES]
    rows += [[f"    {score.title}", *(_score(one, score) for one in sets)] for score in scores]
    rows.append(["Bland–Altman analysis", *([""] * len(sets))])
    for quantity in quantities:
        rows.append([f"    Mean difference, {quantity.title.lower()} ({quantity.symbol})",
                     *(_difference(one, quantity) for one in sets)])  # fmt: skip
        rows.append([f"    95 % limits ({quantity.symbol})", *(_limits(one, quantity, None) for one in sets)])
        for level in settings.get(f"{quantity.name}_levels", quantity.levels):
            heading = f"    95 % limits at {level:g} {quantity.symbol}"
            rows.append([heading, *(_limits(one, quantity, float(level)) for one in sets)])
    for one in sets:
        records += _records(one, settings)
    notes = ["Intervals in parentheses are 95 % confidence intervals.",
             "Pearson against the visual score where a data set has no reference masks."]  # fmt: skip
    return Table(title, ["", *(f"{one.name} (n = {one.scans})" for one in sets)], rows, records, notes)


def _icc(one: DataSet, quantity: Quantity) -> str:
    found = one.quantities[quantity.name].icc if quantity.name in one.quantities else None
    if found is None:
        return UNDEFINED
    return f"{number(found.value, 3)} ({interval(found.lower, found.upper, 3)})"


def _pearson(one: DataSet, quantity: Quantity) -> str:
    if quantity.name in one.visual:
        seen = one.visual[quantity.name]
        return UNDEFINED if seen.r is None else f"{number(seen.r, 3)} (visual score; {p_words(seen.p)})"
    found = one.quantities[quantity.name].pearson if quantity.name in one.quantities else None
    return UNDEFINED if found is None else f"{number(found.r, 3)} ({p_words(found.p)})"


def _score(one: DataSet, score: Score) -> str:
    spread = one.scores.get(score.name)
    if spread is None or spread.mean is None:
        return UNDEFINED
    return mean_sd(Spread(spread.n, 100 * spread.mean, None if spread.sd is None else 100 * spread.sd), 1)


def _bland_altman(one: DataSet, quantity: Quantity) -> BlandAltman | None:
    return one.quantities[quantity.name].bland_altman if quantity.name in one.quantities else None


def _difference(one: DataSet, quantity: Quantity) -> str:
    found = _bland_altman(one, quantity)
    return UNDEFINED if found is None else number(found.mean, 2)


def _limits(one: DataSet, quantity: Quantity, level: float | None) -> str:
    found = _bland_altman(one, quantity)
    limits = None if found is None else found.limits if level is None else found.limits_at(level)
    return UNDEFINED if limits is None else interval(*limits, 1)


def _records(one: DataSet, settings: Mapping[str, Any]) -> list[dict[str, Cell]]:
    records: list[dict[str, Cell]] = []
    for name, spread in one.scores.items():
        records.append({"dataset": one.name, "measure": name, "statistic": "score", **asdict(spread)})
    for name, agreement in one.quantities.items():
        head: dict[str, Cell] = {"dataset": one.name, "measure": name}
        records.append({**head, "statistic": "difference", **asdict(agreement.difference)})
        if agreement.icc is not None:
            icc = agreement.icc
            records.append({**head, "statistic": "ICC(A,1)", "n": agreement.difference.n, "value": icc.value,
                            "lower": icc.lower, "upper": icc.upper})  # fmt: skip
        for method, found in (("Pearson", agreement.pearson), ("Spearman", agreement.spearman)):
            if found is not None:
                records.append(
                    {**head, "statistic": method, "n": agreement.difference.n, "value": found.r, "p": found.p}
                )
        if agreement.bland_altman is not None:
            records += _limit_records(head, agreement.bland_altman, _QUANTITY[name], settings)
    for name, seen in one.visual.items():
        records.append({"dataset": one.name, "measure": name, "statistic": f"{seen.method} with the visual score",
                        "n": seen.n, "value": seen.r, "p": seen.p, "note": seen.note})  # fmt: skip
    return records


def _limit_records(
    head: dict[str, Cell], found: BlandAltman, quantity: Quantity, settings: Mapping[str, Any]
) -> list[dict[str, Cell]]:
    lower, upper = found.limits
    records: list[dict[str, Cell]] = [
        {**head, "statistic": "limits", "n": found.n, "value": found.mean, "lower": lower, "upper": upper}
    ]
    for level in settings.get(f"{quantity.name}_levels", quantity.levels):
        limits = found.limits_at(float(level))
        if limits is not None:
            records.append({**head, "statistic": f"limits at {level:g} {quantity.unit}", "n": found.n,
                            "value": found.mean, "lower": limits[0], "upper": limits[1]})  # fmt: skip
    return records


def _panel(one: DataSet, quantity: Quantity) -> BlandAltmanPanel | None:
    found = _bland_altman(one, quantity)
    if found is None:
        return None
    agreement = one.quantities[quantity.name]
    levels = found.limits_at if quantity.levels else None
    return BlandAltmanPanel(
        f"{quantity.title}: {one.name}", quantity.symbol, agreement.predicted, agreement.reference, found.mean,
        found.limits, levels,
    )  # fmt: skip


def _are_levels(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in value
    )


def _are_masks(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(folders, dict)
        and {"predicted", "reference"} <= set(folders) <= {"predicted", "reference", "ct"}
        and all(isinstance(path, str) for path in folders.values())
        for folders in value.values()
    )


def _are_quantities(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(v in _QUANTITY for v in value)


_LEVELS = "levels at which limits from square roots are given"
KIND = Kind(
    "agreement",
    "Agreement with the reference masks",
    ("Y4",),
    {
        "datasets": mapping("tables of evaluate or batch (a row per scan and structure), by the data set's name"),
        "masks": Setting(
            {},
            'folders by name, as {internal = {predicted = "…", reference = "…", ct = "…"}}; ct may be left out',
            _are_masks,
            "folders of masks to compare now, by the data set's name",
        ),
        "structure": text(LESIONS.name, "structure whose rows are used"),
        "quantities": Setting(
            ["extent", "weight"], f"a list of {', '.join(_QUANTITY)}", _are_quantities, "quantities to compare"
        ),
        "extent_levels": Setting([10.0, 50.0], "a list of numbers above 0", _are_levels, f"{_LEVELS}, %"),
        "weight_levels": Setting([100.0, 500.0], "a list of numbers above 0", _are_levels, f"{_LEVELS}, g"),
        "score": text("visual_score", "column of the readers' visual score, for data sets without reference masks"),
    },
    _fill,
    needs_exams=False,
)  # fmt: skip
