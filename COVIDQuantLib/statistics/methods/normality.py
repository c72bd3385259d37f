"""Is a group normally distributed? The answer decides which test compares it (papers.md row H4)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Lilliefors' table begins there.
_FEWEST = 4


@dataclass(frozen=True)
class Normality:
    """The outcome of a normality test.

    Attributes:
        method: the test's name.
        n: values tested.
        normal: whether normality was not rejected; false where it cannot be tested.
        p: None where it cannot be tested.
        note: why it cannot be tested; empty if it was.
    """

    method: str
    n: int
    normal: bool
    p: float | None = None
    note: str = ""

    @property
    def words(self) -> str:
        """The outcome in a few words."""
        if self.p is None:
            return self.note
        return f"{'normal' if self.normal else 'not normal'} (P = {self.p:.3g})"


def _kolmogorov_smirnov(values: np.ndarray) -> float:
    from statsmodels.stats.diagnostic import lilliefors

    return float(lilliefors(values, dist="norm", pvalmethod="table")[1])


def _shapiro_wilk(values: np.ndarray) -> float:
    from scipy.stats import shapiro

    return float(shapiro(values).pvalue)


# The papers' programs test with estimated mean and standard deviation, which is Lilliefors' form of the test.
NORMALITY_TESTS: dict[str, tuple[str, Callable[[np.ndarray], float]]] = {
    "kolmogorov-smirnov": ("Kolmogorov–Smirnov test, Lilliefors' correction", _kolmogorov_smirnov),
    "shapiro-wilk": ("Shapiro–Wilk test", _shapiro_wilk),
}


def normality_of(values: np.ndarray, test: str = "kolmogorov-smirnov", alpha: float = 0.05) -> Normality:
    """Test one group.

    Args:
        values: defined values of the group.
        test: a name in ``NORMALITY_TESTS``.
        alpha: below this p the group is not normal.
    """
    name, p_of = NORMALITY_TESTS[test]
    n = len(values)
    if n < _FEWEST:
        return Normality(name, n, normal=False, note=f"too few values to test ({n})")
    if np.ptp(values) == 0:
        return Normality(name, n, normal=False, note="all values are equal")
    with warnings.catch_warnings():
        # The table of the distribution ends at both sides; the comparison with alpha lies within.
        warnings.simplefilter("ignore")
        p = p_of(np.asarray(values, float))
    return Normality(name, n, normal=p >= alpha, p=p)
