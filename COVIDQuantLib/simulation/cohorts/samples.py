"""Samples with exactly given statistics: quartiles, mean and standard deviation, correlation."""

from __future__ import annotations

import numpy as np

FloatArray = np.ndarray

# The number of values from 5 whose quartiles share neighbours.
_SHARED = 6


def with_quartiles(n: int, quartiles: tuple[float, float, float], low: float, high: float) -> FloatArray:
    """Sorted values whose quartiles (linear interpolation between order statistics) are exactly the given ones.

    Args:
        n: values, from 5.
        quartiles: first quartile, median, third quartile.
        low: the smallest value; with six values it may be smaller.
        high: the largest value; with six values it may be larger.
    """
    knots = np.array([low, *quartiles, high], float)
    places = np.linspace(0, n - 1, 5)
    values = np.interp(np.arange(n), places, knots)
    for place, wanted in zip(places[1:4], quartiles, strict=True):
        # Both neighbours of a quartile that falls between two values take its value.
        values[[int(np.floor(place)), int(np.ceil(place))]] = wanted
    if n == _SHARED:
        # Each middle value belongs to the median and to another quartile: the outer ones make up for it.
        values[2:4] = quartiles[1]
        values[1], values[4] = ((quartiles[place] - quartiles[1] / 4) / 0.75 for place in (0, 2))
        values[0], values[5] = min(values[0], values[1]), max(values[5], values[4])
    return values


def with_mean_sd(n: int, mean: float, sd: float, low: float = 0.0, high: float = 100.0) -> FloatArray:
    """Sorted values of a beta distribution's shape with exactly this mean and standard deviation (n − 1).

    Args:
        n: values, from 2.
        mean: wanted.
        sd: wanted.
        low: no value is below.
        high: no value is above.

    Raises:
        ValueError: no such sample exists.
    """
    from scipy.optimize import root
    from scipy.special import betaincinv

    places = (np.arange(n) + 0.5) / n
    share, width = (mean - low) / (high - low), sd / (high - low)
    total = max(share * (1 - share) / width**2 - 1, 0.2)

    def miss(logs: FloatArray) -> FloatArray:
        values = betaincinv(*np.exp(np.clip(logs, -12, 12)), places)
        return np.array([values.mean() - share, values.std(ddof=1) - width])

    found = root(miss, np.log([share * total, (1 - share) * total]), tol=1e-13)
    if np.abs(miss(found.x)).max() > 1e-9:
        raise ValueError(f"no sample of {n} values between {low:g} and {high:g} has mean {mean:g} and SD {sd:g}")
    return low + (high - low) * betaincinv(*np.exp(found.x), places)


def coupled_ranks(rng: np.random.Generator, n: int, spearman: float) -> tuple[np.ndarray, np.ndarray]:
    """Ranks 0..n − 1 of two measures with a rank correlation in the population (normal copula).

    Args:
        rng: source of randomness.
        n: cases.
        spearman: of the population.
    """
    r = 2 * np.sin(np.pi * spearman / 6)
    one = rng.standard_normal(n)
    other = r * one + np.sqrt(1 - r * r) * rng.standard_normal(n)
    return one.argsort().argsort(), other.argsort().argsort()


def with_correlation(rng: np.random.Generator, values: FloatArray, r: float) -> FloatArray:
    """A second measure, mean 0 and SD 1, whose Pearson correlation with the first is exactly r."""
    first = (values - values.mean()) / values.std()
    noise = rng.standard_normal(len(values))
    noise -= noise.mean() + first * float(noise @ first) / len(values)
    noise /= noise.std()
    return r * first + np.sqrt(1 - r * r) * noise
