"""Markers of an outcome: ROC, cut-off, sensitivity, specificity, odds ratio per SD, AIC (papers.md rows C3, Y5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.statistics.analyses.kind import Kind
from COVIDQuantLib.statistics.analyses.table_one import first_exams
from COVIDQuantLib.statistics.context import StudyContext
from COVIDQuantLib.statistics.data.variables import Variable
from COVIDQuantLib.statistics.figures.boxes import BoxPanel, box_records, draw_boxes
from COVIDQuantLib.statistics.figures.curves import draw_roc
from COVIDQuantLib.statistics.methods.logistic import METHOD, LogisticModel, fit_logistic
from COVIDQuantLib.statistics.methods.roc import (
    AREA_METHOD,
    CUTOFF_METHOD,
    ROC,
    SHARE_METHOD,
    Share,
    compare_areas,
    roc_of,
)
from COVIDQuantLib.statistics.report.numbers import (
    UNDEFINED,
    decimals_for,
    interval,
    number,
    p_text,
    p_words,
    ratio,
    ratio_interval,
)
from COVIDQuantLib.statistics.report.sections import Figure, Records, Section, Table
from COVIDQuantLib.system.settings_schema import REQUIRED, text, texts, truth


@dataclass(frozen=True)
class _Marker:
    """One marker, or all together.

    Attributes:
        title: heading.
        name: as in the study; the names joined by + for the combination.
        roc: its curve; None if it cannot be drawn.
        model: logistic regression on it, per standard deviation.
    """

    title: str
    name: str
    roc: ROC | None
    model: LogisticModel


def outcome_of(study: StudyContext, exams: Any, name: str) -> Variable:
    """The outcome as a variable of 0 and 1.

    Raises:
        UnfitInputError: it is neither yes and no nor a comparison (``outcome-not-binary``).
    """
    found = study.variable(exams, name)
    if not found.yes_no:
        remedy = f'Write a comparison, for example outcome = "{name} = severe".'
        raise UnfitInputError(f"{name} is not yes or no", "the study", remedy, code="outcome-not-binary")
    return found


def _fill(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    exams = study.at(settings["time"]) if settings["time"] else study.exams
    if settings["first_only"] and not settings["time"]:
        exams = first_exams(exams)
    outcome = outcome_of(study, exams, settings["outcome"])
    markers = [study.variable(exams, name) for name in settings["markers"]]
    known = np.logical_and.reduce([outcome.defined, *(marker.defined for marker in markers)])
    section.note_missing(outcome.title, int((~outcome.defined).sum()))
    for marker in markers:
        section.note_missing(marker.title, int((outcome.defined & ~marker.defined).sum()))
    y = outcome.values[known] == 1.0
    found = [_one(section, marker, marker.values[known], y) for marker in markers]
    if settings["combined"] and len(markers) > 1:
        found.append(_combined(section, markers, known, y))
    _tables(section, outcome, found, y)
    _figures(section, outcome, markers, found, (known, y))
    section.methods += [
        f"{AREA_METHOD}.", f"{CUTOFF_METHOD}; sensitivity and specificity with {SHARE_METHOD}.",
        f"{METHOD}; odds ratios per standard deviation of the marker; AIC = 2k − 2 log L.",
        "All markers are compared on the same exams, those where every marker is defined.",
        "Exams of one patient count as independent, as in Changsha 2020, unless the study takes one of each patient.",
    ]  # fmt: skip


def _one(section: Section, marker: Variable, values: np.ndarray, y: np.ndarray) -> _Marker:
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    scaled = (values - values.mean()) / sd if sd > 0 else values
    model = fit_logistic(y, {marker.name: scaled})
    higher = not model.sound or model.coefficients[marker.name].beta >= 0
    if not model.sound and len(values) and y.any() and not y.all():
        higher = bool(values[y].mean() >= values[~y].mean())
    roc = roc_of(y, values, higher=higher)
    _warn(section, marker.title, model, roc)
    return _Marker(marker.title, marker.name, roc, model)


def _combined(section: Section, markers: list[Variable], known: np.ndarray, y: np.ndarray) -> _Marker:
    columns = {}
    for marker in markers:
        values = marker.values[known]
        sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        columns[marker.name] = (values - values.mean()) / sd if sd > 0 else values
    model = fit_logistic(y, columns)
    roc = roc_of(y, model.probability(columns)) if model.sound else None
    title = " + ".join(marker.title.partition(" (")[0] for marker in markers)
    _warn(section, title, model, roc)
    return _Marker(title, "+".join(marker.name for marker in markers), roc, model)


def _warn(section: Section, title: str, model: LogisticModel, roc: ROC | None) -> None:
    notes = [model.note, *model.warnings, roc.note if roc is not None else ""]
    section.warnings += [f"{title}: {note}" for note in notes if note]


def _tables(section: Section, outcome: Variable, found: list[_Marker], y: np.ndarray) -> None:
    rows, odds, records = [], [], []
    titles = {marker.name: marker.title for marker in found}
    for marker in found:
        rows.append([marker.title, *_roc_cells(marker)])
        records.append(_record(marker, y))
        odds += [_odds_row(marker, name, titles) for name in marker.model.names]
    columns = ["", "AUC (95 % CI)", "P", "Cut-off", "Sensitivity %", "Specificity %"]
    notes = [f"Outcome: {outcome.title}, {int(y.sum())} of {len(y)}. P is of the AUC being .5."]
    if any(len(marker.model.names) > 1 for marker in found):
        notes.append("The cut-off of markers together is a predicted probability.")
    for one, other in combinations([m for m in found if m.roc is not None], 2):
        if one.roc is not None and other.roc is not None:
            p = compare_areas(one.roc, other.roc)
            notes.append(f"AUC of {one.title} against {other.title}: {p_words(p)} (DeLong).")
    section.tables.append(Table(section.title, columns, rows, records, notes))
    columns = ["Model", "Variable", "OR per SD", "95 % CI", "P", "AIC"]
    section.tables.append(Table("Odds ratios per standard deviation", columns, odds, []))


def _roc_cells(marker: _Marker) -> list[str]:
    roc = marker.roc
    if roc is None:
        return [marker.model.note or UNDEFINED, *([UNDEFINED] * 4)]
    sign = "≥" if roc.higher else "≤"
    cut = f"{sign} {number(roc.cutoff, max(1, decimals_for(abs(roc.cutoff))))}"
    area = f"{roc.area:.3f} ({interval(roc.lower, roc.upper)})"
    return [area, p_text(roc.p), cut, _share(roc.sensitivity), _share(roc.specificity)]


def _share(share: Share) -> str:
    ends = interval(100 * share.lower, 100 * share.upper, 1)
    return f"{100 * share.value:.1f} ({share.count} of {share.of}) [{ends}]"


def _odds_row(marker: _Marker, name: str, titles: Mapping[str, str]) -> list[str]:
    model, title = marker.model, titles[name]
    if not model.sound:
        return [marker.title, title, model.note, UNDEFINED, UNDEFINED, UNDEFINED]
    one = model.coefficients[name]
    aic = "" if model.aic is None else f"{model.aic:.3f}"
    return [marker.title, title, ratio(one.odds_ratio), ratio_interval(one.lower, one.upper), p_text(one.p), aic]


def _record(marker: _Marker, y: np.ndarray) -> dict[str, Cell]:
    record: dict[str, Cell] = {"marker": marker.name, "n": len(y), "events": int(y.sum()), "method": AREA_METHOD}
    roc = marker.roc
    if roc is not None:
        record |= {"auc": roc.area, "auc_error": roc.error, "auc_lower": roc.lower, "auc_upper": roc.upper, "p": roc.p}
        record |= {"direction": "higher" if roc.higher else "lower", "cutoff": roc.cutoff}
        for name, share in (("sensitivity", roc.sensitivity), ("specificity", roc.specificity)):
            record |= {name: share.value, f"{name}_count": share.count, f"{name}_of": share.of}
            record |= {f"{name}_lower": share.lower, f"{name}_upper": share.upper}
    for name, one in marker.model.coefficients.items():
        end = "" if len(marker.model.names) == 1 else f"_{name}"
        record |= {f"or_per_sd{end}": one.odds_ratio, f"or_lower{end}": one.lower, f"or_upper{end}": one.upper}
        record |= {f"or_p{end}": one.p}
    return record | {"aic": marker.model.aic, "note": marker.model.note}


def _figures(
    section: Section,
    outcome: Variable,
    markers: list[Variable],
    found: list[_Marker],
    chosen: tuple[np.ndarray, np.ndarray],
) -> None:
    known, y = chosen
    curves = {marker.title: marker.roc for marker in found if marker.roc is not None}
    if curves:
        drawn: Records = [
            {"marker": name, "false_positive": float(a), "true_positive": float(b)}
            for name, roc in curves.items()
            for a, b in zip(roc.false_positive, roc.true_positive, strict=True)
        ]
        caption = (
            f"Outcome: {outcome.title}. Rings: cut-off of the largest Youden index. AUC with DeLong's 95 % interval."
        )
        section.figures.append(Figure(section.title, caption, lambda: draw_roc(curves), drawn))
    groups = {"no": ~y, "yes": y}
    panels = [
        BoxPanel(marker.title, {n: marker.values[known][where] for n, where in groups.items()}, head=outcome.title)
        for marker in markers
    ]
    caption = "Boxes reach from the first to the third quartile; whiskers to the furthest value within 1.5 times that."
    section.figures.append(Figure("Markers by outcome", caption, lambda: draw_boxes(panels), box_records(panels)))


KIND = Kind(
    "roc",
    "Markers of the outcome",
    ("C3",),
    {
        "outcome": text(REQUIRED, "a column of yes and no, or a comparison"),
        "markers": texts(REQUIRED, "variables, each with its curve"),
        "combined": truth(True, "whether all markers together are a curve too (logistic regression)"),
        "time": text("", "name of the time; every exam if empty"),
        "first_only": truth(False, "whether only each patient's first exam counts"),
    },
    _fill,
)
