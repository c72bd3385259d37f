"""The cohort of Changsha 2020: severe and other exams by POI and iHU, and reports of change (its Tables 2 to 4)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Row = dict[str, Any]

SEVERE, OTHER = 79, 452
AREA = {"POI": 0.968, "iHU": 0.687}
# Cases by sign of the measured change and by phrase: (up, up), (up, down), (down, up), (down, down). They give the
# kappas, errors and agreements of Table 4 to the printed digits. Its line of 54 cases prints an agreement that no 54
# cases can have; with 56 they can, and kappa and error agree.
WHOLE = {"POI": (49, 5, 7, 81), "iHU": (18, 5, 10, 23)}
PARTIAL = {"POI": (21, 5, 10, 6), "iHU": (7, 3, 8, 8)}
_WORDS = {"POI": ("expanded", "contracted"), "iHU": ("increased", "decreased")}
_SEED = 204


def severity(seed: int = _SEED) -> list[Row]:
    """531 exams, each value at its place in normal distributions whose areas under the ROC curve are the paper's.

    The distance of the two normal distributions, in standard deviations, is √2 times the normal quantile of the area.
    POI is a monotone function of its normal variate, which leaves the area as it is.
    """
    from scipy.special import ndtri

    rng = np.random.default_rng(seed)
    rows = []
    for severe, n in ((True, SEVERE), (False, OTHER)):
        places = ndtri((np.arange(n) + 0.5) / n)
        z = {name: places + severe * math.sqrt(2) * float(ndtri(area)) for name, area in AREA.items()}
        poi = 100 / (1 + np.exp(3.9 - 1.05 * rng.permutation(z["POI"])))
        ihu = -560 + 95 * rng.permutation(z["iHU"])
        for index in range(n):
            patient = f"{'s' if severe else 'n'}{index:03d}"
            rows.append({"patient": patient, "exam": f"{patient}-1", "region": "whole lung", "days": 8.0,
                         "severity": "severe" if severe else "non-severe", "extent_percent": float(poi[index]),
                         "mean_lesion_hu": float(ihu[index])})  # fmt: skip
    return rows


def progression() -> list[Row]:
    """Two exams of as many patients as there are changes, with the words of the second report."""
    rows: list[Row] = []
    number = 0
    for name, whole in WHOLE.items():
        for partly, table in ((False, whole), (True, PARTIAL[name])):
            for place, count in enumerate(table):
                measured, said = 1 - 2 * (place // 2), _WORDS[name][place % 2]
                phrase = f"has {'partially ' if partly else ''}{said}"
                for _ in range(count):
                    rows += _change(f"p{number:04d}", name, measured, phrase)
                    number += 1
    return rows


def _change(patient: str, name: str, measured: int, phrase: str) -> list[Row]:
    step = {"POI": (3.0 * measured, 0.0), "iHU": (0.0, 25.0 * measured)}[name]
    rows = []
    for visit in (1, 2):
        later = visit == 2
        rows.append({
            "patient": patient, "exam": f"{patient}-{visit}", "visit": visit, "region": "whole lung",
            "extent_percent": 10.0 + later * step[0], "mean_lesion_hu": -500.0 + later * step[1],
            "poi_report": phrase if later and name == "POI" else "",
            "ihu_report": phrase if later and name == "iHU" else "",
        })  # fmt: skip
    return rows
