"""Changes between two exams: every measure of every region, absolute and in percent, with all edge cases defined."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from COVIDQuantLib.anatomy import OUTSIDE_LOBES, REGIONS, WHOLE_LUNG, Region
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import MetricsTable, Row

# The columns that show whether a region is present, and whether it is diseased.
_VOLUME, _LESION = "volume_ml", "lesion_volume_ml"


class Case(StrEnum):
    """Why a change is, or is not, defined."""

    COMPARED = "compared"
    ZERO_BASELINE = "zero baseline"
    UNDEFINED_BEFORE = "undefined before"
    UNDEFINED_AFTER = "undefined after"
    UNDEFINED = "undefined in both"
    REGION_ABSENT = "region absent"


class Disease(StrEnum):
    """How the pneumonia of a region changed."""

    NONE = "none"
    NEW = "new"
    PRESENT = "present"
    VANISHED = "vanished"
    REGION_ABSENT_BEFORE = "region absent before"
    REGION_ABSENT_AFTER = "region absent after"
    REGION_ABSENT = "region absent in both"

    @property
    def region_is_there(self) -> bool:
        """Whether the region is present in both exams."""
        return self not in {self.REGION_ABSENT_BEFORE, self.REGION_ABSENT_AFTER, self.REGION_ABSENT}


@dataclass(frozen=True)
class Figure:
    """A compared quantity: a measure of the table, or a value of the whole patient.

    Attributes:
        name: key in the files.
        title: displayed heading.
        unit: displayed unit; empty for a score.
        decimals: digits after the point in displays.
    """

    name: str
    title: str
    unit: str
    decimals: int


@dataclass(frozen=True)
class PatientFigure(Figure):
    """A quantity with one value per patient, compared on the row of the whole lung.

    Attributes:
        of: its value in a table; None if undefined.
    """

    of: Callable[[MetricsTable], float | None]


PATIENT_FIGURES = (
    PatientFigure("involved_lobes", "Involved lobes", "", 0, lambda table: table.involved_lobes),
    PatientFigure("hellinger_distance", "Hellinger distance", "", 3, lambda table: table.hellinger_distance),
    PatientFigure("histogram_iou", "Histogram IoU", "", 3, lambda table: table.histogram_iou),
)


@dataclass(frozen=True)
class Change:
    """One figure of one region in two exams.

    Attributes:
        figure: which.
        before, after: its values; None where undefined.
        case: why the change is, or is not, defined.
        change: after − before; None unless both are defined and the region is present in both.
        percent: 100 × change / |before|; None without a defined change, or if before is zero and after is not.
    """

    figure: Figure
    before: float | None
    after: float | None
    case: Case
    change: float | None = None
    percent: float | None = None


@dataclass(frozen=True)
class RegionChange:
    """One region in two exams.

    Attributes:
        region: its name in the table.
        disease: how its pneumonia changed.
        changes: by name of the figure, in the order of the table.
    """

    region: str
    disease: Disease
    changes: dict[str, Change]


def compare_tables(before: MetricsTable, after: MetricsTable) -> tuple[RegionChange, ...]:
    """The changes of every region, in the order of the table.

    Args:
        before: values of the earlier exam.
        after: values of the later exam, with the same thresholds.

    Raises:
        ValueError: the thresholds differ, so the values are not comparable.
    """
    if before.thresholds != after.thresholds:
        raise ValueError("values with different thresholds cannot be compared")
    return tuple(_compare_region(region, before, after) for region in REGIONS)


def _compare_region(region: Region, before: MetricsTable, after: MetricsTable) -> RegionChange:
    one, other = before.row(region.name), after.row(region.name)
    disease = _disease(region, one, other)
    changes = {
        measure.name: compare_values(
            Figure(measure.name, measure.title, measure.unit, measure.decimals),
            _number(one[measure.name]),
            _number(other[measure.name]),
            there=disease.region_is_there,
        )
        for measure in MEASURES
        if region is not OUTSIDE_LOBES or measure.outside
    }
    if region is WHOLE_LUNG:
        changes |= {
            figure.name: compare_values(figure, figure.of(before), figure.of(after), there=disease.region_is_there)
            for figure in PATIENT_FIGURES
        }
    return RegionChange(region.name, disease, changes)


def _disease(region: Region, before: Row, after: Row) -> Disease:
    if region is not OUTSIDE_LOBES:
        there = bool(before[_VOLUME]), bool(after[_VOLUME])
        if not all(there):
            one_sided = Disease.REGION_ABSENT_AFTER if there[0] else Disease.REGION_ABSENT_BEFORE
            return one_sided if any(there) else Disease.REGION_ABSENT
    ill = bool(before[_LESION]), bool(after[_LESION])
    return {
        (False, False): Disease.NONE,
        (False, True): Disease.NEW,
        (True, False): Disease.VANISHED,
        (True, True): Disease.PRESENT,
    }[ill]


def compare_values(figure: Figure, before: float | None, after: float | None, *, there: bool = True) -> Change:
    """The change of one quantity; undefined values are None, never NaN or infinite.

    Args:
        figure: which.
        before: its earlier value; None where undefined.
        after: its later value; None where undefined.
        there: whether the region is present in both exams.
    """
    if not there:
        return Change(figure, before, after, Case.REGION_ABSENT)
    if before is None or after is None:
        undefined = Case.UNDEFINED_BEFORE if after is not None else Case.UNDEFINED_AFTER
        return Change(figure, before, after, undefined if (before, after) != (None, None) else Case.UNDEFINED)
    change = after - before
    if change == 0:
        return Change(figure, before, after, Case.COMPARED, change, 0.0)
    # A quotient that overflows counts as division by zero.
    percent = 100.0 * change / abs(before) if before else math.inf
    if not math.isfinite(percent):
        return Change(figure, before, after, Case.ZERO_BASELINE, change)
    return Change(figure, before, after, Case.COMPARED, change, percent)


def _number(value: str | float | None) -> float | None:
    return None if isinstance(value, str) else value
