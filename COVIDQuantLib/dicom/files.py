"""The files of a DICOM result."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

SEGMENTATION_FILE, REPORT_FILE = "segmentation.dcm", "report_sr.dcm"
CAPTURE_FILE, PDF_FILE = "overlay.dcm", "report_pdf.dcm"
DICOM_FILES = (SEGMENTATION_FILE, REPORT_FILE, CAPTURE_FILE, PDF_FILE)


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
