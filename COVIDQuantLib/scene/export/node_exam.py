"""An exam built from nodes, for the file writers: segments and figures as the reader left them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from COVIDQuantLib.checks.run import check_labels
from COVIDQuantLib.dicom.files import names_of
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.case_records import with_notes
from COVIDQuantLib.export.exam_files import EXPORTS, write_exam
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.scene.nodes.segmentations import provenance_of_node
from COVIDQuantLib.scene.nodes.volumes import ct_of_node
from COVIDQuantLib.scene.reading_session import Reading
from COVIDQuantLib.scene.review.segment_status import status_record
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.box import Box


def exam_of_reading(reading: Reading) -> Exam:
    """The current CT, segments, figures and readers' records of a reading; the provenance includes the reader's edits.

    Raises:
        UnfitInputError: the CT or the segments cannot be read.
    """
    reading.update()
    live = reading.live
    if live.metrics is None:
        raise RuntimeError("the figures were never computed")
    ct = ct_of_node(live.volume)
    lobes, lesions = live.labels(Box.of_shape(ct.geometry.shape))
    checks = list(reading.checks.checks) if reading.is_checked else check_labels(ct, lobes, lesions)
    segmentation = Segmentation(lobes, lesions, provenance_of_reading(reading), reading.warnings, checks)
    return with_notes(Exam(ct, segmentation, live.histogram, live.metrics), reading.readers.notes())


def provenance_of_reading(reading: Reading) -> dict[str, Any]:
    """How the segments were created, and what the reader changed."""
    live = reading.live
    review = status_record(live.segmentation, live.histogram) | {"findings": reading.findings.record()}
    return {**provenance_of_node(live.segmentation), "review": review}


def files_in_the_way(folder: Path, wanted: Collection[str]) -> list[Path]:
    """The files that an export would replace."""
    return [folder / name for name in names_of(wanted) if (folder / name).exists()]


def export_reading(reading: Reading, folder: Path, wanted: Collection[str], report: Report = silent) -> list[Path]:
    """Write the wanted exports of a reading into a folder, all of them or none.

    Args:
        reading: the result to export.
        folder: created if missing; earlier files of the same names are replaced.
        wanted: names of ``export.exam_files.EXPORTS``.
        report: progress; may raise ``Cancelled``.

    Returns:
        The files.

    Raises:
        OutputError: the folder cannot be written; it is unchanged.
        UsageError: nothing is wanted.
        UnfitInputError: the CT or the segments cannot be read.
    """
    known = [export.name for export in EXPORTS if export.name in wanted]
    if not known:
        raise UsageError("nothing was chosen to be written", remedy="Choose what to export.")
    return write_exam(exam_of_reading(reading), folder, known, report)
