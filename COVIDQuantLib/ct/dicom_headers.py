"""Finding the DICOM images below a folder by their headers alone; pixels stay on the disk."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from COVIDQuantLib.progress import Report, silent

# Everything later steps ask of a header. Nothing that names the patient leaves this package.
_KEYWORDS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "ImageType",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "StudyDescription",
    "ProtocolName",
    "BodyPartExamined",
    "PatientID",
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
    "AcquisitionTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "ContentTime",
    "NominalPercentageOfCardiacPhase",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
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
]
_MAGIC_AT = 128
_DICOMDIR = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class ImageFile:
    """A DICOM file that holds an image.

    Attributes:
        path: the file.
        head: its header without pixels, reduced to the tags that are used.
        syntax: UID of the transfer syntax.
        size: bytes on the disk.
    """

    path: Path
    head: Dataset
    syntax: str
    size: int

    def text(self, keyword: str) -> str:
        """A header field as text; several values joined by a blank, empty if absent."""
        value = value_of(self.head, keyword)
        if value is None:
            return ""
        if isinstance(value, (list, tuple, MultiValue)):
            return " ".join(str(item) for item in value).strip()
        return str(value).strip()

    def number(self, keyword: str) -> float | None:
        """A header field as a number, None if absent or no number; the first of several."""
        return as_number(value_of(self.head, keyword))


@dataclass
class Findings:
    """What lies below a folder.

    Attributes:
        images: files with a DICOM image.
        others: for each DICOM file without one, what kind of object it is.
        damaged: for each file that is DICOM but cannot be read, why.
    """

    images: list[ImageFile] = field(default_factory=list)
    others: dict[Path, str] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)


def value_of(dataset: Dataset, keyword: str) -> Any:
    """A header field, None if it is absent or damaged: pydicom converts late and raises what it likes."""
    try:
        return dataset.get(keyword)
    except Exception:  # noqa: BLE001
        return None


def as_number(value: Any) -> float | None:
    """A DICOM value as a float, None if it is absent, empty or no number."""
    if isinstance(value, (list, tuple, MultiValue)):
        value = value[0] if len(value) else None
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files begin, with or without the preamble."""
    with path.open("rb") as stream:
        start = stream.read(_MAGIC_AT + 4)
    if start[_MAGIC_AT:] == b"DICM":
        return True
    # Old files without preamble start at once with group 0008 (or 0002), little endian.
    return start[:2] in {b"\x08\x00", b"\x02\x00"} and start[3:4] == b"\x00" and len(start) > _MAGIC_AT


def find_images(path: Path, report: Report = silent) -> Findings:
    """Read the headers of a DICOM file or of every file below a folder.

    Args:
        path: the file or folder.
        report: progress.

    Raises:
        OSError: a folder cannot be listed.
    """
    files = sorted(_files_below(path)) if path.is_dir() else [path]
    findings = Findings()
    for number, file in enumerate(files):
        report(number / len(files))
        _sort_in(file, findings)
    report(1.0)
    return findings


def _files_below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            # Dot files are what macOS and version control leave about, "._1.dcm" among them.
            if not name.startswith("."):
                yield Path(root, name)


def _sort_in(path: Path, findings: Findings) -> None:
    try:
        if not is_dicom(path):
            if path.suffix.lower() in {".dcm", ".dicom", ".ima"}:
                findings.damaged[path] = "it is empty" if not path.stat().st_size else "it does not begin as DICOM does"
            return
        image = read_header(path)
    except Exception as error:  # noqa: BLE001 - pydicom raises what it likes on damaged files
        findings.damaged[path] = str(error) or type(error).__name__
        return
    sop_class = image.text("SOPClassUID")
    if image.number("Rows") and image.number("Columns") and "Segmentation" not in UID(sop_class).name:
        if not image.text("SeriesInstanceUID"):
            findings.damaged[path] = "its header names no series"
        else:
            findings.images.append(image)
    elif sop_class == _DICOMDIR or path.name.upper() == "DICOMDIR":
        findings.others[path] = "DICOMDIR"
    elif sop_class:
        findings.others[path] = UID(sop_class).name
    else:
        findings.damaged[path] = "its header is cut off"


def read_header(path: Path) -> ImageFile:
    """The header of one file.

    Raises:
        Exception: it cannot be parsed; pydicom has no common kind for that.
    """
    with warnings.catch_warnings():
        # pydicom grumbles about harmless breaches of the standard; what matters is checked here.
        warnings.simplefilter("ignore")
        head = dcmread(path, stop_before_pixels=True, force=True, specific_tags=[*_KEYWORDS])
        syntax = str(head.file_meta.get("TransferSyntaxUID", "")) if hasattr(head, "file_meta") else ""
        if not head.get("SOPClassUID") and hasattr(head, "file_meta"):
            sop_class = head.file_meta.get("MediaStorageSOPClassUID")
            if sop_class:
                head.SOPClassUID = sop_class
        for keyword in _KEYWORDS:
            # Converts the raw bytes here, where warnings are off.
            value_of(head, keyword)
    return ImageFile(path, head, syntax or "1.2.840.10008.1.2", path.stat().st_size)
