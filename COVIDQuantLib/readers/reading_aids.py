"""Where an exam lies among published figures, in words that claim no more than the papers do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import MetricsTable
from COVIDQuantLib.quantification.time_courses import CURVES
from COVIDQuantLib.readers.literature import (
    CONVERSION,
    CONVERSION_SAYS_NOT,
    CONVERSION_SOURCE,
    CUT_OFFS,
    GROUPS,
    NOTICE,
    SCORE_CORRECTION,
    SCORE_SOURCE,
    CutOff,
    Group,
    Normal,
    Quartiles,
    Spread,
)

FORMAT = "covidquant-reading-aids/1"
# Where there is little room, of the groups only the whole lung's measures that most papers report.
BRIEF = ("extent_percent", "ct_score")
_UNITS = {"involved_lobes": "", "hellinger_distance": "", "histogram_iou": ""}
_TITLES = {
    "involved_lobes": "Involved lobes",
    "hellinger_distance": "Hellinger distance",
    "histogram_iou": "Histogram IoU",
}


def reading_aids(metrics: MetricsTable, onset_days: int | None = None) -> dict[str, Any]:
    """Where an exam lies, as plain values for files, terminal and panel.

    Args:
        metrics: the exam's figures.
        onset_days: days since the onset of symptoms, for the published time courses; None leaves them out.
    """
    return {
        "format": FORMAT,
        "notice": NOTICE,
        "cut_offs": [_cut_off(metrics, one) for one in CUT_OFFS],
        "ct_score": _ct_score(metrics),
        "groups": [_group(metrics, one) for one in GROUPS],
        "time_courses": [] if onset_days is None else _courses(metrics, onset_days),
    }


def brief_groups(aids: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The groups for which there is room everywhere."""
    return [row for row in aids["groups"] if row["region"] == WHOLE_LUNG.name and row["measure"] in BRIEF]


def value_of(metrics: MetricsTable, region: str, measure: str) -> float | None:
    """A figure of a row, or one of the patient beside the rows; None where it is undefined."""
    if measure in _UNITS:
        value = getattr(metrics, measure)
        return None if value is None else float(value)
    return metrics.value(region, measure)


def title_of(measure: str) -> tuple[str, str]:
    """A figure's title and unit."""
    if measure in _UNITS:
        return _TITLES[measure], _UNITS[measure]
    record = MEASURES.named(measure)
    return record.title, record.unit


def _cut_off(metrics: MetricsTable, one: CutOff) -> dict[str, Any]:
    value = metrics.value(WHOLE_LUNG.name, one.measure)
    title, unit = title_of(one.measure)
    # A cut-off of "more than" has its own value on the near side.
    side = None if value is None else "above" if value > one.above else "not above"
    return {
        "code": one.code,
        "what": f"{title} > {one.above:g} {unit}: {one.outcome} were more frequent",
        "measure": one.measure,
        "cut_off": one.above,
        "unit": unit,
        "value": value,
        "position": side,
        "odds_ratio": list(one.odds_ratio),
        "odds_ratio_adjusted": list(one.adjusted),
        "source": one.source,
        "population": one.population,
        "says_not": one.says_not,
    }


def _ct_score(metrics: MetricsTable) -> dict[str, Any]:
    score = metrics.ct_score_total
    constant, linear, square = CONVERSION
    expected = None if score is None else constant + linear * score + square * score * score
    return {
        "score": score,
        "of": 25,
        "source": SCORE_SOURCE,
        "correction": SCORE_CORRECTION,
        "conversion": {
            "formula": "−0.27 + 0.37x + 0.13x²",
            "expected_percent": expected,
            "measured_percent": metrics.value(WHOLE_LUNG.name, "extent_percent"),
            "source": CONVERSION_SOURCE,
            "says_not": CONVERSION_SAYS_NOT,
        },
    }


def _group(metrics: MetricsTable, one: Group) -> dict[str, Any]:
    value = value_of(metrics, one.region, one.measure)
    position, percentile = (None, None) if value is None else place_in(value, one.spread)
    return {
        "source": one.source,
        "group": one.group,
        "n": one.n,
        "region": one.region,
        "measure": one.measure,
        "published": published_text(one.spread),
        "value": value,
        "position": position,
        "percentile_if_normal": percentile,
    }


def published_text(spread: Spread | None) -> str:
    """A group's spread as the paper prints it."""
    if spread is None:
        return "0 in all"
    if isinstance(spread, Normal):
        return f"{spread.mean:g} ± {spread.sd:g}"
    return f"{spread.median:g} ({spread.lower:g}–{spread.upper:g})"


def place_in(value: float, spread: Spread | None) -> tuple[str, float | None]:
    """Where a value lies in a published group.

    Between quartiles only that is said: median and quartiles do not tell how values are distributed. Of a mean with its
    standard deviation, which the papers give for normally distributed values, a percentile of the normal distribution
    follows.

    Args:
        value: in the group's unit.
        spread: of the group; None where every patient had 0.

    Returns:
        The place in words, and the percentile 0..100 of a normal distribution, None where none is assumed.
    """
    if spread is None:
        return ("as in all patients" if value == 0 else "above all patients"), None
    if isinstance(spread, Quartiles):
        return _between_quartiles(value, spread), None
    deviations = (value - spread.mean) / spread.sd
    side = "above" if deviations > 0 else "below"
    words = "at the mean" if round(deviations, 1) == 0 else f"{abs(deviations):.1f} SD {side} the mean"
    return words, 50.0 * math.erfc(-deviations / math.sqrt(2.0))


def percentile_text(percentile: float) -> str:
    """A percentile in whole numbers; the ends of the distribution are not told apart."""
    return "below 1" if percentile < 1.0 else "above 99" if percentile > 99.0 else f"{percentile:.0f}"


def _between_quartiles(value: float, spread: Quartiles) -> str:
    if value < spread.lower:
        return "below the lower quartile"
    if value > spread.upper:
        return "above the upper quartile"
    if value == spread.median:
        return "at the median"
    return "lower quartile to median" if value < spread.median else "median to upper quartile"


def _courses(metrics: MetricsTable, day: int) -> list[dict[str, Any]]:
    rows = []
    for curve in CURVES:
        first, last = curve.span
        rows.append(
            {
                "curve": curve.name,
                "source": curve.source,
                "group": curve.group,
                "measure": curve.measure,
                "days_since_onset": day,
                # Outside its range a fitted polynomial says nothing.
                "published": float(curve.at(float(day))) if first <= day <= last else None,
                "value": metrics.value(WHOLE_LUNG.name, curve.measure),
                "correction": curve.correction,
            }
        )
    return rows
