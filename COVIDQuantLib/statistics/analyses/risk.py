"""Risk factors: uni- and multivariate logistic regression with backward selection (papers.md row Y5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.statistics.analyses.kind import Kind
from COVIDQuantLib.statistics.analyses.roc import outcome_of
from COVIDQuantLib.statistics.analyses.table_one import first_exams
from COVIDQuantLib.statistics.context import StudyContext
from COVIDQuantLib.statistics.data.variables import Variable
from COVIDQuantLib.statistics.figures.curves import OddsRow, draw_forest
from COVIDQuantLib.statistics.methods.backward import Selection, select_backward
from COVIDQuantLib.statistics.methods.logistic import METHOD, Coefficient, LogisticModel, fit_logistic
from COVIDQuantLib.statistics.report.numbers import UNDEFINED, number, p_text, ratio, ratio_interval
from COVIDQuantLib.statistics.report.sections import Figure, Section, Table
from COVIDQuantLib.system.settings_schema import REQUIRED, text, texts
from COVIDQuantLib.system.settings_schema import number as a_number


def _fill(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    exams = study.at(settings["time"]) if settings["time"] else first_exams(study.exams)
    outcome = outcome_of(study, exams, settings["outcome"])
    section.note_missing(outcome.title, int((~outcome.defined).sum()), "patients")
    exams = exams[outcome.defined]
    y = outcome.values[outcome.defined] == 1.0
    factors = [study.variable(exams, name) for name in (*settings["factors"], *settings["alternatives"])]
    alone = {factor.name: _alone(section, factor, y) for factor in factors}
    models = _models(section, settings, factors, alone, y)
    _table(section, factors, alone, models, (outcome, y))
    _figure(section, factors, alone, models)
    section.methods += [
        f"{METHOD}.",
        f"Multivariate models begin with every factor of univariate P ≤ {settings['candidate']:g}.",
        f"While the largest P of the likelihood ratio test is above {settings['remove']:g}, that factor leaves.",
    ]
    if settings["alternatives"]:
        section.methods.append(
            "Each alternative has a model of its own, with all other factors but no other alternative."
        )


def _alone(section: Section, factor: Variable, y: np.ndarray) -> LogisticModel:
    known = factor.defined
    section.note_missing(f"{factor.title} (univariate)", int((~known).sum()), "patients")
    model = fit_logistic(y[known], {factor.name: factor.values[known]})
    section.warnings += [f"{factor.title}: {note}" for note in (model.note, *model.warnings) if note]
    return model


def _models(
    section: Section,
    settings: Mapping[str, Any],
    factors: list[Variable],
    alone: dict[str, LogisticModel],
    y: np.ndarray,
) -> dict[str, Selection]:
    by_name = {factor.name: factor for factor in factors}
    common = [name for name in settings["factors"] if _is_candidate(alone[name], settings["candidate"])]
    apart = [name for name in settings["factors"] if not alone[name].sound]
    if apart:
        titles = ", ".join(by_name[name].title for name in apart)
        section.warnings.append(f"not in the multivariate models, because no finite odds ratio exists: {titles}")
    models = {}
    for extra in settings["alternatives"] or [""]:
        names = [*common, extra] if extra and _is_candidate(alone[extra], settings["candidate"]) else common
        title = f"{by_name[extra].title} model" if extra else "Multivariate"
        if extra and extra not in names:
            section.warnings.append(f"{title}: {by_name[extra].title} is no candidate at P ≤ {settings['candidate']:g}")
        known = np.logical_and.reduce([np.ones(len(y), bool), *(by_name[name].defined for name in names)])
        section.note_missing(f"one of the candidates ({title})", int((~known).sum()), "patients")
        found = select_backward(y[known], {n: by_name[n].values[known] for n in names}, settings["remove"])
        models[title] = found
        section.warnings += [f"{title}: {note}" for note in (found.model.note, *found.model.warnings) if note]
    return models


def _is_candidate(model: LogisticModel, threshold: float) -> bool:
    return model.sound and all(one.p <= threshold for one in model.coefficients.values())


def _table(
    section: Section, factors: list[Variable], alone: dict[str, LogisticModel], models: dict[str, Selection],
    chosen: tuple[Variable, np.ndarray],
) -> None:  # fmt: skip
    outcome, y = chosen
    rows, records = [], []
    for factor in factors:
        model = alone[factor.name]
        cells = _cells(model.coefficients.get(factor.name), model.note)
        records.append(_record("univariate", factor.name, model, ""))
        for title, selection in models.items():
            one = selection.model.coefficients.get(factor.name)
            removal = next((r for r in selection.removed if r.name == factor.name), None)
            left = "" if removal is None else f"removed (P = {p_text(removal.p)})"
            cells += _cells(one, "") if one is not None else [left or UNDEFINED, "", ""]
            if one is not None or removal is not None:
                records.append(_record(title, factor.name, selection.model, left))
        rows.append([factor.title, *cells])
    columns = [""]
    for title in ("Univariate", *models):
        columns += [f"{title}: OR", "95 % CI", "P"]
    notes = [f"Outcome: {outcome.title}, {int(y.sum())} of {len(y)} patients."]
    notes += [_about(title, selection) for title, selection in models.items()]
    section.tables.append(Table(section.title, columns, rows, records, notes))


def _about(title: str, selection: Selection) -> str:
    model = selection.model
    if not model.sound:
        return f"{title}: {model.note}."
    steps = f"; removed in this order: {', '.join(r.name for r in selection.removed)}" if selection.removed else ""
    return f"{title}: n = {model.n}, {model.events} with the outcome, AIC {number(model.aic, 1)}{steps}."


def _cells(one: Coefficient | None, note: str) -> list[str]:
    if one is None:
        return [note or UNDEFINED, "", ""]
    return [ratio(one.odds_ratio), ratio_interval(one.lower, one.upper), p_text(one.p)]


def _record(model_name: str, factor: str, model: LogisticModel, left: str) -> dict[str, Cell]:
    one = model.coefficients.get(factor)
    record: dict[str, Cell] = {"model": model_name, "factor": factor, "method": METHOD, "n": model.n}
    record |= {"events": model.events}
    record |= {name: getattr(one, name, None) for name in ("odds_ratio", "lower", "upper", "p")}
    return record | {"aic": model.aic, "note": left or model.note or "; ".join(model.warnings)}


def _figure(
    section: Section, factors: list[Variable], alone: dict[str, LogisticModel], models: dict[str, Selection]
) -> None:
    titles = {factor.name: factor.title for factor in factors}
    blocks = {
        "Univariate": [
            _line(titles[f.name], alone[f.name].coefficients.get(f.name), alone[f.name].note) for f in factors
        ]
    }
    for title, selection in models.items():
        blocks[title] = [_line(titles[name], one, "") for name, one in selection.model.coefficients.items()]
    drawn: list[dict[str, Cell]] = [
        {"model": title, "factor": row.name, "odds_ratio": row.ratio, "lower": row.lower, "upper": row.upper}
        for title, rows in blocks.items() for row in rows
    ]  # fmt: skip
    caption = "Odds ratios with 95 % intervals (Wald); intervals that leave the axis are cut at its ends."
    section.figures.append(Figure(section.title, caption, lambda: draw_forest(blocks), drawn))


def _line(title: str, one: Coefficient | None, note: str) -> OddsRow:
    if one is None:
        return OddsRow(title, words=note)
    text_ = f"{ratio(one.odds_ratio, 2)} ({ratio_interval(one.lower, one.upper, 2)})"
    return OddsRow(title, one.odds_ratio, one.lower, one.upper, text_)


KIND = Kind(
    "risk",
    "Risk factors",
    ("Y5",),
    {
        "outcome": text(REQUIRED, "a column of yes and no, or a comparison"),
        "factors": texts(REQUIRED, "variables or comparisons"),
        "alternatives": texts([], "factors that each get a multivariate model of their own, e.g. extent and weight"),
        "candidate": a_number(0.200, "largest univariate P of a candidate", least=0.0, most=1.0),
        "remove": a_number(0.10, "largest P that stays in the backward selection", least=0.0, most=1.0),
        "time": text("", "name of the time; each patient's first exam if empty"),
    },
    _fill,
)
