"""Sort exams by date, with the days since the first exam and since the onset of symptoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TypeVar

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.followup.exam_result import ExamResult

_Exam = TypeVar("_Exam")
CONSECUTIVE, FROM_BASELINE = "consecutive", "from baseline"
# For one pneumonia; a larger interval is most likely a typing error in a date.
_LONGEST_COURSE_DAYS = 366


@dataclass(frozen=True)
class DatedExam:
    """An exam with its place in the time course.

    Attributes:
        number: from 1, by date; 1 is the baseline.
        result: the exam's result.
        day: of the exam.
        days: since the baseline.
        onset_days: since the onset of symptoms, negative before it; None if the onset is unknown.
    """

    number: int
    result: ExamResult
    day: date
    days: int
    onset_days: int | None = None


def day_named(text: str) -> date:
    """The day that a text like 2020-02-29 names.

    Raises:
        UsageError: it names none.
    """
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        what = f"“{text}” is not a date"
        raise UsageError(what, remedy="Enter it like 2020-02-29.", code="date-unreadable") from None


def in_order(
    results: Sequence[ExamResult], dates: Sequence[date] = (), onset: date | None = None
) -> tuple[list[DatedExam], list[CTWarning]]:
    """Sort exams by date.

    Args:
        results: two or more, the baseline first.
        dates: their dates in the same order; empty to use the stored ones.
        onset: first day of symptoms.

    Returns:
        The exams, and warnings about their order.

    Raises:
        UsageError: the number of dates differs from the number of exams.
        UnfitInputError: a result has no date and none was given.
    """
    if dates and len(dates) != len(results):
        what = f"there are {len(results)} exams, but dates for {len(dates)}"
        raise UsageError(what, "--date", "Give one date per exam, in the order of the exams.", code="dates-count")
    days = list(dates) or [_day_of(result) for result in results]
    # Exams of one day keep the given order.
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
    raise UnfitInputError("the result has no acquisition date", str(result.path), remedy, code="date-missing")


def _of_order(order: Sequence[int], exams: Sequence[DatedExam]) -> list[CTWarning]:
    found = []
    if list(order) != sorted(order):
        given = ", ".join(f"{exam.number} was given as {index + 1}" for exam, index in zip(exams, order, strict=True))
        text = f"The exams were not given in order of date; they were sorted (exam {given})."
        found.append(CTWarning("exams-reordered", text))
    same = [f"{one.number} and {two.number}" for one, two in pairwise(exams) if one.day == two.day]
    if same:
        text = f"Exams of one day: {', '.join(same)}; they keep the given order."
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
    text = f"The given date differs from the result's own (exam given as {', '.join(other)}): the given one was used."
    return [CTWarning("date-differs", text)]


def _of_onset(exams: Sequence[DatedExam]) -> list[CTWarning]:
    first = exams[0].onset_days
    if first is None:
        return []
    if first < 0:
        text = f"The first exam is {-first} days before the onset of symptoms: check the dates."
        return [CTWarning("onset-after-exam", text)]
    if first > _LONGEST_COURSE_DAYS:
        text = f"The onset is {first} days before the first exam: check the dates."
        return [CTWarning("dates-far-apart", text)]
    return []


def kinds_of(before: int, after: int) -> tuple[str, ...]:
    """Why two exams are compared: :data:`CONSECUTIVE`, :data:`FROM_BASELINE` or both.

    Args:
        before: place of the earlier exam, from 0.
        after: of the later one.
    """
    return (*([CONSECUTIVE] if after == before + 1 else []), *([FROM_BASELINE] if before == 0 else []))


def followed_pairs(exams: Sequence[_Exam]) -> list[tuple[_Exam, _Exam]]:
    """The pairs between which lesions are followed: each exam and the next, then the first and the last of more.

    Args:
        exams: in order.
    """
    overall = [(exams[0], exams[-1])] if len(exams) > 2 else []
    return [*pairwise(exams), *overall]
