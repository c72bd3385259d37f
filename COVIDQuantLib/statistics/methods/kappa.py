"""Cohen's kappa with its standard error and its words (papers.md row C4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.evaluation.agreement import CONFIDENCE
from COVIDQuantLib.statistics.methods.outcome import finite

# Upper ends of the words in Changsha 2020, Table 4.
WORDS = ((0.20, "poor"), (0.40, "fair"), (0.60, "moderate"), (0.80, "good"), (1.00, "very good"))
METHOD = "Cohen's kappa; error as Cohen 1960 gives it, interval by that of Fleiss, Cohen and Everitt 1969"


@dataclass(frozen=True)
class Kappa:
    """Agreement of two raters beyond chance.

    Attributes:
        n: cases.
        observed: share of cases on which they agree; None without cases.
        kappa: None if undefined (one rater gave one answer throughout and so did the other).
        error: standard error of Cohen 1960; all four errors in Changsha 2020, Table 4, follow from its formula.
        large_sample_error: of Fleiss, Cohen and Everitt 1969, on which the interval rests.
        lower, upper: 95 % interval.
        p: of its being 0.
        note: why it is undefined.
    """

    n: int
    observed: float | None = None
    kappa: float | None = None
    error: float | None = None
    large_sample_error: float | None = None
    lower: float | None = None
    upper: float | None = None
    p: float | None = None
    note: str = ""

    @property
    def words(self) -> str:
        """Strength of agreement in the paper's words; empty if undefined."""
        if self.kappa is None:
            return ""
        return next(word for end, word in WORDS if round(self.kappa, 2) <= end)


def cohens_kappa(one: np.ndarray, other: np.ndarray) -> Kappa:
    """Kappa of two ratings of the same cases.

    Args:
        one: a category per case, any values that can be compared.
        other: the same cases rated again.
    """
    from statsmodels.stats.inter_rater import cohens_kappa as of_table

    n = len(one)
    if n == 0:
        return Kappa(0, note="no cases")
    names = np.unique(np.concatenate([one, other]))
    table = np.array([[int(((one == a) & (other == b)).sum()) for b in names] for a in names])
    observed = float(np.trace(table) / n)
    if len(names) < 2:
        return Kappa(n, observed, note="every answer is the same: there is no agreement beyond chance to measure")
    found = of_table(table)
    value, large = finite(found.kappa), finite(np.sqrt(max(found.var_kappa, 0.0)))
    if value is None or large is None:
        return Kappa(n, observed, note="undefined for these answers")
    chance = float(table.sum(axis=0) @ table.sum(axis=1)) / n**2
    error = float(np.sqrt(observed * (1 - observed) / n) / (1 - chance))
    from scipy.stats import norm

    half = float(norm.ppf((1 + CONFIDENCE) / 2)) * large
    p = finite(found.pvalue_two_sided)
    return Kappa(n, observed, value, error, large, max(-1.0, value - half), min(1.0, value + half), p)
