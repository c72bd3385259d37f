"""Published figures with which a reader may compare an exam: cut-offs, groups and a conversion, each with its source.

Every number was read from the paper's own table or figure (papers.md rows Y5, H4, P5, P7). They describe the patients
of those studies, measured with those studies' software; they are literature, not a diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass

from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG

_LUNG = WHOLE_LUNG.name


@dataclass(frozen=True)
class CutOff:
    """A published cut-off of one measure of the whole lung.

    Attributes:
        code: short and unique.
        measure: column of the table of figures.
        above: more than this, in the measure's unit, is on the far side.
        outcome: what was more frequent there.
        odds_ratio, adjusted: univariate and multivariate odds ratio with 95 % interval.
        source, population: paper and table; whom it describes.
        says_not: what must not be read from it.
    """

    code: str
    measure: str
    above: float
    outcome: str
    odds_ratio: tuple[float, float, float]
    adjusted: tuple[float, float, float]
    source: str
    population: str
    says_not: str


_SHIP = "RT-PCR-positive cases of a cruise ship (Japanese data set, 103 CTs)"
_SPAIN = "97 patients of a hospital group in Spain"
_SYMPTOMS = "symptoms"
_COMPOSITE = "respiratory failure, intensive care or death"
_NO_CAUSE = (
    "The cut-off was chosen on the same patients (ROC curve). It is an association in one group of people, not a risk "
    "of this patient, and says nothing about other diseases, variants or vaccinated people."
)

CUT_OFFS: tuple[CutOff, ...] = (
    CutOff(
        "yoo-symptoms-extent", "extent_percent", 0.5, _SYMPTOMS, (3.171, 1.246, 8.065), (4.142, 1.356, 12.647),
        "Yoo 2022, Table 2", _SHIP, _NO_CAUSE,
    ),
    CutOff(
        "yoo-symptoms-weight", "weight_g", 10.0, _SYMPTOMS, (3.560, 1.394, 9.091), (4.434, 1.455, 13.513),
        "Yoo 2022, Table 2", _SHIP, _NO_CAUSE,
    ),
    CutOff(
        "yoo-outcome-extent", "extent_percent", 5.0, _COMPOSITE, (10.833, 2.986, 39.303), (7.446, 1.899, 29.193),
        "Yoo 2022, Table 3", _SPAIN, _NO_CAUSE,
    ),
    CutOff(
        "yoo-outcome-weight", "weight_g", 75.0, _COMPOSITE, (6.410, 1.767, 23.256), (4.677, 1.167, 18.733),
        "Yoo 2022, Table 3", _SPAIN, _NO_CAUSE,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Quartiles:
    """A group as median and quartiles."""

    lower: float
    median: float
    upper: float


@dataclass(frozen=True)
class Normal:
    """A group as mean and standard deviation, as its paper gives normally distributed values."""

    mean: float
    sd: float


Spread = Quartiles | Normal


@dataclass(frozen=True)
class Group:
    """One measure of one published group.

    Attributes:
        source: paper and table.
        group: who.
        n: patients, or scans where the paper counts these.
        region: row of the table of figures.
        measure: its column, or a figure of the whole lung beside the rows.
        spread: as published; None where every patient had 0.
    """

    source: str
    group: str
    n: int
    region: str
    measure: str
    spread: Spread | None


def _q(median: float, lower: float, upper: float) -> Quartiles:
    return Quartiles(lower, median, upper)


_HUANG = "Huang 2020, Table 3 (baseline CT)"
# Clinical type: patients.
_TYPES = {"mild": 6, "moderate": 94, "severe": 20, "critical": 6}
_HUANG_ROWS: dict[str, tuple[Spread, Spread, Spread]] = {
    _LUNG: (_q(2.2, 0.4, 7.1), Normal(28.9, 19.2), Normal(49.6, 14.8)),
    "right upper lobe": (_q(0.4, 0, 2.7), Normal(28.1, 21.0), Normal(56.2, 21.9)),
    "right middle lobe": (_q(0.2, 0, 1.8), Normal(24.5, 20.4), Normal(42.3, 25.9)),
    "right lower lobe": (_q(2.9, 0.2, 13.6), Normal(43.3, 30.7), Normal(61.1, 17.7)),
    "left upper lobe": (_q(0.3, 0, 3.0), _q(12.3, 4.4, 22.6), Normal(44.8, 24.8)),
    "left lower lobe": (_q(1.3, 0, 7.0), Normal(33.3, 21.8), Normal(42.8, 34.0)),
}
HUANG_GROUPS: tuple[Group, ...] = tuple(
    Group(_HUANG, f"{kind} type", n, region, "extent_percent", spread)
    for region in (_LUNG, *(lobe.name for lobe in LOBES))
    for (kind, n), spread in zip(_TYPES.items(), (None, *_HUANG_ROWS[region]), strict=True)
)

_PAN_ALL = "Pan 2021, Tables 2 and 3 (465 CTs of 95 recovered patients)"
_PAN_ROWS: dict[str, Quartiles] = {
    "volume_ml": _q(4036.78, 3377.81, 4800.65),
    "lesion_volume_ml": _q(69.85, 2.97, 382.31),
    "ggo_volume_ml": _q(54.59, 2.68, 304.00),
    "consolidation_volume_ml": _q(6.17, 0.25, 47.42),
    "extent_percent": _q(1.63, 0.06, 10.94),
    "ggo_percent": _q(1.27, 0.06, 8.96),
    "consolidation_percent": _q(0.15, 0.01, 1.29),
    "ct_score": _q(3, 1, 8),
    "involved_lobes": _q(3, 1, 5),
    "hellinger_distance": _q(0.24, 0.20, 0.31),
    "histogram_iou": _q(0.66, 0.55, 0.77),
}
_PAN_TIMED = "Pan 2021, Table 4"
_WHEN = ("on admission", "1 week after admission", "2 weeks after admission")
# Moderate and severe at the three times.
_PAN_TIMES: dict[str, tuple[tuple[Quartiles, Quartiles], ...]] = {
    "ct_score": ((_q(3, 1, 5), _q(11, 5, 16)), (_q(3, 2, 6), _q(13, 11, 15)), (_q(2, 1, 3), _q(11, 7, 12))),
    "extent_percent": (
        (_q(1.38, 0.12, 3.18), _q(19.14, 3.86, 40.02)),
        (_q(2.31, 0.93, 5.34), _q(28.25, 17.35, 34.29)),
        (_q(0.46, 0.01, 2.25), _q(18.69, 10.52, 28.59)),
    ),
    "ggo_percent": (
        (_q(1.24, 0.11, 2.83), _q(14.06, 2.82, 35.21)),
        (_q(1.85, 0.78, 4.13), _q(22.25, 15.19, 28.53)),
        (_q(0.41, 0.01, 1.85), _q(17.25, 8.74, 24.65)),
    ),
    "consolidation_percent": (
        (_q(0.18, 0.01, 0.83), _q(3.87, 0.47, 7.24)),
        (_q(0.36, 0.04, 1.01), _q(5.17, 2.27, 6.87)),
        (_q(0.03, 0.00, 0.17), _q(1.65, 0.72, 4.51)),
    ),
}
_PAN_PATIENTS = {"moderate": 61, "severe": 34}
PAN_GROUPS: tuple[Group, ...] = (
    *(Group(_PAN_ALL, "all CTs of the course", 465, _LUNG, measure, spread) for measure, spread in _PAN_ROWS.items()),
    *(
        Group(_PAN_TIMED, f"{kind} group, {when}", n, _LUNG, measure, spread)
        for measure, times in _PAN_TIMES.items()
        for when, both in zip(_WHEN, times, strict=True)
        for (kind, n), spread in zip(_PAN_PATIENTS.items(), both, strict=True)
    ),
)
GROUPS: tuple[Group, ...] = (*HUANG_GROUPS, *PAN_GROUPS)

# Pan 2021, Fig. 2: percent of pulmonary lesions from the CT score x: coefficients of 1, x, x².
CONVERSION = (-0.27, 0.37, 0.13)
CONVERSION_SOURCE = "Pan 2021, Fig. 2 (r² 0.924, 465 CTs)"
CONVERSION_SAYS_NOT = (
    "The formula was fitted to radiologists' scores; at a score of 0 it gives less than nothing, and it is no "
    "replacement for the measured extent."
)
SCORE_SOURCE = "Pan 2021, Chest CT estimation by radiologists"
SCORE_CORRECTION = (
    "Pan prints the steps of a lobe as < 5, 6–25, 26–49, 50–75 and > 75 %, which leaves gaps; here they are (0, 5], "
    "(5, 25], (25, 50), [50, 75] and > 75 %."
)
NOTICE = (
    "Literature, not a diagnosis: published groups of patients, measured with other software. Where an exam lies "
    "among them says nothing about what will become of this patient."
)
