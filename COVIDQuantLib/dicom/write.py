"""Write a result as DICOM objects: segmentation, structured report, overview image and report, all or none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from COVIDQuantLib.dicom.files import CAPTURE_FILE, PDF_FILE, REPORT_FILE, SEGMENTATION_FILE, DicomFiles, dicom_files
from COVIDQuantLib.dicom.objects.capture import make_capture
from COVIDQuantLib.dicom.objects.pdf import make_pdf, read_pdf
from COVIDQuantLib.dicom.objects.report import make_report
from COVIDQuantLib.dicom.objects.segmentation import make_segmentation
from COVIDQuantLib.dicom.objects.source import SourceSeries, check_source
from COVIDQuantLib.dicom.objects.tracking import Tracked, Tracking
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.system.atomic_files import OutputFolder, Writer

_TITLE = "Quantification of pneumonia on chest CT"


def write_dicom_result(
    exam: Exam,
    directory: Path,
    *,
    report_pdf: Path | None = None,
    inherited: Mapping[str, Tracked] | None = None,
    report: Report = silent,
) -> DicomFiles:
    """Write a result into a folder as DICOM objects of the CT's patient and study, all of them or none.

    Args:
        exam: the quantified exam of a DICOM series, as it was read.
        directory: created if missing; earlier files of the same names are replaced.
        report_pdf: the report as PDF, to go along.
        inherited: tracking identifiers of lesions known from an earlier exam (``lineage.inherited_tracking``).
        report: progress; may raise ``Cancelled``.

    Raises:
        UnfitInputError: the CT is not DICOM or lacks what the objects must refer to, its files have changed, or the
            PDF is none.
        UsageError: highdicom is not installed.
        OutputError: the folder cannot be written; it is unchanged.
    """
    check_source(exam.ct.source)
    with OutputFolder(directory) as out:
        return put_dicom_result(exam, out, report_pdf=report_pdf, inherited=inherited, report=report)


def put_dicom_result(
    exam: Exam,
    out: OutputFolder,
    *,
    report_pdf: Path | None = None,
    inherited: Mapping[str, Tracked] | None = None,
    report: Report = silent,
) -> DicomFiles:
    """Like :func:`write_dicom_result`, into a set that is already open; the files appear when its block ends."""
    identity = check_source(exam.ct.source)
    pdf = None if report_pdf is None else read_pdf(report_pdf)
    source = SourceSeries(identity, exam.ct.geometry, exam.ct.source.where)
    tracking = Tracking.of_exam(identity, exam.ct.source.text("phase"), inherited)
    with _unfit_headers(source):
        segmentation = make_segmentation(exam, source, tracking, new_uid)
        report(0.4)
        _put(out, SEGMENTATION_FILE, segmentation)
        report(0.5)
        structured = make_report(exam, source, segmentation, tracking, new_uid)
        _put(out, REPORT_FILE, structured)
        report(0.6)
        capture = make_capture(exam, source, new_uid, part(report, 0.6, 1.0))
        _put(out, CAPTURE_FILE, capture)
        if pdf is not None:
            _put(out, PDF_FILE, make_pdf(pdf, source, _TITLE, new_uid))
    report(1.0)
    files = [out.path / name for name in dicom_files(with_pdf=pdf is not None)]
    return DicomFiles(*files)


def new_uid() -> str:
    """A UID that nothing has had before."""
    return generate_uid(prefix=None)


@contextmanager
def _unfit_headers(source: SourceSeries) -> Iterator[None]:
    """What highdicom does not take of the images' headers, as an error that a user understands."""
    try:
        with warnings.catch_warnings():
            # pydicom and highdicom warn about harmless violations of the standard in the source's headers.
            warnings.simplefilter("ignore")
            yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnfitInputError(
            f"its headers do not allow a DICOM result ({type(error).__name__}: {error})",
            source.where,
            "Export the series again from the archive. segmentation.seg.nrrd and metrics.json hold the same result.",
            code="dicom-incomplete",
        ) from error


def _put(out: OutputFolder, name: str, dataset: Dataset) -> None:
    out.write(name, _writer(dataset))


def _writer(dataset: Dataset) -> Writer:
    write: Callable[[Path], object] = lambda path: dataset.save_as(path, enforce_file_format=True)  # noqa: E731
    return write
