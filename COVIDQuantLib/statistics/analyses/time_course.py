"""Measures against days since onset: fits by group, r² and the day of the peak (papers.md rows H5, P7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.quantification.time_courses import curves_of
from COVIDQuantLib.statistics.analyses.correlation import are_degrees, fit_record
from COVIDQuantLib.statistics.analyses.kind import Kind
from COVIDQuantLib.statistics.context import ALL, StudyContext
from COVIDQuantLib.statistics.figures.scatter import Points, ScatterPanel, draw_scatter
from COVIDQuantLib.statistics.methods.polynomials import DEGREES, Fit, fit_polynomial
from COVIDQuantLib.statistics.report.numbers import UNDEFINED, interval, number, p_text
from COVIDQuantLib.statistics.report.sections import Figure, Records, Section, Table
from COVIDQuantLib.system.settings_schema import REQUIRED, Setting, text, texts, truth

if TYPE_CHECKING:
    from pandas import DataFrame

_METHODS = (
    "Polynomials by least squares; P of the F test of the whole fit.",
    "The peak is the highest point of the curve within the days observed.",
    "Its interval is a percentile bootstrap of the patients (1000 samples, fixed seed).",
    "Exams of one patient count as independent in the fit, as in the papers, so that its P is too small.",
)
_ORIGIN = "r² of a fit through the origin is the share of the squares around zero, not around the mean."


def _fill(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    exams = study.exams
    groups = study.groups(exams) if settings["by_group"] else {ALL: np.ones(len(exams), bool)}
    study.note_ungrouped(section, groups)
    day = study.variable(exams, settings["x"])
    section.note_missing(day.title.lower(), int((~day.defined).sum()))
    rows, records, panels = [], [], []
    for name in settings["measures"]:
        points = []
        for group, where in groups.items():
            fits, made = _group(section, study, settings, exams[where], (name, group))
            points.append(made)
            rows += [_row(study, name, group, fit) for fit in fits]
            records += [_record(name, group, fit) for fit in fits]
        measure = study.variable(exams, name)
        published = curves_of(name) if settings["published"] else ()
        lines = _courses(exams, day.values, measure.values) if settings["lines"] else ()
        panels.append(ScatterPanel(day.title, measure.title, points, published, lines))
    columns = ["", "Group", "Fit", "n", "Equation", "r²", "P", "Peak day (95 % CI)", "Peak"]
    notes = [_ORIGIN] if settings["origin"] else []
    section.tables.append(Table(section.title, columns, rows, records, notes))
    section.methods += _METHODS
    drawn: Records = [{"measure": p.y_title, "group": g.name, "x": float(a), "y": float(b)}
             for p in panels for g in p.points for a, b in zip(g.x, g.y, strict=True)]  # fmt: skip
    caption = "Every exam is a point; curves by least squares, rings at their peaks."
    if settings["published"]:
        caption += (
            " Thin grey curves are published (Pan 2021, Huang 2020), two of them corrected as the papers page says."
        )
    section.figures.append(Figure(section.title, caption, lambda: draw_scatter(panels), drawn))


def _group(
    section: Section, study: StudyContext, settings: Mapping[str, Any], exams: DataFrame, head: tuple[str, str]
) -> tuple[list[Fit], Points]:
    name, group = head
    day, measure = study.variable(exams, settings["x"]), study.variable(exams, name)
    known = day.defined & measure.defined
    section.note_missing(f"{measure.title} ({group})", int((day.defined & ~measure.defined).sum()))
    x, y = day.values[known], measure.values[known]
    patients = np.asarray(exams["patient"].astype(str))[known]
    fits = []
    for degree in settings["degrees"]:
        fit = fit_polynomial(x, y, degree, origin=settings["origin"], patients=patients)
        if fit is None:
            section.warnings.append(f"{measure.title}, {group}: too few different days for a {DEGREES[degree]} fit")
        else:
            fits.append(fit)
    start = "" if group == ALL else f"{group}: "
    # One curve is drawn for each group, that of the last degree.
    shown = [(f"{start}{len(x)} exams, {DEGREES[f.degree]} fit", f) for f in fits[-1:]]
    return fits, Points(group, x, y, shown)


def _courses(exams: DataFrame, days: np.ndarray, values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each patient's exams in order of day."""
    known = np.isfinite(days) & np.isfinite(values)
    lines = []
    patients = np.asarray(exams["patient"].astype(str))
    for patient in dict.fromkeys(patients[known]):
        own = known & (patients == patient)
        order = np.argsort(days[own], kind="stable")
        lines.append((days[own][order], values[own][order]))
    return lines


def _row(study: StudyContext, name: str, group: str, fit: Fit) -> list[str]:
    peak = fit.peak
    day = UNDEFINED if peak is None else number(peak.day, 1)
    if peak is not None and peak.lower is not None:
        day += f" ({interval(peak.lower, peak.upper, 1)})"
    title = study.variable(study.exams, name).title
    cells = [DEGREES[fit.degree], str(fit.n), fit.equation, number(fit.r_squared, 3), p_text(fit.p)]
    return [title, group, *cells, day, UNDEFINED if peak is None else number(peak.value, 2)]


def _record(name: str, group: str, fit: Fit) -> dict[str, Cell]:
    peak = fit.peak
    record: dict[str, Cell] = {"measure": name, "group": group, **fit_record(fit)}
    record |= {"first_day": fit.span[0], "last_day": fit.span[1]}
    for key in ("day", "value", "lower", "upper"):
        record[f"peak_{key}"] = getattr(peak, key, None)
    return record


KIND = Kind(
    "time-course",
    "Time course",
    ("H5", "P7"),
    {
        "measures": texts(REQUIRED, "variables on the y axis, a panel each"),
        "x": text("days", "variable on the x axis"),
        "degrees": Setting([3], "a list of 1, 2, 3", are_degrees, "degrees; the last is drawn"),
        "origin": truth(False, "whether curves pass through the origin, as Pan's do"),
        "by_group": truth(True, "whether each group is fitted by itself"),
        "published": truth(False, "whether published curves of the measure are drawn too"),
        "lines": truth(False, "whether the exams of a patient are joined by faint lines"),
    },
    _fill,
)
