"""Compare two exams of the same patients (papers.md rows H2, H4)."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.statistics.methods.normality import Normality, normality_of
from COVIDQuantLib.statistics.methods.outcome import MOST_PERMUTATIONS, TestOutcome, finite

# Up to this many pairs without ties the distribution of Wilcoxon's statistic is enumerated.
_EXACT_PAIRS = 50


def compare_pairs(
    first: np.ndarray, second: np.ndarray, normality: str = "kolmogorov-smirnov", alpha: float = 0.05
) -> tuple[TestOutcome, Normality]:
    """Paired t test if the differences are normal, else Wilcoxon's signed-rank test.

    Args:
        first: one value per patient.
        second: the same patients' later values.
        normality: test of normality of the differences.
        alpha: level of the normality test.

    Returns:
        The outcome, and the normality of the differences second − first.
    """
    from scipy import stats

    one, other = np.asarray(first, float), np.asarray(second, float)
    difference = other - one
    n = len(difference)
    normal = normality_of(difference, normality, alpha)
    if n < 2:
        return TestOutcome("none", n, note=f"fewer than two patients have both exams ({n})"), normal
    if not difference.any():
        return TestOutcome("none", n, note="no patient's value changed"), normal
    why = f"differences {normal.words}"
    if normal.normal:
        found = stats.ttest_rel(other, one)
        return TestOutcome("paired t test", n, finite(found.statistic), finite(found.pvalue), why), normal
    moved = difference[difference != 0]
    ties = len(np.unique(np.abs(moved))) < len(moved)
    form, method = "normal approximation", "approx"
    if not ties and len(moved) <= _EXACT_PAIRS:
        form = method = "exact"
    elif 2 ** len(moved) <= MOST_PERMUTATIONS:
        form, method = "exact, by all permutations", stats.PermutationMethod(n_resamples=MOST_PERMUTATIONS)
    found = stats.wilcoxon(moved, method=method)
    dropped = n - len(moved)
    note = f"{dropped} unchanged pairs carry no rank" if dropped else ""
    name = f"Wilcoxon signed-rank test, {form}"
    return TestOutcome(name, n, finite(found.statistic), finite(found.pvalue), why, note), normal
