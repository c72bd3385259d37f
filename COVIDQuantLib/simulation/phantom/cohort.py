"""Many made patients with serial exams, groups, clinical variables and outcomes, all drawn from one seed.

The disease of each follows Pan's published course of its group (papers.md row P7), scaled for the patient; intensive
care depends on how far it goes and on age. So a study of the cohort has answers that are known beforehand: severe
disease is more extensive, peaks later, and intensive care is predicted by extent and age.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.quantification.time_courses import MODERATE, SEVERE
from COVIDQuantLib.simulation.phantom.course import COURSES, Course, folder_of
from COVIDQuantLib.simulation.phantom_settings import PhantomSettings

_Cell = str | float | int | None
# Seeds up to 99 are reserved for evaluation, those from 1000 are for training; these patients are for neither.
_FIRST_SEED = 500_000
MOST_PATIENTS = 10_000
# Small enough that forty patients are made and quantified within minutes.
MATRIX, THICKNESS_MM = 96, 8.0
# Days since onset between which each exam falls.
_EXAM_DAYS = ((3, 9), (13, 22), (27, 44))
_FIRST_ONSET, _ONSETS_WITHIN_DAYS = date(2020, 1, 20), 40
_SEVERE_SHARE = 0.45
# Standard deviation of the logarithm of a patient's share of the published extent, and its bounds.
_SPREAD, _LEAST, _MOST = 0.35, 0.4, 1.9
# Mean and standard deviation of age by group, years.
_AGES = {SEVERE: (62.0, 12.0), MODERATE: (48.0, 14.0)}
# Log odds of intensive care: at 10 % peak extent and 60 years, per percent of extent, per year.
_ODDS, _PER_PERCENT, _PER_YEAR = -0.9, 0.06, 0.04


@dataclass(frozen=True)
class CohortPatient:
    """One patient of a made cohort.

    Attributes:
        name: ``P001`` …
        group: ``severe`` or ``moderate``.
        settings: of the phantom.
        course: of the disease.
        days: of the exams, since onset.
        onset: first day of symptoms.
        age: years.
        sex: ``female`` or ``male``.
        crp: C-reactive protein at the first exam, mg/L; follows the extent then.
        icu: 1 if the patient came to intensive care, else 0.
    """

    name: str
    group: str
    settings: PhantomSettings
    course: Course
    days: tuple[float, ...]
    onset: date
    age: int
    sex: str
    crp: float
    icu: int


COLUMNS = (
    "patient", "exam", "path", "date", "onset", "group", "age", "sex", "crp", "icu", "reference_lobes",
    "reference_lesions",
)  # fmt: skip


def draw_cohort(count: int, settings: PhantomSettings) -> list[CohortPatient]:
    """Draw the patients; the first ones of a larger cohort of the same seed are those of a smaller one.

    Args:
        count: how many, 1..10000.
        settings: scanner and seed; extent and motion must be open.

    Raises:
        UsageError: too many or none, or an extent is given.
    """
    if not 1 <= count <= MOST_PATIENTS:
        what = f"a cohort of {count} patients"
        raise UsageError(what, "phantom", f"Give 1 to {MOST_PATIENTS}.", code="cohort-size")
    if settings.extent_percent is not None:
        what = "both a cohort and an extent are given"
        raise UsageError(what, "phantom", "Give one of them.", code="course-extent")
    return [_patient(number, settings) for number in range(1, count + 1)]


def _patient(number: int, settings: PhantomSettings) -> CohortPatient:
    rng = np.random.default_rng([settings.seed, 21, number])
    group = SEVERE if rng.random() < _SEVERE_SHARE else MODERATE
    published = COURSES[group]
    share = float(np.clip(math.exp(rng.normal(0.0, _SPREAD)), _LEAST, _MOST))
    one, two, three = published.cubic
    course = replace(published, cubic=(one * share, two * share, three * share))
    days = tuple(float(rng.integers(low, high + 1)) for low, high in _EXAM_DAYS)
    mean, spread = _AGES[group]
    age = int(np.clip(round(rng.normal(mean, spread)), 18, 95))
    sex = "female" if rng.random() < 0.5 else "male"
    peak = course.extent_percent(course.peak_day)
    odds = _ODDS + _PER_PERCENT * (peak - 10.0) + _PER_YEAR * (age - 60.0)
    icu = int(rng.random() < 1.0 / (1.0 + math.exp(-odds)))
    crp = round(float(5.0 + 4.0 * course.extent_percent(days[0]) * math.exp(rng.normal(0.0, 0.5))), 1)
    onset = _FIRST_ONSET + timedelta(days=int(rng.integers(_ONSETS_WITHIN_DAYS)))
    seed = _FIRST_SEED + 10_007 * (settings.seed % 100_000) + number
    own = replace(settings, seed=seed)
    return CohortPatient(f"P{number:03d}", group, own, course, days, onset, age, sex, crp, icu)


def manifest_rows(patients: Sequence[CohortPatient]) -> Iterator[list[_Cell]]:
    """The manifest of the cohort, header first, for ``covidquant batch``; paths are relative to the cohort's folder."""
    yield list(COLUMNS)
    for patient in patients:
        for number, day in enumerate(patient.days, start=1):
            folder = f"{patient.name}/{folder_of(number, day)}"
            when = patient.onset + timedelta(days=int(day))
            head: list[_Cell] = [
                patient.name,
                f"{patient.name}-E{number}",
                f"{folder}/ct.nrrd",
                when.isoformat(),
                patient.onset.isoformat(),
            ]
            known: list[_Cell] = [patient.group, patient.age, patient.sex, patient.crp, patient.icu]
            yield [*head, *known, f"{folder}/lobes.nrrd", f"{folder}/lesions.nrrd"]
