"""Agreement of two measurements of the same scans: ICC, correlation, Bland and Altman (papers.md row Y4).

Anything that the data do not define (too few scans, no variance) is None, never NaN.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np

CONFIDENCE = 0.95
# Standard deviations on either side of the mean that hold 95 % of a normal distribution.
LIMIT_SD = 1.96
# Up to this many scans, all permutations are enumerated for Spearman's p.
_EXACT_SCANS = 7


@dataclass(frozen=True)
class Spread:
    """The distribution of values: number, mean and standard deviation (n − 1), median and quartiles, extremes."""

    n: int
    mean: float | None = None
    sd: float | None = None
    median: float | None = None
    q1: float | None = None
    q3: float | None = None
    min: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, values: list[float] | np.ndarray) -> Spread:
        """The spread of some values; the standard deviation of one value is None, and without values all are None."""
        array = np.asarray(values, float)
        n = len(array)
        if n == 0:
            return cls(0)
        low, q1, median, q3, high = (float(q) for q in np.percentile(array, (0, 25, 50, 75, 100)))
        sd = float(array.std(ddof=1)) if n > 1 else None
        return cls(n, float(array.mean()), sd, median, q1, q3, low, high)

    def as_record(self) -> dict[str, Any]:
        """For ``summary.json``."""
        return asdict(self)


@dataclass(frozen=True)
class ICC:
    """Intraclass correlation ICC(A,1): two-way, absolute agreement, single measurement, with its 95 % interval."""

    value: float
    lower: float | None
    upper: float | None


def icc_agreement(ratings: np.ndarray, confidence: float = CONFIDENCE) -> ICC | None:
    """ICC(A,1) of McGraw and Wong 1996 (case 2A and 3A alike), which is ICC(2,1) of Shrout and Fleiss 1979.

    A constant offset between the raters lowers it, as it should for absolute agreement.

    Args:
        ratings: ``[scans, raters]``.
        confidence: of the interval.

    Returns:
        None with fewer than two scans or raters, or if nothing varies from scan to scan.
    """
    scans, raters = ratings.shape
    if scans < 2 or raters < 2:
        return None
    between, columns, error = _mean_squares(ratings)
    whole = between + (raters - 1) * error + raters / scans * (columns - error)
    # What rounding leaves of a sum of squares that should be zero.
    nothing = 1e-12 * float(np.mean(np.square(ratings)))
    if between + error <= nothing or whole <= nothing:
        return None
    value = (between - error) / whole
    lower, upper = _interval(ratings.shape, (between, columns, error), value, confidence)
    if lower is not None and upper is not None:
        # The interval is an approximation; for few scans that disagree it can narrowly exclude its own estimate.
        lower, upper = min(lower, value), max(upper, value)
    return ICC(value, lower, upper)


def _mean_squares(ratings: np.ndarray) -> tuple[float, float, float]:
    """Mean squares between scans, between raters, and residual, of the two-way analysis of variance."""
    scans, raters = ratings.shape
    centred = ratings - ratings.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    rest = centred - rows[:, np.newaxis] - columns
    return (
        float(raters * (rows**2).sum() / (scans - 1)),
        float(scans * (columns**2).sum() / (raters - 1)),
        float((rest**2).sum() / ((scans - 1) * (raters - 1))),
    )


def _interval(
    shape: tuple[int, ...], squares: tuple[float, float, float], value: float, confidence: float
) -> tuple[float | None, float | None]:
    """Confidence interval of ICC(A,1): McGraw and Wong 1996, Table 7, with Satterthwaite's degrees of freedom."""
    from scipy.special import fdtri

    scans, raters = shape
    between, columns, error = squares
    if value >= 1.0 or (columns == 0 and error == 0):
        return 1.0, 1.0
    a = raters * value / (scans * (1 - value))
    b = 1 + raters * value * (scans - 1) / (scans * (1 - value))
    spread = (a * columns) ** 2 / (raters - 1) + (b * error) ** 2 / ((scans - 1) * (raters - 1))
    if spread == 0:
        return None, None
    freedom = (a * columns + b * error) ** 2 / spread
    tail = (1 + confidence) / 2
    low, high = fdtri(scans - 1, freedom, tail), fdtri(freedom, scans - 1, tail)
    others = raters * columns + (raters * scans - raters - scans) * error
    # With almost no degrees of freedom the quantiles are infinite, and so is the interval.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        lower = scans * (between - low * error) / (low * others + scans * between)
        upper = scans * (high * between - error) / (others + scans * high * between)
    return _finite(lower), _finite(upper)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient and the p value of its being 0."""

    r: float
    p: float


def pearson(predicted: np.ndarray, reference: np.ndarray) -> Correlation | None:
    """Pearson's correlation; None with fewer than three scans or where one side is constant."""
    from scipy.stats import pearsonr

    if not _can_correlate(predicted, reference):
        return None
    found = pearsonr(predicted, reference)
    return Correlation(float(found.statistic), float(found.pvalue))


def spearman(predicted: np.ndarray, reference: np.ndarray) -> Correlation | None:
    """Spearman's rank correlation; None with fewer than three scans or where one side is constant.

    With few scans p is the share of all permutations that correlate as strongly, otherwise that of the t distribution.
    """
    from scipy.stats import rankdata, spearmanr

    if not _can_correlate(predicted, reference):
        return None
    found = spearmanr(predicted, reference)
    p = float(found.pvalue)
    if len(predicted) <= _EXACT_SCANS:
        one, other = (rank - rank.mean() for rank in (rankdata(predicted), rankdata(reference)))
        orders = np.array(list(permutations(one))) @ other
        p = float(np.mean(np.abs(orders) >= abs(one @ other) - 1e-9))
    return Correlation(float(found.statistic), p)


def _can_correlate(predicted: np.ndarray, reference: np.ndarray) -> bool:
    return len(predicted) >= 3 and np.ptp(predicted) > 0 and np.ptp(reference) > 0


@dataclass(frozen=True)
class BlandAltman:
    """Differences predicted − reference of the same scans.

    Attributes:
        n: scans.
        mean: mean difference (bias).
        sd: standard deviation of the differences (n − 1).
        root_sd: standard deviation of the differences of the square roots; None if a value is negative.
    """

    n: int
    mean: float
    sd: float
    root_sd: float | None

    @classmethod
    def of(cls, predicted: np.ndarray, reference: np.ndarray) -> BlandAltman | None:
        """The differences of two measurements of the same scans; None with fewer than two."""
        if len(predicted) < 2:
            return None
        difference = predicted - reference
        positive = min(predicted.min(), reference.min()) >= 0
        root_sd = float((np.sqrt(predicted) - np.sqrt(reference)).std(ddof=1)) if positive else None
        return cls(len(difference), float(difference.mean()), float(difference.std(ddof=1)), root_sd)

    @property
    def limits(self) -> tuple[float, float]:
        """95 % limits of agreement on the original values."""
        return self.mean - LIMIT_SD * self.sd, self.mean + LIMIT_SD * self.sd

    def limits_at(self, level: float) -> tuple[float, float] | None:
        """95 % limits of agreement at a level of the measurement, from the square roots (Yoo 2022, Table 1).

        A difference of square roots d becomes a difference of about 2·√level·d. As in Yoo's table the limits lie around
        the mean difference of the original values: its printed limits at 10 % and 50 %, at 100 g and 500 g, have one
        centre each and widths that grow as √level.

        Args:
            level: mean of the two measurements, in their unit.

        Returns:
            None if the square roots are not defined.
        """
        if self.root_sd is None:
            return None
        half = 2.0 * math.sqrt(level) * LIMIT_SD * self.root_sd
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class PairedAgreement:
    """All agreement statistics of one quantity measured twice on the same scans.

    Attributes:
        predicted: one side's values, one per scan.
        reference: the other's, in the same order.
        difference: spread of predicted − reference.
        icc, pearson, spearman, bland_altman: None if undefined.
    """

    predicted: np.ndarray
    reference: np.ndarray
    difference: Spread
    icc: ICC | None
    pearson: Correlation | None
    spearman: Correlation | None
    bland_altman: BlandAltman | None

    @classmethod
    def of(cls, predicted: list[float] | np.ndarray, reference: list[float] | np.ndarray) -> PairedAgreement:
        """Compare two lists of equal length."""
        one, other = np.asarray(predicted, float), np.asarray(reference, float)
        return cls(
            one,
            other,
            Spread.of(one - other),
            icc_agreement(np.stack([one, other], axis=1)),
            pearson(one, other),
            spearman(one, other),
            BlandAltman.of(one, other),
        )
