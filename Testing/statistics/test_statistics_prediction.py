"""Logistic regression and ROC curves against R, pROC and definitions."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statistics_world import X1, X2, X3, Y, near

pytest.importorskip("pandas")
pytest.importorskip("statsmodels")

from COVIDQuantLib.statistics.methods.backward import select_backward
from COVIDQuantLib.statistics.methods.logistic import fit_logistic, separated
from COVIDQuantLib.statistics.methods.roc import Share, compare_areas, roc_of

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
