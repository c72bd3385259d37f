"""Correlations and fitted courses against R, pingouin and definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statistics_world import COURSE, DAYS, P, Q, near

pytest.importorskip("pandas")
pytest.importorskip("statsmodels")

from COVIDQuantLib.statistics.methods.correlations import correlate
from COVIDQuantLib.statistics.methods.polynomials import fit_polynomial

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
