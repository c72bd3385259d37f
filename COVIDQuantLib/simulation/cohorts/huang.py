"""The cohort of Huang 2020: four clinical types, serial exams, readers' scores (its Tables 1 to 3, Fig. 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG
from COVIDQuantLib.simulation.cohorts.samples import with_mean_sd, with_quartiles

Row = dict[str, Any]

SIZES = {"mild": 6, "moderate": 94, "severe": 20, "critical": 6}
# Of 148 patients enrolled: respiratory motion; mean reader score below 3.
MOTION, BADLY_SEGMENTED = 9, 13
FOLLOWED_TWICE = 48
# Table 3: (mean, SD) where the paper prints mean ± SD, (median, first, third quartile) otherwise.
TABLE_3: dict[str, dict[str, tuple[float, ...]]] = {
    "whole lung": {"moderate": (2.2, 0.4, 7.1), "severe": (28.9, 19.2), "critical": (49.6, 14.8)},
    "right upper lobe": {"moderate": (0.4, 0.0, 2.7), "severe": (28.1, 21.0), "critical": (56.2, 21.9)},
    "right middle lobe": {"moderate": (0.2, 0.0, 1.8), "severe": (24.5, 20.4), "critical": (42.3, 25.9)},
    "right lower lobe": {"moderate": (2.9, 0.2, 13.6), "severe": (43.3, 30.7), "critical": (61.1, 17.7)},
    "left upper lobe": {"moderate": (0.3, 0.0, 3.0), "severe": (12.3, 4.4, 22.6), "critical": (44.8, 24.8)},
    "left lower lobe": {"moderate": (1.3, 0.0, 7.0), "severe": (33.3, 21.8), "critical": (42.8, 34.0)},
}
# Table 2: percentage change of the whole lung, median and quartiles.
TABLE_2 = {"first": (69.3, -14.5, 605.8), "second": (3.0, -59.1, 223.0)}
AGE = {"mild": (47.0, 15.0), "moderate": (51.0, 16.0), "severe": (56.0, 13.0), "critical": (66.0, 8.0)}
MALES = {"mild": 3, "moderate": 49, "severe": 11, "critical": 4}
ONSET = {"mild": (1, 1, 1), "moderate": (2, 1, 3), "severe": (6.5, 5, 7.3), "critical": (6, 5, 7.8)}
CRP = {"mild": (11.7, 10.85, 14.65), "moderate": (16.1, 10.1, 25.7), "severe": (97.4, 34.6, 122.5),
       "critical": (123.9, 114.6, 136.3)}  # fmt: skip
COUNTS = {
    "diabetes": (0, 3, 2, 2),
    "copd": (1, 0, 0, 1),
    "cad": (0, 4, 1, 2),
    "fever": (6, 85, 20, 6),
    "cough": (3, 22, 9, 1),
    "fatigue": (0, 14, 5, 0),
    "dyspnea": (0, 0, 8, 6),
    "headache": (0, 3, 2, 0),
    "sore_throat": (0, 1, 1, 0),
}
_REGIONS = (WHOLE_LUNG.name, *(lobe.name for lobe in LOBES))
_SEED = 2020
# Most of a lung that a changed exam may show.
_MOST = 97.0


def _values(numbers: tuple[float, ...], n: int) -> np.ndarray:
    if len(numbers) == 2:
        return with_mean_sd(n, *numbers)
    median, first, third = numbers
    return with_quartiles(n, (first, median, third), 0.0, third + 3.0 * (third - first))


def baseline(group: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Baseline extents of a group by region; within a patient they go up and down together."""
    n = SIZES[group]
    if group == "mild":
        return {region: np.zeros(n) for region in _REGIONS}
    severity = rng.permutation(n)
    found = {}
    for region in _REGIONS:
        # Ranks near the patient's own.
        near = (severity + rng.normal(0, 0.15 * n, n)).argsort().argsort()
        found[region] = _values(TABLE_3[region][group], n)[near]
    return found


def changed(before: np.ndarray, quartiles: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Extents at the next exam, whose percentage changes have exactly these (median, first, third) quartiles.

    Where there was nothing before there is no percentage: what appears there is small.
    """
    after = np.where(before > 0, 0.0, rng.uniform(0.1, 0.5, len(before)))
    ill = np.flatnonzero(before > 0)
    median, first, third = quartiles
    changes = list(with_quartiles(len(ill), (first, median, third), -95.0, 3.0 * third))
    # The most extensive exams choose first, among the changes that leave some lung.
    for index in ill[np.argsort(-before[ill], kind="stable")]:
        room = 100.0 * (_MOST / before[index] - 1.0)
        fitting = [number for number, change in enumerate(changes) if change <= room] or [0]
        after[index] = before[index] * (1.0 + changes.pop(int(rng.choice(fitting))) / 100.0)
    return after


def exams(seed: int = _SEED) -> tuple[list[Row], list[Row]]:
    """The tables of the cohort.

    Args:
        seed: of the order of values; the statistics of the tables do not depend on it.

    Returns:
        A row per exam and region (148 patients, 126 of them to be counted), and a row per patient.
    """
    rng = np.random.default_rng(seed)
    metrics: list[Row] = []
    clinical: list[Row] = []
    extents = {group: baseline(group, rng) for group in SIZES}
    days = {group: with_quartiles(n, _ordered(ONSET[group]), *_ends(ONSET[group])) for group, n in SIZES.items()}
    crp = {group: with_quartiles(n, _ordered(CRP[group]), *_ends(CRP[group])) for group, n in SIZES.items()}
    ages = {group: with_mean_sd(n, *AGE[group], low=14.0, high=90.0) for group, n in SIZES.items()}
    for column, (group, n) in enumerate(SIZES.items()):
        orders = {name: rng.permutation(n) for name in ("days", "crp", "age", "sex", *COUNTS)}
        for index in range(n):
            patient = f"{group[:3]}{index + 1:03d}"
            row: Row = {"patient": patient, "group": group, "age": float(ages[group][orders["age"][index]])}
            row["sex"] = "male" if orders["sex"][index] < MALES[group] else "female"
            row["crp"] = float(crp[group][orders["crp"][index]])
            row |= {name: "yes" if orders[name][index] < counts[column] else "no" for name, counts in COUNTS.items()}
            clinical.append(row)
    groups = [group for group, n in SIZES.items() for _ in range(n)]
    first = {region: np.concatenate([extents[group][region] for group in SIZES]) for region in _REGIONS}
    second = {region: changed(values, TABLE_2["first"], rng) for region, values in first.items()}
    again = np.sort(rng.choice(len(groups), FOLLOWED_TWICE, replace=False))
    third = {region: changed(values[again], TABLE_2["second"], rng) for region, values in second.items()}
    onset = np.concatenate([rng.permutation(days[group]) for group in SIZES])
    for index, row in enumerate(clinical):
        for visit, values, later in ((1, first, 0.0), (2, second, 4.0)):
            metrics += _exam(row["patient"], visit, onset[index] + later, {r: v[index] for r, v in values.items()})
        if index in again:
            place = int(np.flatnonzero(again == index)[0])
            metrics += _exam(row["patient"], 3, onset[index] + 9.0, {r: v[place] for r, v in third.items()})
    return [*metrics, *_excluded(rng)], clinical


def _ordered(numbers: tuple[float, ...]) -> tuple[float, float, float]:
    median, first, third = numbers
    return first, median, third


def _ends(numbers: tuple[float, ...]) -> tuple[float, float]:
    median, first, third = numbers
    return max(0.0, first - 0.5 * (median - first)), third + 1.5 * (third - first)


def _exam(patient: str, visit: int, day: float, extents: dict[str, float], **more: Any) -> Iterator[Row]:
    about = {"patient": patient, "exam": f"{patient}-{visit}", "visit": visit, "days": float(day), "excluded": "",
             "likert_1": 4, "likert_2": 3, **more}  # fmt: skip
    for region, extent in extents.items():
        yield {**about, "region": region, "extent_percent": float(extent)}


def _excluded(rng: np.random.Generator) -> Iterator[Row]:
    for number in range(MOTION + BADLY_SEGMENTED):
        moved = number < MOTION
        more = {"excluded": "respiratory motion"} if moved else {"likert_1": 2, "likert_2": 3}
        extents = {region: float(rng.uniform(0, 30)) for region in _REGIONS}
        yield from _exam(f"out{number + 1:03d}", 1, 4.0, extents, **more)
