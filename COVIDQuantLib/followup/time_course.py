"""The patient's own time course, and the published curves on its days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.quantification.measure_table import Measure
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.time_courses import CURVES


def charted_measures() -> tuple[Measure, ...]:
    """The measures with a published curve, in the order of the table of curves."""
    names = dict.fromkeys(("extent_percent", *(curve.measure for curve in CURVES)))
    return tuple(MEASURES.named(name) for name in names)


@dataclass(frozen=True)
class TrajectoryPoint:
    """The patient in one exam.

    Attributes:
        exam: its number.
        days: since the baseline.
        onset_days: since the onset of symptoms; None if unknown.
        values: of the whole lung, by measure; None where undefined.
        excluded: whether its readers excluded the exam from quantification.
    """

    exam: int
    days: int
    onset_days: int | None
    values: dict[str, float | None]
    excluded: bool = False


def at_curves(point: TrajectoryPoint) -> dict[str, float]:
    """The published curves' values on a point's day; curves that are not valid there are left out."""
    if point.onset_days is None:
        return {}
    day = float(point.onset_days)
    return {curve.name: float(curve.at(day)) for curve in CURVES if curve.span[0] <= day <= curve.span[1]}


TRAJECTORY_REGION = WHOLE_LUNG.name


def has_onset(trajectory: Sequence[TrajectoryPoint]) -> bool:
    """Whether the patient's days can be placed on the axis of the published curves."""
    return all(point.onset_days is not None for point in trajectory)
