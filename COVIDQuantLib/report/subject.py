"""What a report of one exam is made from, whether the exam is in memory or in a folder that quantify wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.anonymous import without_names
from COVIDQuantLib.export.exam_files import PICTURE_FILE
from COVIDQuantLib.export.table_file import metrics_record, read_metrics
from COVIDQuantLib.followup.exam_ct import ExamCT
from COVIDQuantLib.followup.exam_result import ExamResult, read_result
from COVIDQuantLib.followup.lesions.exam_segmentation import read_exam_images
from COVIDQuantLib.grades import CheckResult, Grade, grade_of
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import MetricsTable
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

_PNG = b"\x89PNG\r\n\x1a\n"
# A picture of quantify has less; anything larger is not one.
_MOST_BYTES = 20_000_000


@dataclass(frozen=True)
class Subject:
    """One exam as the report shows it.

    Attributes:
        metrics: the figures.
        histogram: the counts they follow from.
        record: everything else, as ``metrics.json`` holds it.
        checks: of the result; empty if it was not checked.
        ct: the CT; None if it is not at hand.
        segmentation: lobes and lesions; None if they are not at hand.
        geometry: the grid of both; None if neither is at hand.
        sheet: ``overlay.png`` of a finished result, for want of the CT; None if there is none.
        missing: what the report lacks, and why, for the reader of the page.
    """

    metrics: MetricsTable
    histogram: JointHistogram
    record: Mapping[str, Any]
    checks: tuple[CheckResult, ...] = ()
    ct: CTVolume | None = None
    segmentation: Segmentation | None = None
    geometry: Geometry | None = None
    sheet: bytes | None = None
    missing: tuple[CTWarning, ...] = field(default=())

    @property
    def grade(self) -> Grade | None:
        """The worst grade of any check; None if nothing was checked."""
        return grade_of(self.checks)

    def with_metrics(self, metrics: MetricsTable) -> Subject:
        """The same with figures at other thresholds."""
        return replace(self, metrics=metrics)


def subject_of_exam(exam: Exam, *, identify: bool = False) -> Subject:
    """An exam in memory.

    Args:
        exam: the exam.
        identify: keep names of files and series instead of hashes.
    """
    shown = exam if identify else without_names(exam)
    record = metrics_record(shown.ct, shown.segmentation, exam.histogram, exam.metrics)
    # What readers have added to an exam in memory stands in the file under the same names.
    record |= shown.records
    return Subject(
        exam.metrics, exam.histogram, record, tuple(exam.checks), exam.ct, exam.segmentation, exam.ct.geometry
    )


def subject_of_result(folder: Path, ct: Path | ExamCT | None = None) -> Subject:
    """A folder that quantify wrote.

    What is missing beside ``metrics.json`` is missing in the report, which says so; what contradicts the figures is
    left out likewise. A CT that was asked for must be the right one.

    Args:
        folder: the folder.
        ct: its CT, anything that quantify reads; None to do without: the slices are then those of ``overlay.png``.

    Raises:
        UnfitInputError: the folder is half written, damaged or of another format; the CT is not the exam's.
    """
    result = read_result(folder)
    read = read_metrics(result.path)
    segmentation, geometry, volume, missing = _images(result, ExamCT(ct) if isinstance(ct, Path) else ct)
    sheet = None
    if volume is None:
        sheet, lacking = _sheet(result.path / PICTURE_FILE)
        missing += lacking
    return Subject(
        read.metrics, read.histogram, read.record, read.checks, volume, segmentation, geometry, sheet, tuple(missing)
    )


def _images(
    result: ExamResult, ct: ExamCT | None
) -> tuple[Segmentation | None, Geometry | None, CTVolume | None, list[CTWarning]]:
    try:
        images = read_exam_images(result, ct)
    except UnfitInputError as error:
        if ct is not None:
            raise
        # Of the error only its code: a report names no file.
        text = f"The lungs cannot be drawn: the segmentation cannot be used ({error.code or 'unreadable'})."
        return None, None, None, [CTWarning("report-no-segmentation", text)]
    segmentation = Segmentation(images.lobes, images.lesions != 0)
    volume = None if images.hu is None else CTVolume(images.hu, images.geometry)
    return segmentation, images.geometry, volume, []


def _sheet(path: Path) -> tuple[bytes | None, list[CTWarning]]:
    try:
        if path.stat().st_size <= _MOST_BYTES:
            data = path.read_bytes()
            if data.startswith(_PNG):
                return data, []
        why = f"{PICTURE_FILE} is damaged"
    except OSError:
        why = f"the folder has no {PICTURE_FILE}"
    text = f"No slices are shown: {why}, and the CT was not given."
    return None, [CTWarning("report-no-picture", text)]
