"""Change of measures between the exams of a patient (papers.md row H2; Huang 2020, Table 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.evaluation.agreement import Spread
from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.statistics.analyses.describe import chosen_tests, decimals_of, normality_sentence, test_record
from COVIDQuantLib.statistics.analyses.kind import Kind
from COVIDQuantLib.statistics.context import ALL, StudyContext
from COVIDQuantLib.statistics.figures.boxes import BoxPanel, box_records, draw_boxes
from COVIDQuantLib.statistics.methods.outcome import TestOutcome
from COVIDQuantLib.statistics.methods.paired_tests import compare_pairs
from COVIDQuantLib.statistics.report.numbers import counted, median_iqr, p_text, p_words
from COVIDQuantLib.statistics.report.sections import Figure, Section, Table
from COVIDQuantLib.system.settings_schema import REQUIRED, texts, truth

if TYPE_CHECKING:
    from pandas import DataFrame

_QUARTILES = "Values are median (first, third quartile) of the patients who have both exams."
# Measures of which the figure shows the values.
_MOST_SHOWN = 6


def _fill(section: Section, study: StudyContext, settings: Mapping[str, Any]) -> None:
    times = settings["times"]
    if len(times) < 2:
        raise UsageError("changes need two times or more", "the study", 'Give times = ["…", "…"].', code="study-config")
    section.methods.append(normality_sentence(study.config["normality"], study.alpha))
    tests: dict[str, TestOutcome] = {}
    panels: list[BoxPanel] = []
    for first, second in pairwise(times):
        both = _pairs(study, first, second)
        groups = {ALL: np.ones(len(both), bool)}
        if settings["by_group"]:
            groups |= study.groups(both)
        for group, where in groups.items():
            _table(section, study, settings, (both[where], group, first, second), tests)
        panels += [_panel(study, both, name, first, second) for name in settings["measures"][:_MOST_SHOWN]]
    caption = "The same patients at both exams; boxes as quartiles, whiskers within 1.5 times their distance."
    if any(panel.brackets for panel in panels):
        caption += f" *, P < {study.alpha:g}."
    if len(settings["measures"]) > _MOST_SHOWN:
        caption += f" The first {_MOST_SHOWN} measures are shown."
    section.figures.append(Figure(section.title, caption, lambda: draw_boxes(panels), box_records(panels)))
    section.methods += chosen_tests(tests)


def _pairs(study: StudyContext, first: str, second: str) -> DataFrame:
    """A row per patient with both exams; the later exam's columns end in ``|later``."""
    one, other = study.at(first), study.at(second)
    return one.merge(other, on="patient", suffixes=("", "|later"))


def _both(study: StudyContext, both: DataFrame, name: str) -> tuple[str, np.ndarray, np.ndarray]:
    earlier = study.variable(both, name)
    later = study.variable(both, f"{name}|later")
    known = earlier.defined & later.defined
    return earlier.title, earlier.values[known], later.values[known]


def _table(
    section: Section, study: StudyContext, settings: Mapping[str, Any], chosen: tuple[DataFrame, str, str, str],
    tests: dict[str, TestOutcome],
) -> None:  # fmt: skip
    both, group, first, second = chosen
    rows, records = [], []
    undefined = 0
    for name in settings["measures"]:
        title, one, other = _both(study, both, name)
        what = f"{title} at {first} and {second}" + ("" if group == ALL else f" ({group})")
        section.note_missing(what, len(both) - len(one), "patients")
        test, normality = compare_pairs(one, other, study.config["normality"], study.alpha)
        tests[f"{title}, {first} – {second}" + ("" if group == ALL else f", {group}")] = test
        started = one != 0
        percent = 100.0 * (other[started] - one[started]) / one[started]
        undefined = max(undefined, int((~started).sum()))
        decimals = decimals_of([one, other])
        cells = [median_iqr(Spread.of(values), decimals) for values in (one, other)]
        rows.append([title, str(len(one)), *cells, median_iqr(Spread.of(percent), 1), p_text(test.p)])
        head: dict[str, Cell] = {"group": group, "measure": name, "first": first, "second": second}
        for what_, values in ((first, one), (second, other), ("difference", other - one), ("percent change", percent)):
            records.append({**head, "values": what_, **asdict(Spread.of(values))})
        test_row = {**head, "values": "test", **test_record(test)}
        records.append(test_row | {"normality_p": normality.p, "percent_undefined": int((~started).sum())})
    notes = [_QUARTILES, f"Change (%) is that from {first} to {second}, of each patient."]
    if undefined:
        most = counted(undefined, "patients")
        notes.append(f"A change from 0 has no percentage: that column alone is without up to {most}.")
    title = f"{section.title}: {first} to {second}" + ("" if group == ALL else f", {group}")
    columns = ["", "n", first, second, "Change (%)", "P"]
    section.tables.append(Table(title, columns, rows, records, notes))


def _panel(study: StudyContext, both: DataFrame, name: str, first: str, second: str) -> BoxPanel:
    title, one, other = _both(study, both, name)
    test, _ = compare_pairs(one, other, study.config["normality"], study.alpha)
    mark = [(first, second, "*")] if test.below(study.alpha) else []
    head = f"{test.method.partition(',')[0]}, {p_words(test.p)}" if test.p is not None else test.note
    return BoxPanel(title, {first: one, second: other}, mark, head)


KIND = Kind(
    "changes",
    "Change between exams",
    ("H2",),
    {
        "measures": texts(REQUIRED, "variables to follow"),
        "times": texts(REQUIRED, "names of times, compared one after the other"),
        "by_group": truth(False, "whether each group is tested by itself too"),
    },
    _fill,
)
