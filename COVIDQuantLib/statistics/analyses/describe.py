"""Groups described and compared: what several kinds of analysis share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from COVIDQuantLib.evaluation.agreement import Spread
from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.statistics.methods.group_tests import GroupComparison
from COVIDQuantLib.statistics.methods.normality import NORMALITY_TESTS, Normality
from COVIDQuantLib.statistics.methods.outcome import TestOutcome
from COVIDQuantLib.statistics.report.numbers import UNDEFINED, decimals_for, mean_sd, median_iqr

LETTERS = "abcdefghijklm"
SUPERSCRIPTS = "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐ"
BY_NORMALITY, MEDIAN, MEAN = "by normality", "median", "mean"
SPREADS = (BY_NORMALITY, MEDIAN, MEAN)
DESCRIPTION = {
    BY_NORMALITY: "Values are mean ± standard deviation if normally distributed, else median (first, third quartile).",
    MEDIAN: "Values are median (first, third quartile).",
    MEAN: "Values are mean ± standard deviation.",
}


def decimals_of(values: Sequence[np.ndarray]) -> int:
    """Decimals for one row of a table, by its largest value."""
    sizes = [float(np.abs(v).max()) for v in values if len(v)]
    return decimals_for(max(sizes, default=0.0))


def described(values: np.ndarray, normality: Normality, how: str, decimals: int) -> str:
    """One cell: mean ± SD or median (IQR)."""
    spread = Spread.of(values)
    by_mean = normality.normal if how == BY_NORMALITY else how == MEAN
    return mean_sd(spread, decimals) if by_mean else median_iqr(spread, decimals)


def marks_of(comparison: GroupComparison, names: Sequence[str]) -> dict[str, str]:
    """The letters of the groups from which each differs, by pair and divided level."""
    marks = dict.fromkeys(names, "")
    for pair in comparison.pairs:
        if pair.significant:
            for one, other in ((pair.one, pair.other), (pair.other, pair.one)):
                marks[one] += SUPERSCRIPTS[names.index(other) % len(SUPERSCRIPTS)]
    return {name: "".join(sorted(mark, key=SUPERSCRIPTS.index)) for name, mark in marks.items()}


def group_records(
    measure: str, groups: Mapping[str, np.ndarray], comparison: GroupComparison, left_out: int, **head: Cell
) -> list[dict[str, Cell]]:
    """Everything about one comparison in full precision: each group, all groups, each pair."""
    start: dict[str, Cell] = {**head, "measure": measure}
    records = []
    for name, values in groups.items():
        normality = comparison.normality[name]
        spread = asdict(Spread.of(values))
        shown = {"normality_method": normality.method, "normality_p": normality.p, "note": normality.note}
        records.append({**start, "row": "group", "group": name, **spread, **shown})
    records.append({**start, "row": "all groups", "group": "all", **test_record(comparison.test), "left_out": left_out})
    for pair in comparison.pairs:
        names: dict[str, Cell] = {"row": "pair", "group": f"{pair.one} – {pair.other}"}
        of_pair: dict[str, Cell] = {"threshold": pair.threshold, "significant": "yes" if pair.significant else "no"}
        records.append({**start, **names, **test_record(pair.test), **of_pair})
    return records


def test_record(test: TestOutcome) -> dict[str, Cell]:
    """A test as columns."""
    return {"n": test.n, "method": test.method, "statistic": test.statistic, "p": test.p, "why": test.why,
            "note": test.note}  # fmt: skip


def chosen_tests(tests: Mapping[str, TestOutcome]) -> list[str]:
    """Sentences that say which test was used for what, and why."""
    by_method: dict[str, list[str]] = {}
    for measure, test in tests.items():
        text = (
            f"{test.method} ({test.why})" if test.why else f"{test.method} ({test.note})" if test.note else test.method
        )
        by_method.setdefault(text, []).append(measure)
    return [f"{text}: {', '.join(measures)}." for text, measures in by_method.items()]


def normality_sentence(test: str, alpha: float) -> str:
    """How normality was tested."""
    return f"Normality: {NORMALITY_TESTS[test][0]}, rejected at P < {alpha:g}."


def untested_warning(comparison: GroupComparison, measure: str) -> list[str]:
    """A warning if a group is too small to be tested."""
    if not comparison.untested:
        return []
    names = ", ".join(comparison.untested)
    return [f"{measure}: {names}: fewer than two values, described but not tested"]


def or_undefined(text: str) -> str:
    """The text, or a dash for none."""
    return text or UNDEFINED
