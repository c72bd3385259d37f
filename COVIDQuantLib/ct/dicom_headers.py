"""Finding the DICOM images below a folder by their headers alone; pixels stay on the disk."""

from __future__ import annotations

import logging
import math
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from COVIDQuantLib.ct.dicom_claims import check_deflated
from COVIDQuantLib.ct.dicom_directory import is_directory, referenced_files
from COVIDQuantLib.ct.itk_files import first_reason
from COVIDQuantLib.progress import Report, silent

# Without a handler of the host's own, what pydicom logs about damaged files would reach the terminal.
logging.getLogger("pydicom").addHandler(logging.NullHandler())

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
    "FrameOfReferenceUID",
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
# Longer than any value that is asked for; what is more is damage.
_MAX_TEXT = 1024
# Extensions that promise DICOM; a file that has one and does not begin so is told as damaged.
_SUFFIXES = {".dcm", ".dicom", ".ima"}


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
        """Number of frames, 1 if the header is silent about it; 0 if what it says is no such number."""
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
    """A DICOM value as a float, None if it is absent, empty, not finite or no number."""
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
    """What kind of object a SOP Class UID names; the UID itself if it is unknown, and no word for what is no UID."""
    uid = UID(sop_class, validation_mode=IGNORE)
    return uid.name if uid.is_valid else ("unknown object" if sop_class else "")


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files begin, with or without the preamble."""
    with path.open("rb") as stream:
        start = stream.read(_MAGIC_AT + 4)
    if start[_MAGIC_AT:] == b"DICM":
        return True
    # Old files without preamble start at once with group 0008 (or 0002), little endian.
    return start[:2] in {b"\x08\x00", b"\x02\x00"} and start[3:4] == b"\x00" and len(start) > _MAGIC_AT


def find_images(path: Path, report: Report = silent) -> Findings:
    """Read the headers of a DICOM file, of the files that a DICOMDIR lists, or of every file below a folder.

    Args:
        path: the file or folder. A DICOMDIR that lists no file stands for its folder.
        report: progress.

    Raises:
        OSError: the folder cannot be listed.
    """
    files = [path]
    if path.is_dir():
        files = sorted(_files_below(path))
    elif is_directory(path):
        files = referenced_files(path) or sorted(file for file in _files_below(path.parent) if file.name != path.name)
    findings = Findings()
    for number, file in enumerate(files):
        report(number / len(files))
        _sort_in(file, findings)
    report(1.0)
    return findings


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files: a pipe or a device would be waited for. Links to folders are not followed, they may loop."""
    with os.scandir(folder):
        waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    # Dot files are what macOS and version control leave about, "._1.dcm" among them.
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.name.startswith(".") and _is_regular(entry):
                        yield Path(entry.path)
        except OSError:
            # A folder below that may not be listed, or a path longer than the system takes.
            continue


def _is_regular(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return False


def _sort_in(path: Path, findings: Findings) -> None:
    try:
        if not is_dicom(path):
            if path.suffix.lower() in _SUFFIXES:
                findings.damaged[path] = "it is empty" if not path.stat().st_size else "it does not begin as DICOM does"
            return
        image = read_header(path)
        why = _why_no_image(image)
    except Exception as error:  # noqa: BLE001 - pydicom raises what it likes on damaged files
        findings.damaged[path] = first_reason(error)
        return
    sop_class = image.text("SOPClassUID")
    if not why:
        findings.images.append(image)
    elif sop_class and not why.startswith("its"):
        findings.others[path] = why
    else:
        findings.damaged[path] = why


def _why_no_image(image: ImageFile) -> str:
    """What else the file is; words that begin with "its" are a fault."""
    sop_class = image.text("SOPClassUID")
    if min(image.matrix) > 0 and "Segmentation" not in class_name(sop_class):
        return "" if image.frames else "its number of frames (Number of Frames) is no number"
    if is_directory(image.path):
        return "DICOMDIR"
    return class_name(sop_class) if sop_class else "its header is cut off"


def read_header(path: Path) -> ImageFile:
    """The header of one file.

    Raises:
        Exception: it cannot be parsed; pydicom has no common kind for that.
    """
    with warnings.catch_warnings(), path.open("rb") as stream:
        # pydicom grumbles about harmless breaches of the standard; what matters is checked here.
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
