"""The files of a DICOM result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import astuple, dataclass
from pathlib import Path

from COVIDQuantLib.export.exam_files import files_of

SEGMENTATION_FILE, REPORT_FILE = "segmentation.dcm", "report_sr.dcm"
CAPTURE_FILE, PDF_FILE = "overlay.dcm", "report_pdf.dcm"
DICOM_FILES = (SEGMENTATION_FILE, REPORT_FILE, CAPTURE_FILE, PDF_FILE)


@dataclass(frozen=True)
class DicomExport:
    """DICOM as a choice beside ``export.exam_files.EXPORTS``; it needs the files of the CT's series as well.

    Attributes:
        name: its name, an option of the command line.
        text: its description for users.
        files: names of the files.
        default: whether it is written by default.
    """

    name: str
    text: str
    files: tuple[str, ...]
    default: bool = False


DICOM = DicomExport(
    "dicom",
    "DICOM objects for the archive (segmentation, report, image)",
    (SEGMENTATION_FILE, REPORT_FILE, CAPTURE_FILE),
)


def names_of(wanted: Collection[str]) -> list[str]:
    """The names of the files of the wanted exports, DICOM among them, in the order of writing."""
    return [*files_of(wanted), *(DICOM.files if DICOM.name in wanted else ())]


@dataclass(frozen=True)
class DicomFiles:
    """The files of a result.

    Attributes:
        segmentation: lobes and pneumonia (SEG).
        report_sr: the figures (SR).
        capture: the overview image (SC).
        encapsulated_pdf: the report as PDF; None if none was given.
    """

    segmentation: Path
    report_sr: Path
    capture: Path
    encapsulated_pdf: Path | None = None

    def paths(self) -> list[Path]:
        """The files that were written, in this order."""
        return [path for path in astuple(self) if path is not None]


def dicom_files(*, with_pdf: bool = False) -> list[str]:
    """The names of the files that are written."""
    return [name for name in DICOM_FILES if with_pdf or name != PDF_FILE]
