"""Lesion fates along whole courses of made patients against the truth that their makers know; minutes."""

from collections import Counter

import numpy as np
import pytest

from COVIDQuantLib.followup.lesions.change_map import PERSISTING, change_map
from COVIDQuantLib.followup.lesions.fates import find_fates
from COVIDQuantLib.followup.lesions.records import LESION_ML
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.followup.registration.register import register
from COVIDQuantLib.simulation.phantom import PhantomSettings
from COVIDQuantLib.simulation.phantom.course import COURSES, make_course

pytestmark = pytest.mark.slow

PATIENTS = (
    ("moderate", 21, (4, 9, 14, 21, 30)),
    ("severe", 22, (4, 14, 40)),
    ("moderate", 23, (6, 18, 32, 44)),
)


def key(fate, old, new):
    """A lesion by its word and the volumes of its parts; crumbs may come and go."""
    return fate, *(tuple(sorted(round(v, 3) for v in side if v >= LESION_ML)) for side in (old, new))


def true_keys(lesions):
    sides = [[[part["volume_ml"] for part in one[side]] for side in ("baseline", "followup")] for one in lesions]
    return Counter(key(one["fate"], *volumes) for one, volumes in zip(lesions, sides, strict=True))


def found_keys(records):
    return Counter(
        key(r.fate, *([part.volume_ml for part in side] for side in (r.baseline, r.followup))) for r in records
    )


def pairs(exams):
    """Each exam with the one before it, and with the first."""
    for after in range(1, len(exams)):
        for before in sorted({0, after - 1}):
            yield before, after


def test_at_least_95_percent_of_the_fates_are_right():
    right = total = 0
    seen = Counter()
    for course, seed, days in PATIENTS:
        settings = PhantomSettings(seed=seed, matrix=80, thickness_mm=5.0)
        exams = list(make_course(settings, COURSES[course], days))
        images = [ExamImages(e.phantom.lobes, e.phantom.lesions, e.phantom.ct.geometry, e.phantom.ct.hu) for e in exams]
        for before, after in pairs(exams):
            found = register(images[before], images[after])
            assert found.quality.word == "good"
            assert found.quality.lung_dice >= 0.97
            assert found.quality.fissure_mm <= 4.0
            true = true_keys(exams[after].phantom.truth["course"]["since"][before]["lesions"])
            records = find_fates(images[before], images[after], found).records
            right += sum((true & found_keys(records)).values())
            total += max(sum(true.values()), len(records))
            seen.update(record.fate for record in records)
            labels = change_map(images[before], images[after], found)
            assert np.array_equal(np.isin(labels, (1, 2)), images[after].lesions)
            if any(record.fate in {"unchanged", "grown"} for record in records):
                assert (labels == PERSISTING).any()
    assert total > 40
    assert {"new", "grown", "unchanged", "shrunk", "resolved", "merged", "split"} <= set(seen)
    print(f"{right} of {total} fates right: {dict(seen)}")
    assert right / total >= 0.95
