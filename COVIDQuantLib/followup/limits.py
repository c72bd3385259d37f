"""Is a change more than measurement error? Limits of agreement, published and a site's own (papers.md row Y4).

Yoo 2022 compared its network with readers and reported 95 % limits of agreement from square roots, which widen with the
level: mean ± slope·√level. The slope is fitted here to the printed limits.

Such limits apply to one measurement of one exam. A change has two, each with its own error, so its limits are √2 times
as wide; the common part, the bias, cancels. So a change has one of three verdicts: *within* the limits of a single
measurement, *beyond* those of two, or *unclear* between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.followup.changes import Change


class Verdict(StrEnum):
    """How a change compares with measurement error."""

    WITHIN = "within"
    UNCLEAR = "unclear"
    BEYOND = "beyond"


class Limits(Protocol):
    """95 % limits of agreement of one measurement: mean ± a half-width that may depend on the level."""

    @property
    def bias(self) -> float:
        """Mean difference of measurement and reference."""

    def half_width(self, level: float) -> float:
        """Half the distance of the limits at a level of the measurement, in its unit."""


@dataclass(frozen=True)
class SquareRootLimits:
    """Limits that widen with the square root of the level.

    Attributes:
        bias: mean difference of measurement and reference.
        slope: half-width at level 1.
    """

    bias: float
    slope: float

    def half_width(self, level: float) -> float:
        """See :class:`Limits`."""
        return self.slope * math.sqrt(max(level, 0.0))


@dataclass(frozen=True)
class PlainLimits:
    """Limits that are the same at every level.

    Attributes:
        bias: mean difference of measurement and reference.
        half: their half-width.
    """

    bias: float
    half: float

    def half_width(self, level: float) -> float:  # noqa: ARG002
        """See :class:`Limits`."""
        return self.half


@dataclass(frozen=True)
class PublishedLimits:
    """A pair of limits as published.

    Attributes:
        data_set: data set of the paper.
        measure: measure, in the whole lung.
        level: where.
        lower, upper: the limits, in the measure's unit.
    """

    data_set: str
    measure: str
    level: float
    lower: float
    upper: float

    @property
    def half_width(self) -> float:
        """Half the distance of the limits."""
        return (self.upper - self.lower) / 2

    @property
    def centre(self) -> float:
        """The middle of the limits."""
        return (self.upper + self.lower) / 2


_EXTENT, _WEIGHT = "extent_percent", "weight_g"
# Table 1 of Yoo 2022. At 500 g the table lacks the minus sign that the text has: −101.3.
PUBLISHED = (
    PublishedLimits("internal", _EXTENT, 10.0, -4.0, 5.4),
    PublishedLimits("internal", _EXTENT, 50.0, -9.7, 11.1),
    PublishedLimits("internal", _WEIGHT, 100.0, -41.4, 55.5),
    PublishedLimits("internal", _WEIGHT, 500.0, -101.3, 115.4),
    PublishedLimits("Italy", _EXTENT, 10.0, -10.1, 15.1),
    PublishedLimits("Italy", _EXTENT, 50.0, -25.6, 30.6),
    PublishedLimits("Italy", _WEIGHT, 10.0, -3.6, 3.5),
    PublishedLimits("Italy", _WEIGHT, 50.0, -7.9, 7.8),
    PublishedLimits("Radiopaedia", _EXTENT, 10.0, -4.0, 7.4),
    PublishedLimits("Radiopaedia", _EXTENT, 50.0, -11.0, 14.4),
    PublishedLimits("Radiopaedia", _WEIGHT, 100.0, -57.9, 97.2),
    PublishedLimits("Radiopaedia", _WEIGHT, 500.0, -153.8, 193.1),
    PublishedLimits("China", _EXTENT, 10.0, -4.6, 8.4),
    PublishedLimits("China", _EXTENT, 50.0, -12.6, 16.4),
    PublishedLimits("China", _WEIGHT, 100.0, -32.4, 68.2),
    PublishedLimits("China", _WEIGHT, 500.0, -94.5, 130.3),
)
# The paper's own validation: whole CTs, 20 of them; one of the others is of single slices.
USED = "internal"


@dataclass(frozen=True)
class Fit:
    """The square-root model fitted to printed limits of one data set and measure.

    Attributes:
        data_set, measure: of which.
        limits: the model.
        points: the fitted points.
        residuals: per point printed − fitted of the lower and the upper limit, in the measure's unit.
    """

    data_set: str
    measure: str
    limits: SquareRootLimits
    points: tuple[PublishedLimits, ...]
    residuals: tuple[tuple[float, float], ...]


def fit(points: Sequence[PublishedLimits]) -> Fit:
    """Fit mean ± slope·√level by least squares: the mean to the centres, the slope to the half-widths.

    Args:
        points: limits of one data set and measure.
    """
    bias = sum(point.centre for point in points) / len(points)
    slope = sum(p.half_width * math.sqrt(p.level) for p in points) / sum(p.level for p in points)
    limits = SquareRootLimits(bias, slope)
    residuals = tuple(
        (p.lower - (bias - limits.half_width(p.level)), p.upper - (bias + limits.half_width(p.level))) for p in points
    )
    return Fit(points[0].data_set, points[0].measure, limits, tuple(points), residuals)


def published_fits() -> tuple[Fit, ...]:
    """The fits to every data set and measure, in the order of :data:`PUBLISHED`."""
    keys = dict.fromkeys((point.data_set, point.measure) for point in PUBLISHED)
    return tuple(fit([p for p in PUBLISHED if (p.data_set, p.measure) == key]) for key in keys)


LimitsTable = Mapping[tuple[str, str], Limits]


def published_limits() -> LimitsTable:
    """The published limits for changes, by region and measure: whole lung, extent and weight."""
    return {(WHOLE_LUNG.name, one.measure): one.limits for one in published_fits() if one.data_set == USED}


@dataclass(frozen=True)
class LimitsVerdict:
    """A change compared with limits.

    Attributes:
        one: half-width of the limits of one measurement, at the mean of both exams.
        two: of a change, which has two measurements: √2 times as wide.
        verdict: what follows.
    """

    one: float
    two: float
    verdict: Verdict


def judge(change: Change, limits: Limits | None) -> LimitsVerdict | None:
    """Compare a change with limits; None without limits or if the change is undefined."""
    if limits is None or change.change is None or change.before is None or change.after is None:
        return None
    one = limits.half_width((change.before + change.after) / 2)
    two = math.sqrt(2.0) * one
    size = abs(change.change)
    verdict = Verdict.WITHIN if size <= one else Verdict.UNCLEAR if size <= two else Verdict.BEYOND
    return LimitsVerdict(one, two, verdict)


def judge_all(region: str, changes: Iterable[Change], limits: LimitsTable) -> dict[str, LimitsVerdict]:
    """The verdicts on a region's changes by name of the measure; those without limits are left out."""
    found = {change.figure.name: judge(change, limits.get((region, change.figure.name))) for change in changes}
    return {name: judgement for name, judgement in found.items() if judgement is not None}
