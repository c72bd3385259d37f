"""Which lesions of an exam were there in an earlier one: they keep their tracking identifiers."""

from __future__ import annotations

from pathlib import Path

from COVIDQuantLib.dicom.files import REPORT_FILE
from COVIDQuantLib.dicom.objects.lesions import find_parts
from COVIDQuantLib.dicom.objects.tracking import Tracked, Tracking
from COVIDQuantLib.dicom.read import find_report, read_any_result, read_report
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.followup.exam_result import ExamResult
from COVIDQuantLib.followup.lesions.exam_segmentation import read_exam_images
from COVIDQuantLib.followup.lesions.fates import find_fates
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.followup.registration.register import register
from COVIDQuantLib.progress import Report, part, silent


def read_earlier(path: Path, patient: str) -> ExamResult:
    """The earlier result, before the long work.

    Args:
        path: a folder written by quantify, or DICOM objects of a result.
        patient: check value of the patient's ID of the later exam; empty if it has none.

    Raises:
        UnfitInputError: it cannot be read, has no segmentation, or is of another patient (``another-patient``).
    """
    result = read_any_result(path)
    if patient and result.patient and patient != result.patient:
        raise UnfitInputError(
            "the earlier result is of another patient", str(path), "Give one of this patient.", code="another-patient"
        )
    read_exam_images(result)
    return result


def inherited_tracking(earlier: ExamResult, exam: Exam, report: Report = silent) -> dict[str, Tracked]:
    """What each lesion of an exam was tracked as in the earlier one, by the ID of its component.

    A lesion that came of several keeps the identifier of the largest; of several that came of one, the largest keeps
    it, and the others get their own.

    Args:
        earlier: from :func:`read_earlier`.
        exam: the later exam.
        report: progress; may raise ``Cancelled``.

    Raises:
        UnfitInputError: the exams cannot be laid over each other.
    """
    before = read_exam_images(earlier)
    after = ExamImages(
        exam.segmentation.lobes, exam.segmentation.lesions, exam.ct.geometry, name=exam.ct.source.text("name")
    )
    registration = register(before, after, part(report, 0.0, 0.8))
    fates = find_fates(before, after, registration, report=part(report, 0.8, 1.0))
    known = _tracked_before(earlier, before)
    own = Tracking("", earlier.series)
    return {
        record.followup[0].id: known.get(record.baseline[0].id) or own.lesion(record.baseline[0].id)
        for record in fates.records
        if record.baseline and record.followup
    }


def _tracked_before(earlier: ExamResult, images: ExamImages) -> dict[str, Tracked]:
    """The identifiers that the earlier report gave its lesions, which it lists in the order of their volumes."""
    path = _report_of(earlier.path)
    if path is None:
        return {}
    groups = read_report(path).lesions
    parts = find_parts(images.lobes, images.lesions, images.geometry.spacing_kji)
    if len(groups) != len(parts):
        return {}
    return {part.id: group.tracked for part, group in zip(parts, groups, strict=True)}


def _report_of(path: Path) -> Path | None:
    beside = path / REPORT_FILE
    return beside if beside.is_file() else find_report(path)
