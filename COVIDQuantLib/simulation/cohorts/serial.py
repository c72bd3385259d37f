"""A made clinic: two groups with serial exams along Pan's curves, every measure, clinical variables and outcomes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG
from COVIDQuantLib.quantification.time_courses import curve_named

Row = dict[str, Any]

SIZES = {"moderate": 36, "severe": 20}
_SEED = 13
# Share of the extent that each lobe has, relative to the lung: lower lobes are worse.
_LOBES = (0.8, 0.6, 1.4, 0.7, 1.3)
_LUNG_ML = 4200.0
_FIRST_DAYS = (4.0, 9.0)


def tables(seed: int = _SEED) -> tuple[list[Row], list[Row], list[Row]]:
    """The tables as a batch writes them.

    Returns:
        A row per exam and region; a row per exam, three of which failed; a row per patient.
    """
    rng = np.random.default_rng(seed)
    metrics: list[Row] = []
    exams: list[Row] = []
    clinical: list[Row] = []
    for group, n in SIZES.items():
        curve = curve_named(f"pan-3b-{group}")
        for index in range(n):
            patient = f"{group[:3]}{index + 1:03d}"
            own = float(np.exp(rng.normal(0, 0.35)))
            days = np.round(rng.uniform(*_FIRST_DAYS) + np.array([0, 7, 15, 28]) + rng.uniform(-1, 1, 4)).clip(1, 44)
            for number, day in enumerate(days[: rng.integers(2, 5)], start=1):
                extent = min(float(curve.at(day)) * own * float(np.exp(rng.normal(0, 0.2))), 85.0)
                about = {"patient": patient, "exam": f"{patient}-{number}", "days": float(day)}
                metrics += _regions(about, extent, day, rng)
                exams.append({"patient": patient, "exam": about["exam"], "status": "done", "reason": ""})
            clinical.append(_patient(patient, group, own, rng))
    failed = {"status": "failed", "reason": "the slices are unevenly spaced"}
    exams += [{"patient": f"mod{n:03d}", "exam": f"mod{n:03d}-x", **failed} for n in (1, 2, 3)]
    for row in metrics[-1 - len(LOBES) :]:
        row["grade"] = "unusable"
    return metrics, exams, clinical


def _regions(about: Row, extent: float, day: float, rng: np.random.Generator) -> Iterator[Row]:
    dense = 0.10 + 0.15 * math.exp(-(((day - 14) / 10) ** 2))
    ihu = -640.0 + 600 * dense + float(rng.normal(0, 30))
    whole = float(rng.normal(_LUNG_ML, 500)) * (1 - extent / 250)
    parts = [(WHOLE_LUNG.name, 1.0, 1.0), *((lobe.name, share, 0.2) for lobe, share in zip(LOBES, _LOBES, strict=True))]
    for region, share, size in parts:
        percent = min(extent * share * float(np.exp(rng.normal(0, 0.1 if share != 1.0 else 0.0))), 95.0)
        volume = whole * size * percent / 100
        yield {
            **about, "region": region, "extent_percent": percent, "lesion_volume_ml": volume, "volume_ml": whole * size,
            "ggo_percent": percent * (0.9 - dense), "consolidation_percent": percent * dense,
            "mean_lesion_hu": ihu if percent > 0 else None, "weight_g": volume * (ihu + 1000) / 1000,
            "ct_score": float(sum(percent > edge for edge in (0, 5, 25, 50, 75)) * (5 if size == 1.0 else 1)),
            "grade": "sound",
        }  # fmt: skip


def _patient(patient: str, group: str, own: float, rng: np.random.Generator) -> Row:
    severe = group == "severe"
    age = float(np.clip(round(rng.normal(58 if severe else 45, 14)), 18, 92))
    risk = -1.7 + 1.3 * severe + 0.03 * (age - 50) + 1.0 * math.log(own)
    icu = rng.random() < 1 / (1 + math.exp(-risk))
    return {
        "patient": patient, "group": group, "age": age, "sex": "male" if rng.random() < 0.52 else "female",
        "crp": round(float(rng.lognormal(math.log(48 if severe else 9), 0.8)), 1), "icu": "yes" if icu else "no",
    }  # fmt: skip
