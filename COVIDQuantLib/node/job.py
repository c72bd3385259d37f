"""What the node's background process does with one series: read, quantify, write the objects that are sent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydicom import dcmread

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.table_file import write_json
from COVIDQuantLib.node.settings import OBJECTS
from COVIDQuantLib.pipeline import Plan, quantify_ct
from COVIDQuantLib.progress import Report, StagedProgress, part
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.system.atomic_files import write_folder_atomically

OUTCOME = "outcome.json"


def quantified(
    images: Path, out: Path, plan: Plan, thresholds: Thresholds, objects: Sequence[str], report: Report
) -> None:
    """Quantify the series of a folder into another, which appears complete or not at all.

    Args:
        images: DICOM files.
        out: gets the objects and ``outcome.json``: their names and identifiers, the grade, the warnings' codes.
        plan: how lungs, lobes and lesions are found.
        thresholds: bounds of ground glass and consolidation.
        objects: fields of ``DicomFiles`` that are wanted.
        report: progress.

    Raises:
        UnfitInputError: it is no chest CT that can be quantified.
        OutputError: the folder cannot be written.
        UsageError: a package is missing, or a model is not there.
    """
    began = time.monotonic()
    ct = read_ct(images, report=part(report, 0.0, 0.2))
    middle = part(report, 0.2, 0.8)
    progress = StagedProgress(plan.stages, lambda state: middle(state.fraction))
    exam = quantify_ct(ct, thresholds=thresholds, progress=progress, plan=plan)
    with write_folder_atomically(out) as folder:
        files, warnings = make_results(exam, folder, objects)
        outcome = {
            "files": [_described(path) for path in files],
            "grade": exam.grade.value if exam.grade else "",
            "warnings": sorted({warning.code for warning in [*exam.warnings, *warnings]}),
            "seconds": round(time.monotonic() - began, 1),
        }
        write_json(folder / OUTCOME, outcome)
    report(1.0)


def make_results(exam: Exam, folder: Path, objects: Sequence[str]) -> tuple[list[Path], list[CTWarning]]:
    """Write the wanted DICOM objects of an exam; the one place where the node makes results.

    Args:
        exam: of a DICOM series.
        folder: for the objects.
        objects: fields of ``DicomFiles``.

    Returns:
        The objects, and what the report's maker warns of.

    Raises:
        UnfitInputError: the source lacks what an object needs.
        UsageError: a package is missing.
    """
    from COVIDQuantLib.dicom.write import write_dicom_result

    # What names the patient outside a DICOM object is gone when the object is made.
    with tempfile.TemporaryDirectory() as apart:
        pdf, warnings = _report(exam, Path(apart)) if OBJECTS[-1] in objects else (None, [])
        files = write_dicom_result(exam, folder, report_pdf=pdf)
    made = {name: getattr(files, name) for name in OBJECTS}
    for name, path in made.items():
        if path is not None and name not in objects:
            path.unlink()
    return [path for name, path in made.items() if path is not None and name in objects], warnings


def _report(exam: Exam, folder: Path) -> tuple[Path | None, list[CTWarning]]:
    """The report as PDF, naming the patient as every page in an archive does; None where no PDF can be made."""
    from COVIDQuantLib.report.identity import ReportIdentity
    from COVIDQuantLib.report.write import write_report

    identity = None
    # Of a CT that names nobody.
    with suppress(UsageError):
        identity = ReportIdentity.of(exam.ct.source)
    made = write_report(exam, folder, identity=identity)
    return made.pdf, list(made.warnings)


def _described(path: Path) -> dict[str, Any]:
    head = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
    return {"file": path.name, "sop_class": str(head.SOPClassUID), "sop_instance": str(head.SOPInstanceUID)}
