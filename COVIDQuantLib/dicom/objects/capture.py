"""The overview image of an exam as a Secondary Capture, for viewers that show pictures alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset

from COVIDQuantLib.dicom.objects.source import SourceSeries
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.sheet.page import draw_sheet
from COVIDQuantLib.progress import Report, silent

SERIES_OFFSET = 3


def sheet_pixels(exam: Exam, report: Report = silent) -> np.ndarray:
    """uint8 RGB ``[row, column, colour]`` of the sheet that quantify writes as ``overlay.png``."""
    figure = draw_sheet(exam.ct, exam.segmentation, exam.metrics, report=report)
    figure.canvas.draw()
    return np.ascontiguousarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])  # type: ignore[attr-defined]


def make_capture(exam: Exam, source: SourceSeries, new_uid: Callable[[], str], report: Report = silent) -> Dataset:
    """The sheet as a DICOM image of the patient's study."""
    from highdicom.sc import SCImage

    header = source.headers[0]
    capture = SCImage.from_ref_dataset(
        ref_dataset=header,
        pixel_array=sheet_pixels(exam, report),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        **source.new_series(SERIES_OFFSET, "COVIDQuant overview", new_uid),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    capture.BurnedInAnnotation = "NO"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    # Views in three planes and both lungs: no one orientation holds for them.
    capture.PatientOrientation = None
    capture.BodyPartExamined = "CHEST"
    return capture
