"""The header of a DICOM image file, read without its pixels."""

from __future__ import annotations

import logging
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from COVIDQuantLib.ct.dicom.header_claims import check_deflated
from COVIDQuantLib.ct.dicom.open import open_dicom

# Unless the host has its own handler, pydicom's log about damaged files would reach the terminal.
logging.getLogger("pydicom").addHandler(logging.NullHandler())

# What an object made from the images repeats of them (DICOM PS3.3, C.7.1.1 and C.7.2.1).
PATIENT_MODULE = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY_MODULE = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription")
# Everything later steps ask of a header. What names the patient leaves this package in ``DicomIdentity`` alone.
_KEYWORDS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "ImageType",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "ProtocolName",
    "BodyPartExamined",
    "PatientPosition",
    "Manufacturer",
    "ManufacturerModelName",
    "ConvolutionKernel",
    "ContrastBolusAgent",
    "SliceThickness",
    "SpacingBetweenSlices",
    "GantryDetectorTilt",
    "KVP",
    "AcquisitionNumber",
    "AcquisitionDate",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "ContentDate",
    "ContentTime",
    "SeriesDate",
    "NominalPercentageOfCardiacPhase",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameOfReferenceUID",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "NumberOfSeriesRelatedInstances",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "BurnedInAnnotation",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *PATIENT_MODULE,
    *STUDY_MODULE,
]
# The segmentations that are read as masks; pydicom does not know the second yet.
SEGMENTATION_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
}
_MAGIC_AT = 128
# Longer than any value that is used; anything longer is damage.
_MAX_TEXT = 1024


@dataclass(frozen=True)
class ImageFile:
    """A DICOM file that holds an image.

    Attributes:
        path: the file.
        head: its header without pixels, reduced to the tags that are used.
        syntax: UID of the transfer syntax.
        size: bytes on the disk.
        pixels_at: where the header ends and the pixels begin, bytes from the start (0 in deflated files).
    """

    path: Path
    head: Dataset
    syntax: str
    size: int
    pixels_at: int = 0

    @property
    def name(self) -> str:
        """The file's name for messages; bytes that are no UTF-8 are replaced."""
        return printable(self.path.name)

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.number("Rows") or 0), int(self.number("Columns") or 0)

    @property
    def frames(self) -> int:
        """Number of frames, 1 if the header has none; 0 if it is not a valid number."""
        value = self.number("NumberOfFrames")
        if value is not None:
            return int(value) if value >= 1 and value == int(value) else 0
        element = self.head.get_item("NumberOfFrames")
        return 1 if element is None or not str(element.value or "").strip("b' ") else 0

    def text(self, keyword: str) -> str:
        """A header field as text of bounded length; several values joined by a blank, empty if absent."""
        value = value_of(self.head, keyword)
        if value is None:
            return ""
        text = " ".join(str(item) for item in value) if isinstance(value, (list, tuple, MultiValue)) else str(value)
        return "".join(c if c.isprintable() else " " for c in text[:_MAX_TEXT]).strip()

    def number(self, keyword: str) -> float | None:
        """A header field as a number, None if absent or not a number; the first of several."""
        return as_number(value_of(self.head, keyword))


def value_of(dataset: Dataset, keyword: str) -> Any:
    """A header field, None if it is absent or damaged: pydicom converts lazily and raises many kinds of error."""
    try:
        return dataset.get(keyword)
    except Exception:  # noqa: BLE001
        return None


def as_number(value: Any) -> float | None:
    """A DICOM value as a float; None if it is absent, empty, not finite or not a number."""
    if isinstance(value, (list, tuple, MultiValue)):
        value = value[0] if len(value) else None
    try:
        number = math.nan if value is None or value == "" else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def printable(name: str) -> str:
    """A file name that can be printed and written: bytes that are no UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", errors="replace")


def class_name(sop_class: str) -> str:
    """The kind of object a SOP Class UID stands for; the UID itself if unknown, empty if it is not a UID."""
    if sop_class in SEGMENTATION_CLASSES:
        return SEGMENTATION_CLASSES[sop_class]
    uid = UID(sop_class, validation_mode=IGNORE)
    return uid.name if uid.is_valid else ("unknown object" if sop_class else "")


def is_dicom(path: Path) -> bool:
    """Whether a file starts like a DICOM file, with or without the preamble."""
    with path.open("rb") as stream:
        start = stream.read(_MAGIC_AT + 4)
    if start[_MAGIC_AT:] == b"DICM":
        return True
    # Old files without a preamble start directly with group 0008 (or 0002), little endian.
    return start[:2] in {b"\x08\x00", b"\x02\x00"} and start[3:4] == b"\x00" and len(start) > _MAGIC_AT


def read_header(path: Path) -> ImageFile:
    """The header of one file.

    Raises:
        Exception: it cannot be parsed; pydicom has no common base class for that.
    """
    with warnings.catch_warnings(), open_dicom(path) as stream:
        # pydicom warns about harmless violations of the standard; what matters is checked here.
        warnings.simplefilter("ignore")
        check_deflated(path)
        head = dcmread(stream, stop_before_pixels=True, force=True, specific_tags=[*_KEYWORDS])
        pixels_at = stream.tell()
        syntax = str(head.file_meta.get("TransferSyntaxUID", "")) if hasattr(head, "file_meta") else ""
        if not head.get("SOPClassUID") and hasattr(head, "file_meta"):
            sop_class = head.file_meta.get("MediaStorageSOPClassUID")
            if sop_class:
                head.SOPClassUID = sop_class
        for keyword in _KEYWORDS:
            # Converts the raw bytes here, where warnings are off.
            value_of(head, keyword)
    return ImageFile(path, head, syntax or "1.2.840.10008.1.2", path.stat().st_size, pixels_at)
