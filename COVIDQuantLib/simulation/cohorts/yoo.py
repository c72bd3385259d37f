"""The data sets of Yoo 2022: agreement with reference masks (its Table 1), and risk factors (its Tables 2 and 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from COVIDQuantLib.simulation.cohorts.samples import FloatArray, with_correlation, with_mean_sd

Row = dict[str, Any]


@dataclass(frozen=True)
class Agreement:
    """What Table 1 prints of one quantity.

    Attributes:
        icc: intraclass correlation.
        level, lower, upper: limits of agreement at a level, from square roots.
    """

    icc: float
    level: float
    lower: float
    upper: float

    @property
    def mean(self) -> float:
        """Mean difference: the middle of the limits."""
        return (self.lower + self.upper) / 2

    @property
    def root_sd(self) -> float:
        """Standard deviation of the differences of square roots, from the width of the limits."""
        return (self.upper - self.lower) / 2 / (2 * math.sqrt(self.level) * 1.96)


@dataclass(frozen=True)
class DataSet:
    """One data set with reference masks: scans, extent, weight, and (mean, SD) of the overlap scores in percent."""

    scans: int
    extent: Agreement
    weight: Agreement
    dice: tuple[float, float]
    sensitivity: tuple[float, float]
    ppv: tuple[float, float]


TABLE_1 = {
    "internal": DataSet(20, Agreement(0.990, 10, -4.0, 5.4), Agreement(0.993, 100, -41.4, 55.5), (77.8, 17.1),
                        (81.4, 10.2), (80.3, 20.6)),
    "Italy": DataSet(99, Agreement(0.951, 10, -10.1, 15.1), Agreement(0.995, 10, -3.6, 3.5), (73.4, 14.0), (70.6, 18.3),
                     (80.6, 10.1)),
    "Radiopaedia": DataSet(9, Agreement(0.964, 10, -4.0, 7.4), Agreement(0.976, 100, -57.9, 97.2), (71.9, 25.9),
                           (79.9, 11.8), (71.9, 27.6)),
    "China": DataSet(10, Agreement(0.970, 10, -4.6, 8.4), Agreement(0.994, 100, -32.4, 68.2), (77.0, 10.9),
                     (70.7, 15.4), (87.7, 5.4)),
}  # fmt: skip
JAPAN_SCANS = 103
JAPAN_PEARSON = {"extent": 0.908, "weight": 0.899}
_SEED = 2022
_ATTEMPTS = 60


def paired(
    n: int, wanted: Agreement, rng: np.random.Generator, most: float = math.inf
) -> tuple[FloatArray, FloatArray]:
    """Reference and predicted values whose mean difference, square-root limits and ICC are exactly the wanted ones.

    The square roots differ by noise of that standard deviation around the offset that gives the mean difference; the
    larger the reference values spread, the larger the ICC, so that one factor of the reference sets it.

    Some limits are so wide that their ICC needs extents above 100 %, which no lung has; nothing computed depends on it.

    Args:
        n: scans.
        wanted: from the paper's table.
        rng: source of randomness.
        most: tried to be kept by the reference values.
    """
    pairs = [_paired(n, wanted, rng)]
    while len(pairs) < _ATTEMPTS and pairs[-1][0].max() > most:
        pairs.append(_paired(n, wanted, rng))
    return min(pairs, key=lambda pair: float(pair[0].max()))


def _paired(n: int, wanted: Agreement, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """One attempt of :func:`paired`."""
    from scipy.optimize import brentq
    from scipy.special import gammaincinv

    shape = rng.permutation(gammaincinv(0.8, (np.arange(n) + 0.5) / n))
    noise = rng.standard_normal(n)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * wanted.root_sd

    def made(scale: float) -> tuple[FloatArray, FloatArray]:
        # Never so small that the square root of the prediction would be negative.
        root = np.sqrt(scale * shape + (2.7 * wanted.root_sd) ** 2 + abs(wanted.mean))
        # mean((root + noise + m)² − root²) = wanted mean, solved for m.
        half, rest = float(root.mean()), float(np.mean(2 * root * noise + noise**2)) - wanted.mean
        offset = -half + math.sqrt(half * half - rest)
        return root**2, (root + noise + offset) ** 2

    def icc(scale: float) -> float:
        ratings = np.stack(made(scale), axis=1)
        centred = ratings - ratings.mean()
        rows, columns = centred.mean(axis=1), centred.mean(axis=0)
        between, raters = 2 * float((rows**2).sum()) / (n - 1), n * float((columns**2).sum())
        error = float(((centred - rows[:, np.newaxis] - columns) ** 2).sum()) / (n - 1)
        return (between - error) / (between + error + 2 / n * (raters - error))

    scales = wanted.root_sd**2 * np.geomspace(1e-3, 1e7, 60)
    values = np.array([icc(scale) for scale in scales]) - wanted.icc
    place = int(np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))[-1])
    return made(float(brentq(lambda scale: icc(scale) - wanted.icc, scales[place], scales[place + 1], xtol=1e-12)))


def evaluation(name: str, seed: int = _SEED) -> list[Row]:
    """A table as ``covidquant evaluate`` writes it, of one data set of Table 1."""
    wanted = TABLE_1[name]
    rng = np.random.default_rng(seed)
    extents, weights = paired(wanted.scans, wanted.extent, rng, most=95.0), paired(wanted.scans, wanted.weight, rng)
    scores = {
        key: rng.permutation(with_mean_sd(wanted.scans, *getattr(wanted, key))) / 100
        for key in ("dice", "sensitivity", "ppv")
    }
    return [
        {
            "scan": f"{name}{index:03d}", "structure": "lesions", **{key: float(v[index]) for key, v in scores.items()},
            "predicted_extent_percent": float(extents[1][index]), "reference_extent_percent": float(extents[0][index]),
            "predicted_weight_g": float(weights[1][index]), "reference_weight_g": float(weights[0][index]),
        }
        for index in range(wanted.scans)
    ]  # fmt: skip


def visual_scores(seed: int = _SEED) -> list[Row]:
    """The Japanese data set: no masks, but a visual score whose Pearson correlations are exactly the paper's."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.gamma(1.3, 4.0, JAPAN_SCANS))
    extent = 12 + 5 * with_correlation(rng, score, JAPAN_PEARSON["extent"])
    weight = 160 + 60 * with_correlation(rng, score, JAPAN_PEARSON["weight"])
    return [
        {"scan": f"japan{index:03d}", "structure": "lesions", "visual_score": float(score[index]),
         "predicted_extent_percent": float(extent[index]), "predicted_weight_g": float(weight[index])}
        for index in range(JAPAN_SCANS)
    ]  # fmt: skip


# The multivariate odds ratios of Table 2 (symptoms, Japan) and Table 3 (composite outcome, Spain), extent models, with
# the share of patients that have each factor in the made cohort.
RISK = {
    "symptoms": {"age_below_60": (5.007, 0.35), "lymphopenia": (3.265, 0.30), "extent_above_half": (4.142, 0.60)},
    "outcome": {"age_from_60": (4.366, 0.60), "ldh_high": (6.527, 0.65), "d_dimer_high": (2.988, 0.40),
                "extent_above_5": (7.446, 0.50)},
}  # fmt: skip
RISK_SIZE = {"symptoms": 103, "outcome": 97}


def risk(which: str, patients: int | None = None, seed: int = _SEED) -> list[Row]:
    """Patients whose outcome follows a logistic model with the paper's odds ratios, and two factors without effect.

    Args:
        which: a key of ``RISK``.
        patients: how many; as many as in the paper by default.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    n = patients or RISK_SIZE[which]
    factors = {name: rng.random(n) < share for name, (_, share) in RISK[which].items()}
    logit = sum(math.log(ratio) * (factors[name] - share) for name, (ratio, share) in RISK[which].items())
    ill = rng.random(n) < 1 / (1 + np.exp(0.5 - np.asarray(logit)))
    extent = np.where(factors.get("extent_above_5", np.zeros(n, bool)), 12.0, 2.0)
    male, smoker = rng.random(n) < 0.5, rng.random(n) < 0.2
    return [
        {
            "patient": f"p{index:05d}", "exam": f"p{index:05d}-1", "region": "whole lung",
            "extent_percent": float(extent[index]),
            **{name: "yes" if values[index] else "no" for name, values in factors.items()},
            "male": "yes" if male[index] else "no", "smoker": "yes" if smoker[index] else "no",
            which: "yes" if ill[index] else "no",
        }
        for index in range(n)
    ]  # fmt: skip
