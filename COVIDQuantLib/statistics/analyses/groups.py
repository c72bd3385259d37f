"""Measures compared between groups at named times (papers.md rows H4, P7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.statistics.analyses.describe import (
    BY_NORMALITY,
    DESCRIPTION,
    LETTERS,
    SPREADS,
    chosen_tests,
    decimals_of,
    described,
    group_records,
    marks_of,
    normality_sentence,
    untested_warning,
)
from COVIDQuantLib.statistics.analyses.kind import Kind
from COVIDQuantLib.statistics.context import StudyContext
from COVIDQuantLib.statistics.figures.boxes import BoxPanel, box_records, draw_boxes
from COVIDQuantLib.statistics.methods.group_tests import GroupComparison, compare_groups
from COVIDQuantLib.statistics.methods.outcome import TestOutcome
from COVIDQuantLib.statistics.report.numbers import p_text, p_words
from COVIDQuantLib.statistics.report.sections import Figure, Section, Table
from COVIDQuantLib.system.settings_schema import REQUIRED, choice, texts

if TYPE_CHECKING:
    from pandas import DataFrame


def _fill(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    section.methods.append(normality_sentence(study.config["normality"], study.alpha))
    tests: dict[str, TestOutcome] = {}
    for time in settings["times"] or [""]:
        exams = study.at(time)
        if not len(exams):
            section.warnings.append(f"no exam belongs to the time {time}")
            continue
        _compare(section, study, settings, exams, time, tests)
    section.methods += chosen_tests(tests)


def _compare(
    section: Section,
    study: StudyContext,
    settings: Mapping[str, Any],
    exams: DataFrame,
    time: str,
    tests: dict[str, TestOutcome],
) -> None:
    groups = study.groups(exams)
    names = list(groups)
    study.note_ungrouped(section, groups)
    rows, records, panels = [], [], []
    pairs = 1
    for name in settings["measures"]:
        measure = study.variable(exams, name)
        inside = np.logical_or.reduce(list(groups.values()))
        missing = int((inside & ~measure.defined).sum())
        section.note_missing(f"{measure.title}{f', {time}' if time else ''}", missing)
        values = {group: measure.values[where & measure.defined] for group, where in groups.items()}
        found = compare_groups(values, study.config["normality"], study.alpha)
        pairs = max(pairs, len(found.pairs))
        section.warnings += untested_warning(found, measure.title)
        tests[f"{measure.title}{f', {time}' if time else ''}"] = found.test
        decimals, marks = decimals_of(list(values.values())), marks_of(found, names)
        cells = [described(values[g], found.normality[g], settings["spread"], decimals) + marks[g] for g in names]
        rows.append([measure.title, *cells, p_text(found.test.p)])
        records += group_records(name, values, found, missing, time=time)
        panels.append(BoxPanel(measure.title, values, _brackets(found), _head(found)))
    title = f"{section.title}{f': {time}' if time else ''}"
    columns = ["", *(f"{name} (n = {int(groups[name].sum())})" for name in names), "P"]
    notes = [DESCRIPTION[settings["spread"]], f"P compares all {len(names)} groups."]
    if pairs > 1:
        letters = ", ".join(f"{LETTERS[i % len(LETTERS)]} {name}" for i, name in enumerate(names))
        level = study.alpha / pairs
        notes.append(f"Letters: P < {study.alpha:g}/{pairs} = {level:.4f} (Bonferroni) against {letters}.")
    section.tables.append(Table(title, columns, rows, records, notes))
    caption = (
        "Boxes reach from the first to the third quartile with the median as a line, whiskers to the furthest value "
        "within 1.5 times their distance; every exam is a point."
    )
    if pairs > 1:
        caption += f" Brackets: P < {study.alpha:g}/{pairs}."
    drawn = [{"time": time, **record} for record in box_records(panels)]
    section.figures.append(Figure(title, caption, lambda: draw_boxes(panels), drawn))


def _brackets(found: GroupComparison) -> list[tuple[str, str, str]]:
    return [(pair.one, pair.other, "*") for pair in found.pairs if pair.significant]


def _head(found: GroupComparison) -> str:
    if found.test.p is None:
        return found.test.note
    return f"{found.test.method.partition(',')[0]}, {p_words(found.test.p)}"


KIND = Kind(
    "groups",
    "Comparison of groups",
    ("H4", "P7"),
    {
        "measures": texts(REQUIRED, "variables to compare"),
        "times": texts([], "names of times, a table for each; all exams if empty"),
        "spread": choice(BY_NORMALITY, "how values are described", *SPREADS),
    },
    _fill,
)
