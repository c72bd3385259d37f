"""Exams in the order of their days, with the days since the first and since the onset of symptoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.followup.exam_result import ExamResult

# Of one pneumonia: what lies further apart is most likely a slip in a date.
_LONGEST_COURSE_DAYS = 366


@dataclass(frozen=True)
class DatedExam:
    """An exam with its place in the course.

    Attributes:
        number: from 1, in the order of days; 1 is the baseline.
        result: what was found.
        day: of the exam.
        days: since the baseline.
        onset_days: since the onset of symptoms, negative before it; None if the onset is not known.
    """

    number: int
    result: ExamResult
    day: date
    days: int
    onset_days: int | None = None


def in_order(
    results: Sequence[ExamResult], dates: Sequence[date] = (), onset: date | None = None
) -> tuple[list[DatedExam], list[CTWarning]]:
    """Order exams by their days.

    Args:
        results: two or more, the baseline first.
        dates: their days in the same order; empty to take the days that the results hold.
        onset: first day of symptoms.

    Returns:
        The exams, and what the reader should know of their order.

    Raises:
        UsageError: the number of dates is not that of the exams.
        UnfitInputError: a result holds no date and none was given.
    """
    if dates and len(dates) != len(results):
        what = f"there are {len(results)} exams, but dates for {len(dates)}"
        raise UsageError(what, "--date", "Give one date per exam, in the order of the exams.", code="dates-count")
    days = list(dates) or [_day_of(result) for result in results]
    # Exams of one day stay in the order given.
    order = sorted(range(len(results)), key=lambda index: days[index])
    first = days[order[0]]
    exams = [
        DatedExam(
            number,
            results[index],
            days[index],
            (days[index] - first).days,
            None if onset is None else (days[index] - onset).days,
        )
        for number, index in enumerate(order, start=1)
    ]
    return exams, [*_of_order(order, exams), *_of_dates(results, dates), *_of_onset(exams)]


def _day_of(result: ExamResult) -> date:
    if result.acquired is not None:
        return result.acquired
    remedy = "Give --date YYYY-MM-DD for every exam, or run quantify with --identify on DICOM, which keeps the date."
    raise UnfitInputError("the result holds no date of acquisition", str(result.path), remedy, code="date-missing")


def _of_order(order: Sequence[int], exams: Sequence[DatedExam]) -> list[CTWarning]:
    found = []
    if list(order) != sorted(order):
        given = ", ".join(f"{exam.number} was given as {index + 1}" for exam, index in zip(exams, order, strict=True))
        text = f"The exams were not given in the order of their dates; they were put in order (exam {given})."
        found.append(CTWarning("exams-reordered", text))
    same = [f"{one.number} and {two.number}" for one, two in pairwise(exams) if one.day == two.day]
    if same:
        text = f"Exams of one day: {', '.join(same)}; they stand in the order given."
        found.append(CTWarning("same-day", text))
    if exams[-1].days > _LONGEST_COURSE_DAYS:
        text = f"There are {exams[-1].days} days between the first and the last exam: check the dates."
        found.append(CTWarning("dates-far-apart", text))
    return found


def _of_dates(results: Sequence[ExamResult], dates: Sequence[date]) -> list[CTWarning]:
    other = [
        f"{number} by {abs((given - result.acquired).days)} days"
        for number, (result, given) in enumerate(zip(results, dates, strict=False), start=1)
        if result.acquired is not None and abs(given - result.acquired) >= timedelta(days=1)
    ]
    if not other:
        return []
    text = f"The date given is another than the result's own (exam given as {', '.join(other)}): that given was taken."
    return [CTWarning("date-differs", text)]


def _of_onset(exams: Sequence[DatedExam]) -> list[CTWarning]:
    first = exams[0].onset_days
    if first is None:
        return []
    if first < 0:
        text = f"The first exam lies {-first} days before the onset of symptoms: check the dates."
        return [CTWarning("onset-after-exam", text)]
    if first > _LONGEST_COURSE_DAYS:
        text = f"The onset lies {first} days before the first exam: check the dates."
        return [CTWarning("dates-far-apart", text)]
    return []
