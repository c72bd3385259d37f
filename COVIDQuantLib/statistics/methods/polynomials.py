"""Linear, quadratic and cubic fits, with r² and the day of the peak (papers.md rows H5, P7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from COVIDQuantLib.statistics.methods.outcome import finite

DEGREES = {1: "linear", 2: "quadratic", 3: "cubic"}
_BOOTSTRAPS = 1000
_WORST_CONDITION = 1e12
_SEED = 20210111
# Share of the bootstrap samples that must have a peak for its interval to be given.
_MOST_PEAK = 0.5


@dataclass(frozen=True)
class Peak:
    """The highest point of a fitted curve within the days that were observed.

    Attributes:
        day, value: where it is, and how high.
        lower, upper: 95 % percentile bootstrap interval of the day, patients resampled; None if it is not defined.
    """

    day: float
    value: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class Fit:
    """A polynomial fitted by least squares.

    Attributes:
        degree: 1 to 3.
        n: points.
        coefficients: of 1, x, x², x³ up to the degree.
        r_squared: share of the variance explained; around zero instead of the mean for a fit through the origin.
        p: of the F test of the whole fit; None where it is undefined.
        span: lowest and highest x fitted.
        origin: whether the curve was made to pass through the origin.
        peak: None if the curve has no maximum within the span.
    """

    degree: int
    n: int
    coefficients: tuple[float, ...]
    r_squared: float | None
    p: float | None
    span: tuple[float, float]
    origin: bool = False
    peak: Peak | None = None

    @property
    def method(self) -> str:
        """The fit in words."""
        return f"{DEGREES[self.degree]} least-squares fit{' through the origin' if self.origin else ''}"

    def at(self, x: np.ndarray) -> np.ndarray:
        """The curve's values."""
        return np.polynomial.polynomial.polyval(x, self.coefficients)

    @property
    def equation(self) -> str:
        """The curve as text, e.g. ``y = −0.27 + 0.37x + 0.13x²``."""
        powers = ("", "x", "x²", "x³")
        terms = [(c, powers[i]) for i, c in enumerate(self.coefficients) if not (self.origin and i == 0)]
        first, *rest = terms
        text = f"{'−' if first[0] < 0 else ''}{abs(first[0]):.3g}{first[1]}"
        return f"y = {text}" + "".join(f" {'−' if c < 0 else '+'} {abs(c):.3g}{power}" for c, power in rest)


def fit_polynomial(
    x: np.ndarray, y: np.ndarray, degree: int, *, origin: bool = False, patients: np.ndarray | None = None
) -> Fit | None:
    """Fit one polynomial.

    Args:
        x: e.g. days since onset.
        y: the measure.
        degree: 1 to 3.
        origin: no constant term, as Pan 2021 fits.
        patients: each point's patient, to resample them for the interval of the peak day; None for no interval.

    Returns:
        None with too few different x for the degree.
    """
    import statsmodels.api as sm

    x, y = np.asarray(x, float), np.asarray(y, float)
    terms = degree if origin else degree + 1
    # A different x equal to 0 says nothing about a curve through the origin.
    distinct = np.unique(x[x != 0] if origin else x)
    if len(distinct) < terms or len(x) <= terms:
        return None
    # Scaled so that the cubes of days are no larger than the constant.
    scale = float(np.abs(x).max()) or 1.0
    design = _design(x / scale, degree, origin=origin)
    found = sm.OLS(y, design, hasconst=not origin).fit()
    scaled = np.concatenate([[0.0], found.params]) if origin else found.params
    coefficients = tuple(float(c) for c in scaled / scale ** np.arange(degree + 1))
    flat = np.ptp(y) == 0
    fit = Fit(
        degree,
        len(x),
        coefficients,
        None if flat else finite(found.rsquared),
        None if flat else finite(found.f_pvalue),
        (float(x.min()), float(x.max())),
        origin,
    )
    peak = None if flat else _peak(coefficients, fit.span)
    if peak is not None and patients is not None:
        lower, upper = _peak_interval(x, y, fit, patients)
        peak = replace(peak, lower=lower, upper=upper)
    return replace(fit, peak=peak)


def _design(x: np.ndarray, degree: int, *, origin: bool) -> np.ndarray:
    return np.stack([x**power for power in range(1 if origin else 0, degree + 1)], axis=1)


def _peak(coefficients: Sequence[float] | np.ndarray, span: tuple[float, float]) -> Peak | None:
    """The maximum inside the span, by the zeros of the derivative; none if the curve is highest at an end."""
    constant, linear, square, cube = (float(c) for c in (*coefficients, 0.0, 0.0, 0.0)[:4])
    if cube:
        discriminant = square * square - 3 * linear * cube
        if discriminant <= 0:
            return None
        # The zero of the derivative at which the curve bends down.
        day = (-square - math.sqrt(discriminant)) / (3 * cube)
    elif square < 0:
        day = -linear / (2 * square)
    else:
        return None
    if not span[0] < day < span[1]:
        return None
    return Peak(day, constant + day * (linear + day * (square + day * cube)))


def _peak_interval(x: np.ndarray, y: np.ndarray, fit: Fit, patients: np.ndarray) -> tuple[float | None, float | None]:
    """Percentile bootstrap over patients, whose exams stay together."""
    names, codes = np.unique(patients, return_inverse=True)
    if len(names) < 5:
        return None, None
    scale = float(np.abs(x).max()) or 1.0
    design = _design(x / scale, fit.degree, origin=fit.origin)
    width = design.shape[1]
    # Sums of squares and products of each patient, so that a sample is a weighted sum of them.
    products = np.zeros((len(names), width, width))
    sides = np.zeros((len(names), width))
    np.add.at(products, codes, design[:, :, np.newaxis] * design[:, np.newaxis, :])
    np.add.at(sides, codes, design * y[:, np.newaxis])
    rng = np.random.default_rng(_SEED)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=_BOOTSTRAPS).astype(float)
    systems = np.tensordot(weights, products, 1)
    # Samples of too few different days have no fit.
    solvable = np.linalg.cond(systems) < _WORST_CONDITION
    scaled = np.linalg.solve(systems[solvable], (weights[solvable] @ sides)[..., np.newaxis])[..., 0]
    if fit.origin:
        scaled = np.concatenate([np.zeros((len(scaled), 1)), scaled], axis=1)
    days = [
        peak.day for row in scaled / scale ** np.arange(fit.degree + 1) if (peak := _peak(row, fit.span)) is not None
    ]
    if len(days) < _MOST_PEAK * _BOOTSTRAPS:
        return None, None
    low, high = np.percentile(days, (2.5, 97.5))
    return float(low), float(high)
