"""The pictures of one exam's page: slices, the lungs in 3D, charts."""

from __future__ import annotations

from dataclasses import dataclass

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.report.pictures.charts import histogram_chart, lobe_chart
from COVIDQuantLib.report.pictures.image import Image, image_of_sheet, png_of
from COVIDQuantLib.report.pictures.slices import slice_images
from COVIDQuantLib.report.pictures.volume import volume_views
from COVIDQuantLib.report.subject import Subject

ROW_MM = 186.0
_CHART_MM = (56.0, 45.0)
_VIEWS = ("From the front: R left", "From behind: R right")


@dataclass(frozen=True)
class ExamPictures:
    """The pictures of one exam.

    Attributes:
        slices: the most diseased slices, or for want of the CT the overview image; empty without either.
        views: the lungs from the front and from behind; empty without a segmentation.
        charts: the lobes, and the CT numbers against normal lungs.
    """

    slices: tuple[Image, ...]
    views: tuple[Image, ...]
    charts: tuple[Image, ...]


def draw_pictures(subject: Subject, report: Report = silent) -> ExamPictures:
    """Draw them.

    Args:
        subject: the exam.
        report: progress; may raise ``Cancelled``.

    Raises:
        UsageError: matplotlib is not installed.
    """
    slices = _slices(subject)
    report(0.4)
    views = _views(subject)
    report(0.8)
    charts = (
        lobe_chart(subject.metrics, *_CHART_MM),
        histogram_chart(subject.histogram, subject.metrics, *_CHART_MM),
    )
    report(1.0)
    return ExamPictures(tuple(slices), tuple(views), charts)


def _slices(subject: Subject) -> list[Image]:
    labels = subject.segmentation
    if labels is not None and not (labels.lobes.any() or labels.lesions.any()):
        return []
    if subject.ct is not None and labels is not None:
        return slice_images(subject.ct, labels, subject.metrics.thresholds, ROW_MM)
    if subject.sheet is not None:
        return [image_of_sheet(subject.sheet)]
    return []


def _views(subject: Subject) -> list[Image]:
    segmentation = subject.segmentation
    if segmentation is None or subject.geometry is None:
        return []
    hu = None if subject.ct is None else subject.ct.hu
    drawn = volume_views(segmentation.lobes, segmentation.lesions, subject.geometry, hu, subject.metrics.thresholds)
    volume = subject.metrics.value(WHOLE_LUNG.name, "lesion_volume_ml") or 0.0
    what = f"{volume:.0f} mL of pneumonia in them as solid bodies" if volume else "without pneumonia"
    return [
        png_of(rgb, f"The lungs in 3D, {words.partition(':')[0].lower()}: translucent lobes, {what}.", words)
        for rgb, words in zip(drawn or (), _VIEWS, strict=False)
    ]
