"""What became of a patient's lesions: each exam registered with the one before it, and the last with the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.followup.exam_ct import ExamCT
from COVIDQuantLib.followup.lesions.change_map import CHANGE_LABELS, change_map
from COVIDQuantLib.followup.lesions.exam_segmentation import read_exam_images
from COVIDQuantLib.followup.lesions.fates import find_fates
from COVIDQuantLib.followup.lesions.records import FateLimits
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.followup.registration.register import Registration, register
from COVIDQuantLib.followup.sequence import DatedExam, followed_pairs, kinds_of
from COVIDQuantLib.progress import Report, part, silent

# The record of a pair whose lesions were not followed, but for the reason.
NOTHING_FOLLOWED = dict.fromkeys(
    ("failed", "registration", "network_odds", "counts", "too_small_count", "lesions", "change_map", "change_map_ml")
)
# Keeps the change map of a pair: its file name, the labels, and the exam on whose grid they lie.
KeepMap = Callable[[str, np.ndarray, ExamImages], None]
# What ITK and numpy raise where exams cannot be laid over each other.
_FAILURES = (UnfitInputError, RuntimeError, ValueError, ArithmeticError, MemoryError)


@dataclass(frozen=True)
class LesionCourse:
    """What became of the lesions between all consecutive exams, and from the baseline to the last.

    Attributes:
        record: ready for JSON.
        warnings: where a registration is poor or failed.
    """

    record: Mapping[str, Any]
    warnings: tuple[CTWarning, ...]


def check_segmentations(exams: Sequence[DatedExam], report: Report = silent) -> None:
    """Read every exam's segmentation before the long work, so that the last one's fault is told at once.

    Args:
        exams: in order.
        report: told the fraction done; may raise ``Cancelled``.

    Raises:
        UnfitInputError: one is missing, damaged, or not that of the exam's figures.
    """
    missing_first = sorted(exams, key=lambda exam: exam.result.segmentation is not None)
    for number, exam in enumerate(missing_first, start=1):
        read_exam_images(exam.result)
        report(number / len(exams))


def follow_lesions(
    exams: Sequence[DatedExam], cts: Mapping[Path, ExamCT], keep_map: KeepMap, report: Report = silent
) -> LesionCourse:
    """Follow the lesions from each exam to the next one, and of three or more from the baseline to the last.

    Only two exams are held in memory at a time. A pair that cannot be registered is a warning, the others are followed.

    Args:
        exams: in order.
        cts: of each exam by the path of its result; empty to do without.
        keep_map: is given the change map of each pair as it is made.
        report: told the fraction done; may raise ``Cancelled``.

    Raises:
        UnfitInputError: a segmentation or a CT cannot be used (see ``exam_segmentation.py``).
    """
    warnings: list[CTWarning] = []
    pairs: list[dict[str, Any]] = []
    todo = followed_pairs(exams)
    step = 1.0 / (len(todo) + 1)
    read: dict[int, ExamImages] = {exams[0].number: _images(exams[0], cts)}
    report(step)
    for number, (before, after) in enumerate(todo, start=1):
        told = part(report, number * step, (number + 1) * step)
        # The exam that the pair before had in common with this one is kept; an exam is let go before one is read.
        read = {exam.number: read[exam.number] for exam in (before, after) if exam.number in read}
        for exam in (before, after):
            if exam.number not in read:
                read[exam.number] = _images(exam, cts)
        told(0.2)
        later = read[after.number]
        found = follow_pair(read[before.number], later, part(told, 0.2, 1.0))
        kept: dict[str, Any] = {}
        if found.change_labels is not None:
            kept = {"change_map": map_file(before.number, after.number)}
            keep_map(kept["change_map"], found.change_labels, later)
        pairs.append({**pair_head(before, after), **found.record, **kept})
        warnings += named_warnings(before, after, found.warnings)
    return LesionCourse(course_record(pairs, with_cts=bool(cts)), tuple(warnings))


def named_warnings(before: DatedExam, after: DatedExam, warnings: Sequence[CTWarning]) -> list[CTWarning]:
    """Warnings about a pair, with the numbers of its exams."""
    label = f"Exam {before.number} to {after.number}"
    return [CTWarning(one.code, f"{label}: {one.message}") for one in warnings]


def _images(exam: DatedExam, cts: Mapping[Path, ExamCT]) -> ExamImages:
    return read_exam_images(exam.result, cts.get(exam.result.path), f"exam {exam.number}")


@dataclass(frozen=True)
class PairCourse:
    """What became of the lesions between two exams.

    Attributes:
        record: ready for JSON; the change map is named by whoever keeps it.
        warnings: why the registration is poor, or why there is none.
        registration: the map between the exams; None if they could not be registered.
        change_labels: see :func:`~COVIDQuantLib.followup.lesions.change_map.change_map`; None without a registration.
    """

    record: Mapping[str, Any]
    warnings: tuple[CTWarning, ...]
    registration: Registration | None = None
    change_labels: np.ndarray | None = None


def follow_pair(baseline: ExamImages, followup: ExamImages, report: Report = silent) -> PairCourse:
    """Register two exams and follow the lesions from one to the other; failure is a warning, not an error."""
    try:
        registration = register(baseline, followup, part(report, 0.0, 0.7))
        fates = find_fates(baseline, followup, registration, report=part(report, 0.7, 0.9))
        labels = change_map(baseline, followup, registration)
    except _FAILURES as error:
        failed = _failure(error)
        return PairCourse(NOTHING_FOLLOWED | {"failed": failed.code}, (failed,))
    report(1.0)
    told = fates.as_record()
    counts = np.bincount(labels.ravel(), minlength=max(CHANGE_LABELS) + 1)
    volumes = {words: int(counts[value]) * followup.geometry.voxel_volume_ml for value, words in CHANGE_LABELS.items()}
    record = {
        "failed": None,
        "registration": registration.as_record(),
        # Of which exams what was missed could be looked for at a lower cut.
        "network_odds": {"baseline": baseline.odds is not None, "followup": followup.odds is not None},
        "counts": told["counts"],
        "too_small_count": told["too_small_count"],
        "lesions": told["lesions"],
        "change_map": None,
        "change_map_ml": volumes,
    }
    return PairCourse(record, tuple(registration.quality.warnings), registration, labels)


def course_record(pairs: Sequence[Mapping[str, Any]], *, with_cts: bool) -> dict[str, Any]:
    """The record of all pairs, ready for JSON.

    Args:
        pairs: of each the head (numbers of both exams, days between them) and the record of its :class:`PairCourse`.
        with_cts: whether the CTs had a say in the registration, beside the lobes.
    """
    return {
        "limits": FateLimits().as_record(),
        "registration": "lobes and CT" if with_cts else "lobes",
        "change_map_labels": {str(value): words for value, words in CHANGE_LABELS.items()},
        "pairs": list(pairs),
    }


def pair_head(before: DatedExam, after: DatedExam) -> dict[str, Any]:
    """Which exams a pair's record is about, and why these two are compared."""
    return {
        "before": before.number,
        "after": after.number,
        "compared": list(kinds_of(before.number - 1, after.number - 1)),
        "interval_days": after.days - before.days,
    }


def _failure(error: Exception) -> CTWarning:
    if isinstance(error, UnfitInputError):
        where = f"{error.where}: " if error.where else ""
        text = f"the lesions could not be followed ({where}{error.what}). {error.remedy}"
        return CTWarning(error.code or "registration-failed", text)
    text = f"the lesions could not be followed ({type(error).__name__} in the registration). The figures are complete."
    return CTWarning("registration-failed", text)


def map_file(before: int, after: int) -> str:
    """Name of the change map of two exams by their numbers; the earlier one is named unless it is the one before."""
    since = "" if after == before + 1 else f"_since_{before:02d}"
    return f"change_map_{after:02d}{since}.nrrd"
