"""Correlation of two measures overall, by time and by group, with linear to cubic fits (papers.md row P7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.statistics.analyses.kind import Kind
from COVIDQuantLib.statistics.context import ALL, StudyContext
from COVIDQuantLib.statistics.figures.scatter import Points, ScatterPanel, draw_scatter
from COVIDQuantLib.statistics.methods.correlations import correlate
from COVIDQuantLib.statistics.methods.polynomials import DEGREES, Fit, fit_polynomial
from COVIDQuantLib.statistics.report.numbers import interval, number, p_text
from COVIDQuantLib.statistics.report.sections import Figure, Records, Section, Table
from COVIDQuantLib.system.settings_schema import REQUIRED, Setting, choice, text, texts, truth

if TYPE_CHECKING:
    from pandas import DataFrame


def are_degrees(value: Any) -> bool:
    """A list of degrees of polynomials."""
    return isinstance(value, list) and all(isinstance(v, int) and v in DEGREES for v in value)


def _fill(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    rank = settings["method"] == "spearman"
    rows, records = [], []
    for time in ["", *settings["times"]]:
        exams = study.at(time)
        groups = {ALL: np.ones(len(exams), bool)}
        if settings["by_group"]:
            groups |= study.groups(exams)
        for group, where in groups.items():
            row, record = _line(section, study, settings, exams[where], (time, group))
            rows.append(row)
            records.append(record)
    control = settings["control"]
    held = f", controlling for {study.variable(study.exams, control).title.lower()}" if control else ""
    section.methods.append(f"{'Spearman' if rank else 'Pearson'} correlation{held}; interval by Fisher's z"
                           f"{' with the variance of Bonett and Wright' if rank else ''}.")  # fmt: skip
    x, y = (study.variable(study.exams, settings[axis]).title for axis in ("x", "y"))
    columns = ["", "Group", "n", "r", "95 % CI", "P"]
    notes = [f"x: {x}; y: {y}.", "Exams of one patient count as independent, as in the papers."]
    section.tables.append(Table(section.title, columns, rows, records, notes))
    _fits(section, study, settings)


def _line(
    section: Section, study: StudyContext, settings: Mapping[str, Any], exams: DataFrame, head: tuple[str, str]
) -> tuple[list[str], dict[str, Cell]]:
    one, other = study.variable(exams, settings["x"]), study.variable(exams, settings["y"])
    known = one.defined & other.defined
    control = None
    if settings["control"]:
        held = study.variable(exams, settings["control"])
        known = known & held.defined
        control = held.values[known]
    time, group = head
    left = int((~known).sum())
    if not time and group == ALL:
        section.note_missing(
            f"{one.title} or {other.title}" + (" or what is controlled for" if control is not None else ""), left
        )
    found = correlate(one.values[known], other.values[known], control, rank=settings["method"] == "spearman")
    if found.note:
        section.warnings.append(f"{time or 'all exams'}, {group}: {found.note}")
    record: dict[str, Cell] = {"time": time or "all exams", "group": group, "x": settings["x"], "y": settings["y"]}
    record |= {"method": found.method, "n": found.n, "r": found.r, "lower": found.lower, "upper": found.upper}
    record |= {"p": found.p, "left_out": left, "note": found.note}
    cells = [number(found.r, 3), interval(found.lower, found.upper, 3), p_text(found.p)]
    return [time or "all exams", group, str(found.n), *cells], record


def _fits(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    exams = study.exams
    one, other = study.variable(exams, settings["x"]), study.variable(exams, settings["y"])
    known = one.defined & other.defined
    x, y = one.values[known], other.values[known]
    fits: list[Fit] = []
    for degree in settings["degrees"]:
        fit = fit_polynomial(x, y, degree)
        if fit is None:
            section.warnings.append(f"no {DEGREES[degree]} fit: too few different values of {one.title}")
        else:
            fits.append(fit)
    if fits:
        rows = [[DEGREES[f.degree], f.equation, number(f.r_squared, 3), p_text(f.p)] for f in fits]
        records = [fit_record(fit) for fit in fits]
        section.tables.append(Table(f"{section.title}: fits", ["Fit", "Equation", "r²", "P"], rows, records))
        section.methods.append("Fits by least squares; P of the F test of the whole fit.")
    labels = [(f"{DEGREES[f.degree]}, r² = {number(f.r_squared, 3)}", f) for f in fits]
    panel = ScatterPanel(one.title, other.title, [Points("", x, y, labels)])
    drawn: Records = [{"x": float(a), "y": float(b)} for a, b in zip(x, y, strict=True)]
    caption = f"Every exam is a point (n = {len(x)}); curves by least squares."
    section.figures.append(Figure(section.title, caption, lambda: draw_scatter([panel]), drawn))


def fit_record(fit: Fit) -> dict[str, Cell]:
    """A fit as columns."""
    coefficients: dict[str, Cell] = {f"c{power}": value for power, value in enumerate(fit.coefficients)}
    return {"method": fit.method, "n": fit.n, **coefficients, "r_squared": fit.r_squared, "p": fit.p}


KIND = Kind(
    "correlation",
    "Correlation",
    ("P7",),
    {
        "x": text(REQUIRED, "variable on the x axis"),
        "y": text(REQUIRED, "variable on the y axis"),
        "method": choice("spearman", "which coefficient", "spearman", "pearson"),
        "control": text("", "variable held constant, e.g. days; none if empty"),
        "times": texts([], "names of times, for which it is given too"),
        "by_group": truth(False, "whether it is given for each group too"),
        "degrees": Setting([1, 2], "a list of 1, 2, 3", are_degrees, "degrees of the fitted polynomials"),
    },
    _fill,
)
