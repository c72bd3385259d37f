"""Baseline characteristics by group: Table 1 of every paper (papers.md row H4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.statistics.analyses.describe import (
    BY_NORMALITY,
    DESCRIPTION,
    MEAN,
    MEDIAN,
    SPREADS,
    chosen_tests,
    decimals_of,
    described,
    group_records,
    normality_sentence,
    test_record,
    untested_warning,
)
from COVIDQuantLib.statistics.analyses.kind import Kind
from COVIDQuantLib.statistics.context import ALL, StudyContext
from COVIDQuantLib.statistics.data.variables import title_of, words
from COVIDQuantLib.statistics.methods.counts import compare_counts
from COVIDQuantLib.statistics.methods.group_tests import compare_groups
from COVIDQuantLib.statistics.methods.outcome import TestOutcome
from COVIDQuantLib.statistics.report.numbers import UNDEFINED, count_share, p_text
from COVIDQuantLib.statistics.report.sections import Section, Table
from COVIDQuantLib.system.settings_schema import REQUIRED, choice, text, texts

if TYPE_CHECKING:
    from pandas import DataFrame

_Rows = tuple[list[list[str]], list[dict[str, Cell]]]


def _fill(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    exams = study.at(settings["time"]) if settings["time"] else first_exams(study.exams)
    groups = study.groups(exams, all_if_none=True)
    if ALL not in groups:
        study.note_ungrouped(section, groups)
        inside = np.logical_or.reduce(list(groups.values()))
        exams, groups = exams[inside], {name: where[inside] for name, where in groups.items()}
    rows: list[list[str]] = []
    records: list[dict[str, Cell]] = []
    tests: dict[str, TestOutcome] = {}
    for name in settings["variables"]:
        made = _row(section, study, (exams, groups, settings["spread"]), name, tests)
        rows += made[0]
        records += made[1]
    names = [] if ALL in groups else list(groups)
    columns = ["", f"All (n = {len(exams)})", *(f"{name} (n = {int(groups[name].sum())})" for name in names)]
    notes = [DESCRIPTION[settings["spread"]], "Counts are followed by percentages in parentheses."]
    if names:
        columns.append("P")
    else:
        rows = [row[:2] for row in rows]
    section.tables.append(Table(section.title, columns, rows, records, notes))
    section.methods.append(normality_sentence(study.config["normality"], study.alpha))
    section.methods += chosen_tests(tests) if names else []


def first_exams(exams: DataFrame) -> DataFrame:
    """Each patient's first exam, by visit where there is one."""
    return exams.sort_values("visit", kind="stable", na_position="last").drop_duplicates("patient").sort_index()


def _row(
    section: Section, study: StudyContext, chosen: tuple[DataFrame, Mapping[str, np.ndarray], str], name: str,
    tests: dict[str, TestOutcome],
) -> _Rows:  # fmt: skip
    exams, groups, spread = chosen
    try:
        measure = study.variable(exams, name)
    except UnfitInputError as error:
        if error.code != "not-a-number":
            raise
        return _categories(section, study, (exams, groups), name, tests)
    missing = int((~measure.defined).sum())
    section.note_missing(measure.title, missing, "patients")
    if measure.yes_no:
        return _yes_no(measure.title, name, measure.values, groups, tests)
    values = {group: measure.values[where & measure.defined] for group, where in groups.items()}
    found = compare_groups(values, study.config["normality"], study.alpha)
    section.warnings += untested_warning(found, measure.title) if len(groups) > 1 else []
    tests[measure.title] = found.test
    how = spread
    if spread == BY_NORMALITY:
        # One form for the whole line.
        how = MEAN if all(one.normal for one in found.normality.values()) else MEDIAN
    everything = measure.values[measure.defined]
    decimals = decimals_of([everything])
    any_normality = next(iter(found.normality.values()))
    cells = [described(v, any_normality, how, decimals) for v in (everything, *values.values())]
    return [[measure.title, *cells, p_text(found.test.p)]], group_records(name, values, found, missing)


def _yes_no(
    title: str, name: str, values: np.ndarray, groups: Mapping[str, np.ndarray], tests: dict[str, TestOutcome]
) -> _Rows:
    known = np.isfinite(values)
    counts = np.array([[int((values[w & known] == flag).sum()) for w in groups.values()] for flag in (1.0, 0.0)])
    test = compare_counts(counts)
    tests[title] = test
    cells = [count_share(int(counts[0].sum()), int(counts.sum()))]
    cells += [count_share(int(yes), int(yes + no)) for yes, no in counts.T]
    return [[title, *cells, p_text(test.p)]], _count_records(name, ["yes", "no"], counts, groups, test)


def _categories(
    section: Section, study: StudyContext, chosen: tuple[DataFrame, Mapping[str, np.ndarray]], name: str,
    tests: dict[str, TestOutcome],
) -> _Rows:  # fmt: skip
    exams, groups = chosen
    own = words(exams, name)
    title = title_of(name, study.labels)
    section.note_missing(title, int((own == "").sum()), "patients")
    categories = sorted({word for word in own if word})
    counts = np.array([[int((own[where] == word).sum()) for where in groups.values()] for word in categories])
    if not categories:
        return [[title, *([UNDEFINED] * (len(groups) + 1)), UNDEFINED]], []
    test = compare_counts(counts)
    tests[title] = test
    rows = [[title, *([""] * (len(groups) + 1)), p_text(test.p)]]
    for word, line in zip(categories, counts, strict=True):
        cells = [count_share(int(line.sum()), int(counts.sum()))]
        cells += [count_share(int(count), int(of)) for count, of in zip(line, counts.sum(axis=0), strict=True)]
        rows.append([f"    {study.labels.get(word, word)}", *cells, ""])
    return rows, _count_records(name, categories, counts, groups, test)


def _count_records(
    name: str, categories: list[str], counts: np.ndarray, groups: Mapping[str, np.ndarray], test: TestOutcome
) -> list[dict[str, Cell]]:
    records: list[dict[str, Cell]] = [
        {"measure": name, "row": "count", "group": group, "category": word, "count": int(count)}
        for word, line in zip(categories, counts, strict=True)
        for group, count in zip(groups, line, strict=True)
    ]
    return [*records, {"measure": name, "row": "all groups", "group": "all", **test_record(test)}]


KIND = Kind(
    "table-one",
    "Baseline characteristics",
    ("H4",),
    {
        "variables": texts(REQUIRED, "columns and measures, in the order of the table"),
        "time": text("", "name of the time; each patient's first exam if empty"),
        "spread": choice(BY_NORMALITY, "how numbers are described", *SPREADS),
    },
    _fill,
)
