"""Each statistical method against R, a published table, or a definition worked out by another way."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("pandas")
pytest.importorskip("statsmodels")

from COVIDQuantLib.statistics.methods.backward import select_backward
from COVIDQuantLib.statistics.methods.correlations import correlate
from COVIDQuantLib.statistics.methods.counts import compare_counts
from COVIDQuantLib.statistics.methods.group_tests import compare_groups
from COVIDQuantLib.statistics.methods.kappa import cohens_kappa
from COVIDQuantLib.statistics.methods.logistic import fit_logistic, separated
from COVIDQuantLib.statistics.methods.normality import normality_of
from COVIDQuantLib.statistics.methods.paired_tests import compare_pairs
from COVIDQuantLib.statistics.methods.polynomials import fit_polynomial
from COVIDQuantLib.statistics.methods.roc import Share, compare_areas, roc_of
from COVIDQuantLib.statistics.report.numbers import number, p_text, p_words, ratio

A = np.array([2.1, 3.4, 1.9, 5.6, 4.4, 3.8, 2.7, 6.1, 4.9, 3.3, 2.2, 5.0])
B = np.array([4.2, 5.1, 6.3, 7.7, 5.9, 6.8, 8.1, 4.8, 7.2, 6.6])
C = np.array([5.5, 9.1, 7.4, 12.3, 8.8, 6.9, 10.2, 7.7])
P = np.array([3.1, 2.2, 5.9, 4.0, 8.8, 1.2, 7.7, 6.5, 2.9, 3.6])
Q = np.array([4.0, 2.0, 7.7, 5.5, 8.1, 1.9, 9.9, 9.1, 2.4, 6.0])
Y = np.array([1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1], bool)
X1 = np.array(
    [5.1, 2.3, 6.2, 4.8, 3.1, 4.9, 7.3, 2.2, 5.0, 3.3, 1.9, 4.4, 5.2, 6.6, 3.9, 2.8, 3.0, 4.1, 5.7, 6.1, 2.5, 3.5, 4.6,
     1.5, 5.9, 3.7, 2.9, 4.7, 3.8, 6.9]
)  # fmt: skip
X2 = np.array([1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1], float)
X3 = np.array([2, 3, 4, 5, 1, 2, 6, 3, 4, 2, 1, 3, 4, 5, 2, 2, 3, 1, 4, 5, 2, 3, 3, 1, 6, 2, 1, 4, 3, 4], float)
DAYS = np.array([1, 3, 4, 6, 8, 10, 12, 15, 17, 20, 24, 28], float)
COURSE = np.array([0.5, 1.9, 3.1, 4.6, 6.0, 6.9, 7.1, 6.8, 6.5, 5.2, 3.3, 1.0])


def near(value):
    return pytest.approx(value, rel=1e-6, abs=1e-9)


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


# ---------------------------------------------------------------------------------------------- correlation


# Residuals of ranks: cor(resid(lm(rank(p) ~ rank(z))), resid(lm(rank(q) ~ rank(z)))), 2 * pt(-abs(t), 7).
def test_partial_spearman_is_that_of_the_residuals_of_ranks():
    z = np.array([1, 5, 2, 7, 3, 9, 4, 8, 6, 10], float)
    found = correlate(P, Q, z)
    assert found.method == "partial Spearman correlation"
    assert (found.r, found.p) == (near(0.954797202362), near(6.18548048136e-05))
    assert correlate(P, Q).r == near(0.951515151515)  # cor(p, q, method="spearman")


def test_partial_spearman_is_pingouins():
    import pandas as pd
    import pingouin

    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.integers(0, 8, (40, 3)).astype(float), columns=["x", "y", "c"])
    expected = pingouin.partial_corr(frame, "x", "y", "c", method="spearman")
    found = correlate(*(frame[name].to_numpy() for name in ("x", "y", "c")))
    assert found.r == near(expected["r"].iloc[0])
    assert found.p == near(expected["p_val" if "p_val" in expected else "p-val"].iloc[0])


def test_correlations_without_an_answer_say_why():
    assert correlate(P[:2], Q[:2]).note == "too few pairs (2)"
    assert correlate(np.ones(9), Q[:9]).note == "all values of one side are equal"
    assert correlate(P, Q, P).note == "what is controlled for explains one side wholly"
    assert correlate(P, Q, np.ones(10)).r == near(0.951515151515)
    assert correlate(P, P, Q).r == near(1.0)


def test_pearsons_interval_is_fishers():
    from scipy import stats

    found = correlate(P, Q, rank=False)
    expected = stats.pearsonr(P, Q).confidence_interval(0.95)
    assert (found.lower, found.upper) == (near(expected.low), near(expected.high))


# ----------------------------------------------------------------------------------------------------- fits


# lm(v ~ poly(d, 3, raw=TRUE)), lm(v ~ 0 + d + I(d^2) + I(d^3)): coefficients, r.squared, P of F.
@pytest.mark.parametrize(
    ("origin", "coefficients", "r_squared", "p"),
    [
        (
            False,
            (-1.24171229938, 1.38779569148, -0.0678290249447, 0.000750678400484),
            0.990281747332,
            2.18654469963e-08,
        ),
        (True, (0.0, 1.04148376464, -0.0428799779046, 0.000237312306802), 0.993480904791, 3.76236669786e-10),
    ],
)
def test_cubic_fits_as_in_r(origin, coefficients, r_squared, p):
    fit = fit_polynomial(DAYS, COURSE, 3, origin=origin)
    assert fit.coefficients == pytest.approx(coefficients, rel=1e-6)
    assert (fit.r_squared, fit.p) == (near(r_squared), pytest.approx(p, rel=1e-5))


@settings(max_examples=30, deadline=None)
@given(st.floats(6, 24), st.floats(1, 60))
def test_the_peak_of_an_exact_parabola_is_found(day, height):
    x = np.linspace(0, 30, 12)
    fit = fit_polynomial(x, height - 0.05 * (x - day) ** 2, 2)
    assert (fit.peak.day, fit.peak.value) == (pytest.approx(day, rel=1e-6), pytest.approx(height, rel=1e-6))
    assert fit.r_squared == near(1.0)


def test_no_peak_is_made_up():
    x = np.arange(10.0)
    assert fit_polynomial(x, 2 * x + 1, 1).peak is None
    assert fit_polynomial(x, x**2, 2).peak is None
    assert fit_polynomial(x, -((x - 30) ** 2), 2).peak is None, "its top lies beyond the days observed"
    assert fit_polynomial(x, np.full(10, 3.0), 2).r_squared is None
    assert fit_polynomial(np.repeat([1.0, 2.0], 5), np.arange(10.0), 2) is None


def test_the_interval_of_the_peak_day_resamples_patients():
    rng = np.random.default_rng(4)
    x = rng.uniform(0, 30, 200)
    y = 20 - 0.05 * (x - 14) ** 2 + rng.normal(0, 2, 200)
    fit = fit_polynomial(x, y, 3, patients=np.arange(200) // 4)
    assert fit.peak.lower < fit.peak.day < fit.peak.upper
    assert fit.peak.upper - fit.peak.lower < 4
    assert fit_polynomial(x, y, 3, patients=np.arange(200) // 4).peak == fit.peak, "the seed is fixed"
    assert fit_polynomial(x, y, 3, patients=np.arange(200) % 3).peak.lower is None, "three patients are too few"


def test_an_equation_reads_as_it_is_written():
    fit = fit_polynomial(np.arange(5.0), -0.27 + 0.37 * np.arange(5.0) + 0.13 * np.arange(5.0) ** 2, 2)
    assert fit.equation == "y = −0.27 + 0.37x + 0.13x²"


# ---------------------------------------------------------------------------------------------------- kappa

# Changsha 2020, Table 4: cases (up up, up down, down up, down down), kappa, error, agreement and words as printed. The
# third line prints 54 cases, of which none can agree in 73.21 %; 56 can.
CHANGSHA = [
    ((49, 5, 7, 81), 0.8220, 0.0492, 0.9155, "very good"),
    ((70, 10, 17, 87), 0.7044, 0.0525, 0.8533, "good"),
    ((18, 5, 10, 23), 0.4643, 0.1184, 0.7321, "moderate"),
    ((25, 8, 18, 31), 0.3718, 0.1018, 0.6829, "fair"),
]


def ratings(table):
    pairs = list(itertools.product((1, -1), repeat=2))
    return np.array([pair for pair, count in zip(pairs, table, strict=True) for _ in range(count)]).T


@pytest.mark.parametrize(("table", "kappa", "error", "observed", "words"), CHANGSHA)
def test_kappa_of_the_published_table(table, kappa, error, observed, words):
    found = cohens_kappa(*ratings(table))
    assert found.kappa == pytest.approx(kappa, abs=5.1e-5)
    assert found.error == pytest.approx(error, abs=6e-5)
    assert found.observed == pytest.approx(observed, abs=5e-5)
    assert found.words == words


def test_no_54_cases_agree_in_73_21_percent():
    assert all(abs(agreeing / 54 - 0.7321) > 5e-5 for agreeing in range(55))


def test_kappa_is_scikit_learns_and_never_made_up():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 3, (2, 60))
    assert cohens_kappa(one, other).kappa == near(sklearn.cohen_kappa_score(one, other))
    assert cohens_kappa(np.ones(5), np.ones(5)).kappa is None
    assert cohens_kappa(np.array([]), np.array([])).note == "no cases"
    assert cohens_kappa(np.array([1, -1, 1, -1]), np.array([1, -1, 1, -1])).words == "very good"


# ------------------------------------------------------------------------------------------------- logistic


# glm(y ~ x1 + x2, family = binomial): coefficients, standard errors, P, AIC; drop1(test = "LRT").
def test_logistic_regression_as_in_r():
    model = fit_logistic(Y, {"x1": X1, "x2": X2})
    assert model.intercept == near(-7.73478833921)
    assert [one.beta for one in model.coefficients.values()] == [near(1.80142685495), near(-0.411654433606)]
    assert [one.p for one in model.coefficients.values()] == [near(0.00477870102091), near(0.716176518448)]
    assert model.aic == near(27.264877144)
    one = model.coefficients["x1"]
    assert one.upper == near(math.exp(1.80142685495 + 1.959963984540054 * 0.638445065201))
    selected = select_backward(Y, {"x1": X1, "x2": X2})
    assert [(step.name, step.p) for step in selected.removed] == [("x2", near(0.713766778938))]
    assert selected.model.names == ("x1",)


# glm(y ~ scale(x1)): exp(coef), exp(confint.default), AIC.
def test_odds_ratio_per_standard_deviation_as_in_r():
    model = fit_logistic(Y, {"x1": (X1 - X1.mean()) / X1.std(ddof=1)})
    one = model.coefficients["x1"]
    assert (one.odds_ratio, one.lower, one.upper) == (near(15.4866284056), near(2.34258467026), near(102.380785812))
    assert model.aic == near(25.399420789)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_units_do_not_change_a_model(scale):
    model = fit_logistic(Y, {"x1": X1 * scale + 3 * scale, "x2": X2})
    assert model.coefficients["x1"].beta * scale == near(1.80142685495)
    assert model.probability({"x1": X1 * scale + 3 * scale, "x2": X2}).sum() == near(Y.sum())


def test_separation_is_said():
    y = np.array([0, 0, 0, 1, 1, 1], bool)
    assert "separated" in fit_logistic(y, {"x": np.arange(6.0)}).note
    quasi = fit_logistic(y, {"x": np.array([0, 1, 2, 2, 3, 4.0])})
    assert "separated" in quasi.note, "ties alone do not save it"
    empty_cell = fit_logistic(
        np.repeat([False, True], 20), {"x": np.concatenate([np.zeros(20), np.tile([0.0, 1.0], 10)])}
    )
    assert "separated" in empty_cell.note
    assert not fit_logistic(Y, {"x1": X1}).note


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=6, max_size=14))
def test_separation_by_one_variable_is_that_of_its_definition(pairs):
    y, x = np.array([bool(a) for a, _ in pairs]), np.array([float(b) for _, b in pairs])
    assume(y.any())
    assume(not y.all())
    assume(np.ptp(x) > 0)
    apart = x[y].min() >= x[~y].max() or x[y].max() <= x[~y].min()
    assert separated(y, np.column_stack([np.ones(len(x)), x])) == apart


@pytest.mark.parametrize(
    ("y", "x", "note"),
    [
        (np.ones(5, bool), {"x": np.arange(5.0)}, "every one of the 5 cases has the same outcome"),
        (Y, {"flat": np.ones(30)}, "does not vary: flat"),
        (Y, {"x": X1, "twice": 2 * X1 + 1}, "one variable follows from the others"),
        (Y[:3], {"x": X1[:3], "z": X2[:3]}, "3 cases are too few for 2 variables"),
    ],
)
def test_models_that_cannot_be_fitted_say_why(y, x, note):
    model = fit_logistic(y, x)
    assert not model.sound
    assert model.note == note
    assert select_backward(y, x).model.note == note


def test_few_events_and_near_separation_are_warned_of():
    assert "fewer than 10 each" in fit_logistic(Y, {"x1": X1, "x2": X2}).warnings[0]
    y = np.arange(40) >= 20
    x = np.arange(40.0)
    x[[19, 20]] = x[[20, 19]]
    assert "all but separated" in fit_logistic(y, {"x": (x - x.mean()) / x.std()}).warnings[0]


# ------------------------------------------------------------------------------------------------------ ROC


# pROC 1.18: roc(y, x1, direction = "<"), ci.auc(method = "delong"), sqrt(var(r)), coords(r, "best"), roc.test(paired).
def test_roc_as_in_proc():
    found = roc_of(Y, X1)
    assert found.area == near(0.915178571429)
    assert (found.lower, found.upper) == (near(0.819505181328), 1.0)
    assert found.error == near(0.0488138510992)
    assert found.specificity.value == near(0.75)
    assert found.sensitivity.value == near(0.928571428571)
    # pROC gives the middle between two values, ours is the value at which one is called positive.
    assert found.cutoff == 3.9
    other = roc_of(Y, X3)
    assert other.area == near(0.881696428571)
    assert compare_areas(found, other) == near(0.536161884966)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=4, max_size=30))
def test_delong_by_its_definition(pairs):
    y, x = np.array([a for a, _ in pairs]), np.array([float(b) for _, b in pairs])
    assume(y.sum() > 1)
    assume((~y).sum() > 1)
    found = roc_of(y, x)
    wins = np.sign(x[y][:, None] - x[~y][None, :]) / 2 + 0.5
    assert found.area == near(wins.mean())
    variance = wins.mean(axis=1).var(ddof=1) / y.sum() + wins.mean(axis=0).var(ddof=1) / (~y).sum()
    assert found.error == pytest.approx(math.sqrt(variance), abs=1e-9)
    best = max((x[y] >= c).mean() + (x[~y] < c).mean() for c in [*np.unique(x), np.inf])
    assert found.sensitivity.value + found.specificity.value == near(best)
    mirrored = roc_of(y, -x, higher=False)
    assert (mirrored.area, mirrored.error) == (near(found.area), pytest.approx(found.error, abs=1e-9))
    assert mirrored.cutoff == -found.cutoff


def test_a_perfect_and_a_constant_marker_are_said():
    y = np.arange(10) > 4
    assert "wholly" in roc_of(y, np.arange(10.0)).note
    assert "does not vary" in roc_of(y, np.ones(10)).note
    assert roc_of(np.ones(4, bool), np.arange(4.0)) is None


def test_exact_intervals():
    found = Share.exact(73, 79)
    assert (found.lower, found.upper) == (near(0.841985877695), near(0.971618184375))  # binom.test(73, 79)
    assert (Share.exact(0, 5).lower, Share.exact(5, 5).upper) == (0.0, 1.0)


# -------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("p", "text", "words"),
    [(0.0004, "< .001", "P < .001"), (0.0123, ".012", "P = .012"), (0.9999, "> .999", "P > .999"), (None, "–", "P –")],
)
def test_p_values_in_print(p, text, words):
    assert (p_text(p), p_words(p)) == (text, words)


def test_numbers_in_print():
    assert [number(v, 1) for v in (-0.04, -3.25, None)] == ["0.0", "−3.2", "–"]
    assert [ratio(v) for v in (2.5, 1e9, 1e-9)] == ["2.500", "> 9999", "< 0.0001"]
