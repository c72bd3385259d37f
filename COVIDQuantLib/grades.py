"""Check results and grades: how plausible are these lungs, lobes and lesions?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

Place = tuple[float, float, float]


class Grade(StrEnum):
    """How far a result can be trusted, the best first."""

    SOUND = "sound"
    LOOK = "look"
    UNUSABLE = "unusable"

    @property
    def text(self) -> str:
        """The grade as displayed text."""
        return _TEXT[self]

    @property
    def badness(self) -> int:
        """0 for the best grade; higher is worse."""
        return list(Grade).index(self)


_TEXT = {Grade.SOUND: "sound", Grade.LOOK: "look at this", Grade.UNUSABLE: "not usable"}


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        code: a stable name of the check, e.g. ``outside-patient``.
        grade: the resulting grade.
        message: a clause with the values, for display.
        region: the region (a row of the table) or ``pneumonia`` concerned; empty if it is the whole image.
        place: where to look, LPS millimetres; None if it has no particular place.
        value: the measured value, compared with the check's limits.
        unit: of the value.
    """

    code: str
    grade: Grade
    message: str
    region: str = ""
    place: Place | None = None
    value: float = 0.0
    unit: str = ""

    def as_record(self) -> dict[str, Any]:
        """The result as plain values, for JSON."""
        return asdict(self) | {"grade": str(self.grade), "place": None if self.place is None else list(self.place)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> CheckResult:
        """The result that :meth:`as_record` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is not such a record.
        """
        place = record["place"]
        return cls(
            str(record["code"]),
            Grade(record["grade"]),
            str(record["message"]),
            str(record["region"]),
            None if place is None else (float(place[0]), float(place[1]), float(place[2])),
            float(record["value"]),
            str(record["unit"]),
        )


def grade_of(checks: Iterable[CheckResult]) -> Grade | None:
    """The worst of the grades; None if nothing was checked."""
    return max((check.grade for check in checks), key=lambda grade: grade.badness, default=None)


def findings_of(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """The checks below sound, worst first."""
    return sorted((c for c in checks if c.grade is not Grade.SOUND), key=lambda c: -c.grade.badness)


def finding_line(check: CheckResult) -> str:
    """A finding on one line: its message and place."""
    return f"{check.message}{_where(check.place)}"


def _where(place: Place | None) -> str:
    if place is None:
        return ""
    x, y, z = place
    sides = (("R", "L", x), ("A", "P", y), ("I", "S", z))
    return " at " + " ".join(f"{high if value >= 0 else low}{abs(value):.0f}" for low, high, value in sides)
