"""One made patient in several exams along a published course of COVID-19 pneumonia."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.quantification.time_courses import MODERATE, SEVERE, curve_named
from COVIDQuantLib.simulation.anatomy.posture import Placement, Posture, draw_posture
from COVIDQuantLib.simulation.lesions.phantom_lesions import Lesion
from COVIDQuantLib.simulation.phantom.course_fates import ExamLesions, true_fates
from COVIDQuantLib.simulation.phantom.make import Drawn, Phantom, draw_anatomy, draw_settings, scan_anatomy
from COVIDQuantLib.simulation.phantom.render import Anatomy
from COVIDQuantLib.simulation.phantom_settings import PhantomSettings

DEFAULT_DAYS = (4.0, 9.0, 14.0, 21.0, 30.0)
MIN_DAY, MAX_DAY, MAX_EXAMS = 1.0, 50.0, 30
# Patches come and go at their own time: how far the rank of one may move within ten days, at most.
_TEMPO_PER_DAY = 0.025


@dataclass(frozen=True)
class Course:
    """How the extent of the pneumonia goes with the days since the onset of symptoms.

    Attributes:
        name: ``severe`` or ``moderate``.
        cubic: coefficients of x, x² and x³ (Pan 2021, figure 3B: lesions in percent of the lungs' volume).
        peak_day: where the curve is highest, as the paper says.
    """

    name: str
    cubic: tuple[float, float, float]
    peak_day: float

    def extent_percent(self, day: float) -> float:
        """Lesions in percent of the lungs on a day since onset; never below 0."""
        one, two, three = self.cubic
        return max(0.0, one * day + two * day**2 + three * day**3)


def _published(group: str) -> Course:
    """Pan's curve of a group of patients (figure 3B), which starts from nothing."""
    curve = curve_named(f"pan-3b-{group}")
    _, one, two, three = curve.coefficients
    day = curve.computed_peak[0] if curve.peak_day is None else curve.peak_day
    return Course(group, (one, two, three), float(day))


COURSES = {group: _published(group) for group in (SEVERE, MODERATE)}


@dataclass
class CourseExam:
    """One exam of the course.

    Attributes:
        number: 1 for the first.
        day: since the onset of symptoms.
        phantom: the CT with its truth; ``truth["course"]`` holds day, posture and the fates of the lesions.
        placement: where every point of it lies in the patient at rest, exactly.
    """

    number: int
    day: float
    phantom: Phantom
    placement: Placement

    @property
    def folder(self) -> str:
        """Name of the folder that it is written to."""
        return folder_of(self.number, self.day)


def folder_of(number: int, day: float) -> str:
    """Name of an exam's folder, in the order of the exams: ``exam01-day04``."""
    return f"exam{number:02d}-day{day:04.1f}" if day % 1 else f"exam{number:02d}-day{day:02.0f}"


def check_days(days: Sequence[float]) -> None:
    """Refuse days that are no course.

    Raises:
        UsageError: too many or none, not one after the other, or outside the published curves.
    """
    if not 1 <= len(days) <= MAX_EXAMS:
        raise UsageError(f"a course of {len(days)} exams", "phantom", f"Give 1 to {MAX_EXAMS} days.", "course-days")
    for day in days:
        if not (math.isfinite(day) and MIN_DAY <= day <= MAX_DAY):
            raise UsageError(
                f"day {day:g} lies outside the published curves",
                "phantom",
                f"Choose days from {MIN_DAY:g} to {MAX_DAY:g} since the onset of symptoms.",
                "course-days",
            )
    for before, after in pairwise(days):
        if after <= before:
            raise UsageError(
                f"day {after:g} does not come after day {before:g}",
                "phantom",
                "Give the days in order, each once.",
                "course-days",
            )


def make_course(
    settings: PhantomSettings,
    course: Course,
    days: Sequence[float],
    postures: Sequence[Posture] | None = None,
    report: Report = silent,
) -> Iterator[CourseExam]:
    """Make the exams of one patient, one after the other.

    Anatomy, lesions, scanner and protocol are the same in all; breath, position, noise and the stage of the disease
    are each exam's own. The same arguments always give the same exams.

    Args:
        settings: the patient and the scanner. ``extent_percent`` must be None: the course decides. Motion that is left
            open is none.
        course: which.
        days: since the onset of symptoms, ascending, 1..50.
        postures: of each exam; None draws them from the seed.
        report: told the fraction done.

    Yields:
        The exams in order.

    Raises:
        UsageError: settings or days are out of range, or an extent is given.
        UnfitInputError: there is too little memory.
    """
    check_days(days)
    settings.check()
    if settings.extent_percent is not None:
        raise UsageError("both a course and an extent are given", "phantom", "Give one of them.", "course-extent")
    settings = replace(settings, motion=bool(settings.motion))
    peak = course.extent_percent(course.peak_day)
    drawn = replace(draw_settings(settings), extent_percent=peak)
    anatomy = draw_anatomy(settings, peak)
    tempo = _tempo(settings.seed, len(anatomy.pneumonia.lesions))
    before: list[ExamLesions] = []
    for index, day in enumerate(days):
        told = part(report, index / len(days), (index + 1) / len(days))
        posture = postures[index] if postures else draw_posture(np.random.default_rng([settings.seed, 12, index]))
        shifts = [rate * (day - course.peak_day) for rate in tempo]
        sick = _on_day(anatomy, course.extent_percent(day), shifts, posture.breath)
        placement = Placement(posture, anatomy.thorax, anatomy.body)
        noise = int(np.random.default_rng([settings.seed, 13, index]).integers(2**62))
        today: Drawn = replace(drawn, extent_percent=sick.pneumonia.extent_percent)
        phantom = scan_anatomy(settings, today, sick, placement, noise, told)
        exam = CourseExam(index + 1, day, phantom, placement)
        lesions = ExamLesions.of(exam.folder, phantom.lobes, phantom.lesions, phantom.ct.geometry, placement)
        phantom.truth["course"] = _record(course, exam, days, [true_fates(earlier, lesions) for earlier in before])
        before.append(lesions)
        yield exam


def make_two_exams(settings: PhantomSettings, days: Sequence[float], report: Report = silent) -> tuple[Phantom, ...]:
    """The exams of one patient along the severe course; arguments and errors as of :func:`make_course`."""
    return tuple(exam.phantom for exam in make_course(settings, COURSES[SEVERE], days, report=report))


def _tempo(seed: int, count: int) -> list[float]:
    """How much sooner or later than the whole each lesion comes and goes, in ranks per day."""
    rng = np.random.default_rng([seed, 14])
    return [float(rate) for rate in rng.uniform(-_TEMPO_PER_DAY, _TEMPO_PER_DAY, count)]


def _on_day(anatomy: Anatomy, extent: float, shifts: Sequence[float], breath: float) -> Anatomy:
    """The patient with the lesions of one day, in a breath that makes lung and ground glass lighter or denser."""

    def aired(hu: float) -> float:
        return (hu + 1000.0) / breath - 1000.0

    def today(lesion: Lesion, shift: float) -> Lesion:
        return replace(lesion, rank=lesion.rank + shift, ggo_hu=aired(lesion.ggo_hu))

    pneumonia = anatomy.pneumonia
    lesions = [today(lesion, shift) for lesion, shift in zip(pneumonia.lesions, shifts, strict=True)]
    thorax = copy.copy(anatomy.thorax)
    thorax.patient = replace(thorax.patient, lung_hu=aired(thorax.patient.lung_hu))
    return replace(anatomy, thorax=thorax, pneumonia=pneumonia.later(extent, lesions))


def _record(course: Course, exam: CourseExam, days: Sequence[float], fates: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": course.name,
        "exam": exam.number,
        "exams": [folder_of(number, day) for number, day in enumerate(days, start=1)],
        "day_since_onset": exam.day,
        "extent_percent_of_the_curve": course.extent_percent(exam.day),
        "posture": exam.placement.posture.as_record(),
        "since": fates,
    }
