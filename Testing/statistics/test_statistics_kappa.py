"""Agreement of readers: kappa against published tables and scikit-learn."""

import itertools

import numpy as np
import pytest
from statistics_world import near

pytest.importorskip("pandas")
pytest.importorskip("statsmodels")

from COVIDQuantLib.statistics.methods.kappa import cohens_kappa

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
