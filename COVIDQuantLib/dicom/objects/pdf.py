"""The report as Encapsulated PDF."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, EncapsulatedPDFStorage, ExplicitVRLittleEndian

from COVIDQuantLib.ct.dicom.headers import PATIENT_MODULE, STUDY_MODULE
from COVIDQuantLib.ct.files.input_files import shown
from COVIDQuantLib.dicom.objects.source import SourceSeries
from COVIDQuantLib.errors import UnfitInputError

SERIES_OFFSET = 4
_MAGIC, _END = b"%PDF-", b"%%EOF"
# The end mark is within the last kilobyte of a PDF.
_TAIL = 1024


def read_pdf(path: Path) -> bytes:
    """The bytes of a PDF.

    Raises:
        UnfitInputError: it cannot be read, or is no whole PDF (``no-pdf``).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        what = f"it cannot be read ({error.strerror or error})"
        raise UnfitInputError(what, shown(path), "Check the path.", "unreadable") from error
    if not data.startswith(_MAGIC) or _END not in data[-_TAIL:]:
        raise UnfitInputError("it is not a whole PDF", shown(path), "Give the report as PDF.", code="no-pdf")
    return data


def _keyword(name: str) -> str:
    """The DICOM keyword of an argument of highdicom: ``SOPInstanceUID`` of ``sop_instance_uid``."""
    return "".join(word.upper() if word in {"sop", "uid"} else word.capitalize() for word in name.split("_"))


def make_pdf(data: bytes, source: SourceSeries, title: str, new_uid: Callable[[], str]) -> Dataset:
    """A PDF as a document of the patient's study.

    Args:
        data: the PDF.
        source: the images that it is about.
        title: Document Title, at most 64 characters.
        new_uid: makes a UID.
    """
    header, now = source.headers[0], datetime.now().astimezone()
    series = source.new_series(SERIES_OFFSET, "COVIDQuant report", new_uid)
    document = Dataset()
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in (*PATIENT_MODULE, *STUDY_MODULE, "StudyInstanceUID"):
        if keyword in header:
            document[keyword] = header[keyword]
    document.SOPClassUID = document.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    document.file_meta.MediaStorageSOPInstanceUID = UID(series["sop_instance_uid"])
    document.Modality, document.ConversionType = "DOC", "WSD"
    for name, value in series.items():
        setattr(document, _keyword(name), value)
    document.ContentDate, document.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    document.AcquisitionDateTime = ""
    document.BurnedInAnnotation, document.DocumentTitle = "YES", title
    document.ConceptNameCodeSequence = []
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocument = data + b"\0" * (len(data) % 2)
    document.EncapsulatedDocumentLength = len(data)
    return document
