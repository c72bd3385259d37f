"""Made cohorts: samples have exactly the statistics they are made with, and tables those of the papers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.simulation.cohorts import changsha, huang, pan, serial, yoo
from COVIDQuantLib.simulation.cohorts.samples import coupled_ranks, with_correlation, with_mean_sd, with_quartiles


@settings(max_examples=50, deadline=None)
@given(st.integers(5, 200), st.lists(st.floats(0, 100, allow_subnormal=False), min_size=5, max_size=5))
def test_quartiles_are_exact(n, knots):
    low, *quartiles, high = sorted(knots)
    values = with_quartiles(n, tuple(quartiles), low, high)
    assert np.percentile(values, (25, 50, 75)) == pytest.approx(quartiles, rel=1e-12, abs=1e-12)
    assert len(values) == n
    assert np.diff(values).min() >= -1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 120), st.floats(5, 80), st.floats(0.05, 0.6))
def test_mean_and_standard_deviation_are_exact(n, mean, share):
    sd = share * min(mean, 100 - mean)
    values = with_mean_sd(n, mean, sd)
    assert (values.mean(), values.std(ddof=1)) == (pytest.approx(mean, abs=1e-6), pytest.approx(sd, abs=1e-6))
    assert values.min() >= 0
    assert values.max() <= 100


def test_an_impossible_sample_is_refused():
    with pytest.raises(ValueError, match="no sample of 6 values"):
        with_mean_sd(6, 50.0, 80.0)


def test_correlations_are_those_asked_for():
    from scipy import stats

    rng = np.random.default_rng(0)
    values = rng.gamma(1.0, 5.0, 103)
    assert stats.pearsonr(values, with_correlation(rng, values, 0.908)).statistic == pytest.approx(0.908, abs=1e-12)
    assert stats.spearmanr(*coupled_ranks(rng, 20_000, 0.92)).statistic == pytest.approx(0.92, abs=0.01)


def test_the_cohorts_are_as_large_as_the_papers():
    metrics, clinical = huang.exams()
    assert len(clinical) == 126
    assert len({row["exam"] for row in metrics}) == 300 + 22
    assert max(row["extent_percent"] for row in metrics) < 100
    assert len(pan.courses()) == 465
    assert {row["group"]: 0 for row in pan.times()} == {"moderate": 0, "severe": 0}
    assert len(pan.scans()) == 465
    assert [row["severity"] for row in changsha.severity()].count("severe") == 79
    assert len(changsha.progression()) == 2 * (184 + 82)
    assert [len(yoo.evaluation(name)) for name in yoo.TABLE_1] == [20, 99, 9, 10]


@pytest.mark.parametrize("make", [huang.exams, pan.times, changsha.severity, serial.tables, yoo.visual_scores])
def test_the_same_seed_makes_the_same_tables(make):
    assert make() == make()
