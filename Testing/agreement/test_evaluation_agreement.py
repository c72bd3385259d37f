"""Agreement statistics: published examples, hand-worked truth, scipy, and properties that hold for any data."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from COVIDQuantLib.evaluation.agreement import (
    BlandAltman,
    PairedAgreement,
    Spread,
    icc_agreement,
    pearson,
    spearman,
)

# Shrout and Fleiss 1979, Table 2: six targets, four judges.
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
# Bland and Altman 1986, Table 1: peak flow of 17 people by a large and a mini meter, first readings, l/min.
LARGE_METER = np.array([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427], float)
MINI_METER = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451], float)
# Yoo 2022, Table 1: 95 % limits of agreement at two levels, for each data set and quantity.
YOO_LIMITS = {
    "internal extent": ((10, -4.0, 5.4), (50, -9.7, 11.1)),
    "Italy extent": ((10, -10.1, 15.1), (50, -25.6, 30.6)),
    "Radiopaedia extent": ((10, -4.0, 7.4), (50, -11.0, 14.4)),
    "China extent": ((10, -4.6, 8.4), (50, -12.6, 16.4)),
    "internal weight": ((100, -41.4, 55.5), (500, -101.3, 115.4)),
    "Italy weight": ((10, -3.6, 3.5), (50, -7.9, 7.8)),
    "Radiopaedia weight": ((100, -57.9, 97.2), (500, -153.8, 193.1)),
    "China weight": ((100, -32.4, 68.2), (500, -94.5, 130.3)),
}

figures = st.lists(
    st.tuples(st.floats(0, 100, allow_subnormal=False), st.floats(0, 100, allow_subnormal=False)),
    min_size=3,
    max_size=12,
)


def made_ratings(scans, scatter):
    """Two measurements of every scan, the second with an offset; shape (scans, 2)."""
    rng = np.random.default_rng(scans)
    truth = rng.gamma(2.0, 10.0, scans)
    return np.stack([truth + rng.normal(0, scatter, scans), truth + 1.5 + rng.normal(0, scatter, scans)], axis=1)


def columns(pairs):
    both = np.array(pairs)
    return both[:, 0], both[:, 1]


# ------------------------------------------------------------------------------------------------------------- ICC


def test_icc_of_the_published_example():
    found = icc_agreement(SHROUT_FLEISS)
    assert found.value == pytest.approx(0.29, abs=0.005)
    # As the usual statistics packages print the interval of ICC(2,1) for these data.
    assert (found.lower, found.upper) == (pytest.approx(0.019, abs=0.001), pytest.approx(0.761, abs=0.001))


@pytest.mark.parametrize("scatter", [0.5, 3.0, 20.0])
@pytest.mark.parametrize("scans", [4, 12, 40])
def test_icc_agrees_with_pingouin(scans, scatter):
    pandas, pingouin = pytest.importorskip("pandas"), pytest.importorskip("pingouin")
    ratings = made_ratings(scans, scatter)
    rows = [(scan, rater, ratings[scan, rater]) for scan, rater in np.ndindex(ratings.shape)]
    table = pandas.DataFrame(rows, columns=["scan", "rater", "value"])
    table = pingouin.intraclass_corr(table, targets="scan", raters="rater", ratings="value")
    # ICC2 and CI95% until pingouin 0.5, rounded to two digits in all of them.
    expected = table[table["Type"].isin(["ICC2", "ICC(A,1)"])].iloc[0]
    found = icc_agreement(ratings)
    assert found.value == pytest.approx(expected["ICC"], abs=1e-9)
    interval = expected["CI95" if "CI95" in table else "CI95%"]
    assert [found.lower, found.upper] == pytest.approx(list(interval), abs=0.00501)


def test_icc_by_the_analysis_of_variance_written_out():
    ratings = SHROUT_FLEISS
    n, k = ratings.shape
    grand = ratings.mean()
    rows = k * sum((row.mean() - grand) ** 2 for row in ratings) / (n - 1)
    columns_ = n * sum((column.mean() - grand) ** 2 for column in ratings.T) / (k - 1)
    total = ((ratings - grand) ** 2).sum()
    error = (total - rows * (n - 1) - columns_ * (k - 1)) / ((n - 1) * (k - 1))
    expected = (rows - error) / (rows + (k - 1) * error + k / n * (columns_ - error))
    assert icc_agreement(ratings).value == pytest.approx(expected, rel=1e-12)


def test_a_constant_offset_lowers_icc_as_worked_by_hand():
    values = np.array([1.0, 4.0, 10.0, 30.0])
    offset = 5.0
    variance = values.var(ddof=1)
    found = icc_agreement(np.stack([values + offset, values], axis=1))
    assert found.value == pytest.approx(2 * variance / (2 * variance + offset**2))


def test_icc_of_identical_measurements_is_1():
    values = np.array([0.1, 3.7, 12.9, 55.1])
    found = icc_agreement(np.stack([values, values], axis=1))
    assert found.value == pytest.approx(1.0)
    assert found.lower == pytest.approx(1.0)


@pytest.mark.parametrize(
    "ratings", [np.full((5, 2), 3.3), np.ones((1, 2)), np.ones((4, 1)), np.tile([1.0, 2.0], (4, 1))]
)
def test_icc_is_undefined_where_nothing_varies_from_scan_to_scan(ratings):
    assert icc_agreement(ratings) is None


@settings(deadline=None, max_examples=50)
@given(figures, st.randoms(use_true_random=False))
def test_icc_does_not_depend_on_the_order_of_scans_or_sides(pairs, random):
    one = icc_agreement(np.array(pairs))
    shuffled = list(pairs)
    random.shuffle(shuffled)
    for other in (icc_agreement(np.array(shuffled)), icc_agreement(np.array(pairs)[:, ::-1])):
        assert (one is None) == (other is None)
        if one is not None:
            assert other.value == pytest.approx(one.value, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(figures)
def test_icc_is_never_above_1_and_lies_in_its_interval(pairs):
    found = icc_agreement(np.array(pairs))
    if found is not None:
        assert found.value <= 1 + 1e-12
        if found.lower is not None and found.upper is not None:
            assert found.lower - 1e-9 <= found.value <= found.upper + 1e-9


# ----------------------------------------------------------------------------------------------------- correlation


def test_correlations_agree_with_scipy():
    rng = np.random.default_rng(3)
    one = rng.normal(size=20)
    other = one + rng.normal(size=20)
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        found, expected = ours(one, other), theirs(one, other)
        assert (found.r, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_spearman_of_few_scans_has_the_exact_p():
    one, other = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])
    expected = stats.permutation_test(
        (one,),
        lambda x: stats.spearmanr(x, other).statistic,
        permutation_type="pairings",
        n_resamples=np.inf,
    )
    assert spearman(one, other).p == pytest.approx(expected.pvalue, abs=1e-3)
    # All of five orders: the best there is, and its mirror image.
    assert spearman(one, one).p == pytest.approx(2 / math.factorial(5))


@pytest.mark.parametrize("correlation", [pearson, spearman])
def test_correlation_is_undefined_for_two_scans_or_a_constant(correlation):
    assert correlation(np.array([1.0, 2]), np.array([1.0, 2])) is None
    assert correlation(np.array([1.0, 1, 1]), np.array([1.0, 2, 3])) is None


# ---------------------------------------------------------------------------------------------------- Bland, Altman


def test_bland_altman_of_the_published_example():
    found = BlandAltman.of(LARGE_METER, MINI_METER)
    assert (found.mean, found.sd) == (pytest.approx(-2.1, abs=0.05), pytest.approx(38.8, abs=0.05))
    assert found.limits == (pytest.approx(-2.1 - 1.96 * 38.8, abs=0.15), pytest.approx(-2.1 + 1.96 * 38.8, abs=0.15))
    assert pearson(LARGE_METER, MINI_METER).r == pytest.approx(0.943, abs=0.001)


@pytest.mark.parametrize("scatter", [0.5, 20.0])
def test_bland_altman_agrees_with_statsmodels(scatter):
    """The three lines that statsmodels draws: the mean difference and both limits."""
    graphics = pytest.importorskip("statsmodels.graphics.api")
    from matplotlib.figure import Figure

    predicted, reference = made_ratings(25, scatter).T
    axes = Figure().add_subplot()
    graphics.mean_diff_plot(predicted, reference, ax=axes)
    drawn = sorted({float(line.get_ydata()[0]) for line in axes.lines})
    found = BlandAltman.of(predicted, reference)
    lower, upper = found.limits
    # It divides by n, we by n - 1 as Bland and Altman do.
    widened = math.sqrt(24 / 25)
    assert drawn == pytest.approx(
        [found.mean + widened * (limit - found.mean) for limit in (lower, found.mean, upper)], rel=1e-9
    )


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1000), min_size=2, max_size=20), st.floats(-50, 50))
def test_a_constant_offset_is_the_bias_and_has_no_scatter(values, offset):
    values = np.array(values) + 100.0
    found = BlandAltman.of(values + offset, values)
    assert found.mean == pytest.approx(offset, abs=1e-9)
    assert found.limits == (pytest.approx(offset, abs=1e-6), pytest.approx(offset, abs=1e-6))


def test_limits_from_square_roots_by_hand():
    found = BlandAltman.of(np.array([4.0, 16.0, 36.0]), np.array([1.0, 16.0, 49.0]))
    # Roots differ by 1, 0, −1: standard deviation 1; originals by 3, 0, −13: mean −10/3.
    assert found.root_sd == pytest.approx(1.0)
    half = 2 * 5 * 1.96
    assert found.limits_at(25.0) == (pytest.approx(-10 / 3 - half), pytest.approx(-10 / 3 + half))


def test_limits_from_square_roots_are_undefined_for_negative_values():
    found = BlandAltman.of(np.array([-600.0, -500.0]), np.array([-610.0, -480.0]))
    assert found.root_sd is None
    assert found.limits_at(10.0) is None


@pytest.mark.parametrize("name", YOO_LIMITS)
def test_limits_at_levels_behave_as_the_paper_prints_them(name):
    """From the limits at the lower level follow, by our formula, those at the higher one, to the printed digits."""
    (low, a, b), (high, c, d) = YOO_LIMITS[name]
    mean = (a + b) / 2
    root_sd = (b - a) / 2 / (2 * math.sqrt(low) * 1.96)
    found = BlandAltman(20, mean, math.nan, root_sd).limits_at(high)
    rounding = 0.05 * (1 + math.sqrt(high / low)) + 0.05
    assert found == (pytest.approx(c, abs=rounding), pytest.approx(d, abs=rounding))


# --------------------------------------------------------------------------------------------------------- the rest


def test_spread_by_hand():
    found = Spread.of([1.0, 2.0, 3.0, 4.0])
    assert (found.n, found.mean, found.median, found.q1, found.q3) == (4, 2.5, 2.5, 1.75, 3.25)
    assert found.sd == pytest.approx(math.sqrt(5 / 3))
    assert (found.min, found.max) == (1.0, 4.0)


def test_spread_of_little_is_undefined_not_zero():
    assert Spread.of([]) == Spread(0)
    assert (Spread.of([7.0]).mean, Spread.of([7.0]).sd) == (7.0, None)


@settings(deadline=None, max_examples=50)
@given(figures)
def test_no_figure_is_ever_nan(pairs):
    found = PairedAgreement.of(*columns(pairs))
    parts = [found.icc, found.pearson, found.spearman, found.bland_altman, found.difference]
    values = [value for part in parts if part is not None for value in vars(part).values()]
    assert all(value is None or math.isfinite(value) for value in values)
