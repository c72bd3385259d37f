"""The cohort of Pan 2021: exams of two groups along its curves, CT score against extent (Tables 3 to 5, Fig. 3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from COVIDQuantLib.quantification.time_courses import Curve, curve_named
from COVIDQuantLib.simulation.cohorts.samples import coupled_ranks, with_quartiles

Row = dict[str, Any]

SIZES = {"moderate": 61, "severe": 34}
EXAMS = {"moderate": 319, "severe": 146}
SPEARMAN = 0.920
# Table 4 and 5 by time: extent and CT score as (first quartile, median, third quartile), and their rank correlation.
TIMES: dict[str, dict[str, tuple[tuple[float, float, float], tuple[float, float, float], float]]] = {
    "on admission": {
        "moderate": ((0.12, 1.38, 3.18), (1, 3, 5), 0.749),
        "severe": ((3.86, 19.14, 40.02), (5, 11, 16), 0.954),
    },
    "1 week after admission": {
        "moderate": ((0.93, 2.31, 5.34), (2, 3, 6), 0.702),
        "severe": ((17.35, 28.25, 34.29), (11, 13, 15), 0.836),
    },
    "2 weeks after admission": {
        "moderate": ((0.01, 0.46, 2.25), (1, 2, 3), 0.788),
        "severe": ((10.52, 18.69, 28.59), (7, 11, 12), 0.830),
    },
}
_SCANS = ((0.06, 1.63, 10.94), (1, 3, 8))
_SEED = 2021


def times(seed: int = _SEED) -> list[Row]:
    """Three exams of every patient; at each time extents and scores have exactly the quartiles of Table 4."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, (_, groups) in enumerate(TIMES.items()):
        for group, (extents, scores, spearman) in groups.items():
            n = SIZES[group]
            one, other = coupled_ranks(rng, n, spearman)
            extent = with_quartiles(n, extents, 0.0, min(95.0, extents[2] * 2))[one]
            score = np.round(with_quartiles(n, scores, 0, min(25, scores[2] + 5)))[other]
            for index in range(n):
                patient = f"{group[:3]}{index + 1:03d}"
                rows.append(_row(patient, group, number, 8.0 + 7 * number, extent[index], score[index]))
    return rows


def _row(patient: str, group: str, visit: int, day: float, extent: float, score: float) -> Row:
    return {"patient": patient, "exam": f"{patient}-{visit + 1}", "group": group, "visit": visit + 1, "days": day,
            "region": "whole lung", "extent_percent": float(extent), "ct_score": float(score)}  # fmt: skip


def scans(seed: int = _SEED) -> list[Row]:
    """465 exams whose extent and CT score have the quartiles of Table 3 and that rank correlation in the population."""
    rng = np.random.default_rng(seed)
    n = sum(EXAMS.values())
    one, other = coupled_ranks(rng, n, SPEARMAN)
    extent = with_quartiles(n, _SCANS[0], 0.0, 70.0)[one]
    score = np.round(with_quartiles(n, _SCANS[1], 0, 25))[other]
    return [
        _row(f"p{index // 5:03d}", "all", index % 5, 5.0 + 8 * (index % 5), extent[index], score[index])
        for index in range(n)
    ]


def courses(seed: int = _SEED) -> list[Row]:
    """As many exams of both groups as in the paper, whose expected values lie on Pan's curves (Fig. 3B to 3D)."""
    rng = np.random.default_rng(seed)
    letters = {"extent_percent": "b", "ggo_percent": "c", "consolidation_percent": "d"}
    rows = []
    for group, total in EXAMS.items():
        curves = {measure: curve_named(f"pan-3{letters[measure]}-{group}") for measure in letters}
        for patient, day in _exam_days(rng, group, total, min(curve.span[1] for curve in curves.values())):
            noise = _noise(rng, 0.35)
            values = {measure: float(curve.at(day)) * noise for measure, curve in curves.items()}
            rows.append({"patient": patient, "exam": f"{patient}-{day:g}", "group": group, "days": day,
                         "region": "whole lung", **values})  # fmt: skip
    return rows


def along(curve: Curve, patients: int, exams: int, scatter: float, seed: int = _SEED) -> list[Row]:
    """Exams whose expected extent lies exactly on a curve, spread evenly over its valid days.

    Args:
        curve: of the extent.
        patients: how many.
        exams: of each patient.
        scatter: standard deviation of the values around the curve, as a share of the value.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    first, last = curve.span
    rows = []
    for patient in range(patients):
        for number in range(exams):
            day = float(rng.uniform(first, last))
            value = float(curve.at(day)) * _noise(rng, scatter)
            rows.append({"patient": f"p{patient:04d}", "exam": f"p{patient:04d}-{number}", "days": day,
                         "region": "whole lung", curve.measure: value})  # fmt: skip
    return rows


def _noise(rng: np.random.Generator, scatter: float) -> float:
    """A factor above zero with mean 1."""
    return float(np.exp(scatter * rng.standard_normal() - scatter**2 / 2))


def _exam_days(rng: np.random.Generator, group: str, total: int, last: float) -> list[tuple[str, float]]:
    """Patients and days: as many exams each as the total allows, about a week apart, within the curve's valid days."""
    n = SIZES[group]
    counts = [total // n + (number < total % n) for number in range(n)]
    found = []
    for number, count in enumerate(counts):
        start, stop = rng.uniform(1, 10), rng.uniform(0.75, 1.0) * last
        days = np.linspace(start, stop, count) + rng.uniform(-1.5, 1.5, count)
        found += [(f"{group[:3]}{number + 1:03d}", float(day)) for day in np.round(np.clip(days, 0.5, last), 1)]
    return found
