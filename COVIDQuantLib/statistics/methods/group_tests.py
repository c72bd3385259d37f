"""Compare a measure between groups: the test that fits the distributions, and every pair (papers.md rows H4, P7)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from COVIDQuantLib.statistics.methods.normality import Normality, normality_of
from COVIDQuantLib.statistics.methods.outcome import MOST_PERMUTATIONS, TestOutcome, finite

# The smaller group up to which the distribution of U is enumerated, as in scipy.
_EXACT_SIZE = 8


@dataclass(frozen=True)
class PairOutcome:
    """Two groups compared.

    Attributes:
        one, other: the groups.
        test: the outcome, p as the test gives it.
        threshold: significance level divided by the number of pairs (Bonferroni as in Huang 2020, P < .05/6).
    """

    one: str
    other: str
    test: TestOutcome
    threshold: float

    @property
    def significant(self) -> bool:
        """Whether p is below the divided level."""
        return self.test.below(self.threshold)


@dataclass(frozen=True)
class GroupComparison:
    """All groups compared.

    Attributes:
        normality: of each group.
        test: over all groups.
        pairs: every two groups; empty if there are only two.
        untested: groups with fewer than two values, which are described but not tested.
    """

    normality: dict[str, Normality]
    test: TestOutcome
    pairs: tuple[PairOutcome, ...]
    untested: tuple[str, ...]


def compare_groups(
    groups: Mapping[str, np.ndarray], normality: str = "kolmogorov-smirnov", alpha: float = 0.05
) -> GroupComparison:
    """Test whether groups differ, with the test that their distributions allow.

    All groups normal: t test or analysis of variance, by Welch if Levene's test rejects equal variances. Otherwise
    Mann–Whitney U or Kruskal–Wallis. With more than two groups every pair is compared too, by the same rule.

    Args:
        groups: defined values by group.
        normality: test of normality.
        alpha: level of significance.
    """
    tested = {name: np.asarray(values, float) for name, values in groups.items() if len(values) >= 2}
    untested = tuple(name for name, values in groups.items() if len(values) < 2)
    normal = {name: normality_of(np.asarray(v, float), normality, alpha) for name, v in groups.items()}
    pairs = list(combinations(tested, 2)) if len(tested) > 2 else []
    outcomes = tuple(
        PairOutcome(a, b, _test({a: tested[a], b: tested[b]}, normal, alpha), alpha / len(pairs)) for a, b in pairs
    )
    return GroupComparison(normal, _test(tested, normal, alpha), outcomes, untested)


def _test(groups: Mapping[str, np.ndarray], normality: Mapping[str, Normality], alpha: float) -> TestOutcome:
    samples = list(groups.values())
    n = sum(len(values) for values in samples)
    if len(samples) < 2:
        return TestOutcome("none", n, note="fewer than two groups have two or more values")
    if np.ptp(np.concatenate(samples)) == 0:
        return TestOutcome("none", n, note="all values are equal")
    skewed = [name for name in groups if not normality[name].normal]
    if skewed:
        return _by_ranks(samples, n, f"not normal: {', '.join(skewed)}")
    return _by_means(samples, n, alpha)


def _by_means(samples: list[np.ndarray], n: int, alpha: float) -> TestOutcome:
    from scipy import stats

    # Around the means, as the papers' programs do.
    levene = float(stats.levene(*samples, center="mean").pvalue)
    equal = not levene < alpha
    why = f"all groups normal, variances {'equal' if equal else 'unequal'} (Levene P = {levene:.3g})"
    if len(samples) == 2:
        found = stats.ttest_ind(*samples, equal_var=equal)
        name = "Student's t test" if equal else "Welch's t test"
        return TestOutcome(name, n, finite(found.statistic), finite(found.pvalue), why)
    if equal:
        found = stats.f_oneway(*samples)
        return TestOutcome("one-way analysis of variance", n, finite(found.statistic), finite(found.pvalue), why)
    from statsmodels.stats.oneway import anova_oneway

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        welch = anova_oneway(samples, use_var="unequal", welch_correction=True)
    return TestOutcome("Welch's analysis of variance", n, finite(welch.statistic), finite(welch.pvalue), why)


def _by_ranks(samples: list[np.ndarray], n: int, why: str) -> TestOutcome:
    from scipy import stats

    if len(samples) > 2:
        found = stats.kruskal(*samples)
        return TestOutcome("Kruskal–Wallis test", n, finite(found.statistic), finite(found.pvalue), why)
    ties = len(np.unique(np.concatenate(samples))) < n
    form, method = "normal approximation with continuity correction", "asymptotic"
    if not ties and min(map(len, samples)) <= _EXACT_SIZE:
        form = method = "exact"
    elif ties and math.comb(n, len(samples[0])) <= MOST_PERMUTATIONS:
        form, method = "exact, by all permutations", stats.PermutationMethod(n_resamples=MOST_PERMUTATIONS)
    found = stats.mannwhitneyu(*samples, method=method)
    return TestOutcome(f"Mann–Whitney U test, {form}", n, finite(found.statistic), finite(found.pvalue), why)
