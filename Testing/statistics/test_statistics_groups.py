"""Comparing groups, pairs and counts: against R, a published table, or a definition worked out by another way."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statistics_world import X1, A, B, C, P, Q, near

pytest.importorskip("pandas")
pytest.importorskip("statsmodels")

from COVIDQuantLib.statistics.methods.counts import compare_counts
from COVIDQuantLib.statistics.methods.group_tests import compare_groups
from COVIDQuantLib.statistics.methods.normality import normality_of
from COVIDQuantLib.statistics.methods.paired_tests import compare_pairs

# ------------------------------------------------------------------------------------------- groups, R 4.2.2


# t.test(a, b, var.equal=TRUE); Levene: anova of abs(v - mean(v)).
def test_two_normal_groups_are_compared_by_t():
    found = compare_groups({"a": A, "b": B}).test
    assert found.method == "Student's t test"
    assert found.p == near(0.000365217494909)
    assert "Levene P = 0.581" in found.why


# summary(aov(x ~ g)).
def test_three_normal_groups_are_compared_by_analysis_of_variance():
    found = compare_groups({"a": A, "b": B, "c": C})
    assert found.test.method == "one-way analysis of variance"
    assert (found.test.p, found.test.statistic) == (near(2.52834445629e-06), near(21.5702200895))
    assert [pair.threshold for pair in found.pairs] == [0.05 / 3] * 3


# t.test(a, c) and oneway.test(x ~ g), of unequal variances.
def test_unequal_variances_are_compared_by_welch():
    wide = C * 3 - 16
    two, three = compare_groups({"a": A, "c": wide}).test, compare_groups({"a": A, "b": B, "c": wide}).test
    assert two.method == "Welch's t test"
    assert three.method == "Welch's analysis of variance"
    from scipy import stats

    assert two.p == near(stats.ttest_ind(A, wide, equal_var=False).pvalue)
    assert three.p == near(welch_anova(A, B, wide))


def welch_anova(*groups):
    """Welch 1951, written out."""
    from scipy import stats

    n, means = np.array([len(g) for g in groups]), np.array([g.mean() for g in groups])
    w = n / np.array([g.var(ddof=1) for g in groups])
    mean = (w * means).sum() / w.sum()
    k = len(groups)
    rest = ((1 - w / w.sum()) ** 2 / (n - 1)).sum()
    f = (w * (means - mean) ** 2).sum() / (k - 1) / (1 + 2 * (k - 2) / (k**2 - 1) * rest)
    return float(stats.f.sf(f, k - 1, (k**2 - 1) / (3 * rest)))


def test_welch_written_out_is_that_of_r():
    assert welch_anova(A, B, C) == near(9.69414348352e-05)  # oneway.test(x ~ g)


# kruskal.test(list(a, b, c)); wilcox.test(a, c, exact=TRUE); wilcox.test(a2, b2, exact=FALSE, correct=TRUE).
def test_groups_that_are_not_normal_are_compared_by_ranks():
    far = np.concatenate([C[:-1], [4000.0]])
    found = compare_groups({"a": A, "b": B, "c": far})
    assert found.test.method == "Kruskal–Wallis test"
    assert found.test.why == "not normal: c"
    two = compare_groups({"a": A, "c": far}).test
    assert two.method == "Mann–Whitney U test, exact"
    from COVIDQuantLib.statistics.methods.group_tests import _by_ranks

    assert _by_ranks([A, B, C], 30, "").p == near(9.23669419461e-05)
    assert _by_ranks([A, C], 20, "").p == near(6.35071842502e-05)
    ties = _by_ranks([np.append(A, [2.1, 5.0]), np.append(B, [5.1, 5.0])], 26, "")
    assert "continuity" in ties.method
    assert ties.p == near(0.00089718083064)


# t.test(q, p, paired=TRUE); wilcox.test(q, p, paired=TRUE, exact=TRUE); the last exact=FALSE, correct=FALSE.
def test_pairs_are_compared_as_their_differences_allow():
    found, normality = compare_pairs(P, Q)
    assert normality.normal
    assert (found.method, found.p) == ("paired t test", near(0.0219437719774))
    far = Q.copy()
    far[7] = 900.0
    found, normality = compare_pairs(P, far)
    assert not normality.normal
    assert found.method == "Wilcoxon signed-rank test, exact"
    assert found.p == near(0.037109375)
    same = far.copy()
    same[1], same[2] = P[1], P[2] + 0.9
    found, _ = compare_pairs(P, same)
    assert found.method == "Wilcoxon signed-rank test, exact"
    assert found.p == near(all_signs(same - P))
    assert found.note == "1 unchanged pairs carry no rank"
    tied = np.array([1.0, 1, 2, 2, -1, 3, 40, 0, 2]), np.zeros(9)
    found, _ = compare_pairs(tied[1], tied[0])
    assert found.method == "Wilcoxon signed-rank test, exact, by all permutations"
    assert found.p == near(all_signs(tied[0]))
    many = np.tile(same, 2), np.tile(P, 2)
    from scipy import stats

    found, _ = compare_pairs(many[1], many[0])
    assert found.method == "Wilcoxon signed-rank test, normal approximation"
    assert found.p == near(stats.wilcoxon(*many, method="approx", correction=False).pvalue)


def all_signs(difference):
    """Wilcoxon's P by its definition: the share of all signs whose statistic is as far from the middle."""
    from scipy import stats

    moved = difference[difference != 0]
    ranks = stats.rankdata(np.abs(moved))
    sums = np.array([ranks @ np.array(signs) for signs in itertools.product((0, 1), repeat=len(moved))])
    own, middle = ranks @ (moved > 0), ranks.sum() / 2
    return float((np.abs(sums - middle) >= abs(own - middle) - 1e-9).mean())


def test_small_groups_with_ties_are_compared_exactly():
    from COVIDQuantLib.statistics.methods.group_tests import _by_ranks

    one, other = np.array([0.0, 0, 0, 1, 2, 2]), np.array([1.0, 2, 3, 3, 4])
    found = _by_ranks([one, other], 11, "")
    assert found.method == "Mann–Whitney U test, exact, by all permutations"
    both = np.concatenate([one, other])
    us = np.array(
        [
            (np.sign(both[list(chosen)][:, None] - np.delete(both, chosen)[None, :]) / 2 + 0.5).sum()
            for chosen in itertools.combinations(range(11), 6)
        ]
    )
    own = (np.sign(one[:, None] - other[None, :]) / 2 + 0.5).sum()
    assert found.p == near(min(1.0, 2 * min((us <= own).mean(), (us >= own).mean())))


def test_normality():
    from scipy import stats
    from statsmodels.stats.diagnostic import lilliefors

    assert normality_of(C, "shapiro-wilk").p == near(0.942163914559)  # shapiro.test(c)
    # The statistic written out in R: max over both steps of the empirical distribution.
    assert lilliefors(X1)[0] == near(0.0726355449005)
    skewed = np.exp(np.linspace(0, 6, 40))
    assert not normality_of(skewed).normal
    assert normality_of(stats.norm.ppf((np.arange(40) + 0.5) / 40)).normal


@pytest.mark.parametrize(
    ("values", "note"), [([1.0, 2.0, 3.0], "too few values to test (3)"), ([4.0] * 9, "all values are equal")]
)
def test_what_cannot_be_tested_for_normality_is_not_called_normal(values, note):
    found = normality_of(np.array(values))
    assert not found.normal
    assert found.words == note


def test_small_and_constant_groups_are_said_not_hidden():
    found = compare_groups({"one": np.array([5.0]), "a": A, "b": B})
    assert found.untested == ("one",)
    assert found.test.p == near(0.000365217494909)
    assert compare_groups({"one": np.array([5.0]), "a": A}).test.note == "fewer than two groups have two or more values"
    flat = compare_groups({"a": np.zeros(5), "b": np.zeros(4)}).test
    assert (flat.p, flat.note) == (None, "all values are equal")
    assert compare_pairs(P, P)[0].note == "no patient's value changed"
    assert "fewer than two patients" in compare_pairs(P[:1], Q[:1])[0].note


# --------------------------------------------------------------------------------------------------- counts

# Huang 2020, Table 1: counts by type (6, 94, 20, 6) and the printed P.
HUANG_COUNTS = {
    "diabetes": ([0, 3, 2, 2], 0.036),
    "COPD": ([1, 0, 0, 1], 0.008),
    "CAD": ([0, 4, 1, 2], 0.085),
    "fever": ([6, 85, 20, 6], 0.598),
    "fatigue": ([0, 14, 5, 0], 0.416),
    "chest distress": ([0, 7, 2, 0], 0.865),
    "headache": ([0, 3, 2, 0], 0.526),
    "diarrhea": ([0, 4, 0, 0], 1.000),
    "sore throat": ([0, 1, 1, 0], 0.445),
}


@pytest.mark.parametrize("name", HUANG_COUNTS)
def test_fishers_test_gives_the_published_p(name):
    counts, p = HUANG_COUNTS[name]
    found = compare_counts(np.stack([counts, np.array([6, 94, 20, 6]) - counts]))
    assert found.method == "Fisher's exact test"
    assert found.p == pytest.approx(p, abs=0.0005)


# fisher.test(matrix(...)) and chisq.test(..., correct=FALSE).
@pytest.mark.parametrize(
    ("table", "p", "method"),
    [
        ([[3, 49, 11, 4], [3, 45, 9, 2]], 0.962450008252, "Fisher's exact test"),
        ([[1, 4, 2, 3], [5, 90, 18, 3]], 0.00452869710668, "Fisher's exact test"),
        ([[30, 25], [20, 35]], 0.0555110980979, "Pearson's χ² test"),
    ],
)
def test_counts_as_in_r(table, p, method):
    found = compare_counts(np.array(table))
    assert (found.method, found.p) == (method, near(p))
    assert compare_counts(np.array(table).T).p == near(p)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=2))
def test_fishers_test_of_two_by_two_is_scipys(table):
    from scipy import stats

    counts = np.array(table)
    assume(counts.sum(axis=0).min() > 0)
    assume(counts.sum(axis=1).min() > 0)
    found = compare_counts(counts)
    if found.method == "Fisher's exact test":
        assert found.p == near(stats.fisher_exact(counts).pvalue)


def test_larger_tables_are_sampled_with_a_fixed_seed():
    table = np.array([[5, 1, 0], [1, 4, 2], [0, 2, 6]])
    found = compare_counts(table)
    assert found.method == "Fisher's exact test, 20000 sampled tables"
    assert found.p == compare_counts(table).p
    assert found.p == pytest.approx(0.002596818, abs=0.0012)  # fisher.test(table)
    assert compare_counts(np.array([[4, 5], [0, 0]])).note.startswith("all patients are in one category")
