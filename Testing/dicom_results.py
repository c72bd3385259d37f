"""Exams of phantoms that were written as DICOM series, for the tests of DICOM results."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from dicom_maker import slice_datasets, write

from COVIDQuantLib.checks.run import check_labels
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.dicom.files import REPORT_FILE, SEGMENTATION_FILE
from COVIDQuantLib.dicom.objects.report import make_report
from COVIDQuantLib.dicom.objects.segmentation import make_segmentation
from COVIDQuantLib.dicom.objects.source import SourceSeries, check_source
from COVIDQuantLib.dicom.objects.tracking import Tracking
from COVIDQuantLib.dicom.write import new_uid
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.segmentation.result import Segmentation

# What a scanner writes beside the image, so that what follows from it validates.
STUDY = {
    "StudyDate": "20200311",
    "StudyTime": "101112.5",
    "AcquisitionDate": "20200311",
    "AccessionNumber": "A-4711",
    "StudyID": "17",
    "ReferringPhysicianName": "Secret^Referrer",
    "StudyDescription": "CT THORAX SECRET",
    "PatientSex": "F",
    "PatientName": "Müller^Ännchen",
    "SpecificCharacterSet": "ISO_IR 100",
    "Manufacturer": "Maker",
    "PositionReferenceIndicator": "",
}
SETTINGS = {"seed": 3, "thickness_mm": 8.0, "matrix": 48, "extent_percent": 20, "motion": False}


def written(phantom: Any, folder: Path, **tags: Any) -> Path:
    """The phantom's CT as a folder of DICOM images, stored from head to foot."""
    ct = phantom.ct
    axes = np.reshape(ct.geometry.direction, (3, 3)).T
    datasets = slice_datasets(ct.hu, ct.geometry.spacing, ct.geometry.origin, axes, **{**STUDY, **tags})
    return write(datasets[::-1], folder)


def exam_of(ct: CTVolume, lobes: np.ndarray, lesions: np.ndarray, *, checked: bool = False, **provenance: Any) -> Exam:
    """The exam of a CT with these masks, checked as the pipeline would if that is wanted."""
    checks = check_labels(ct, lobes, lesions) if checked else []
    made = {step: {"method": "model-free"} for step in ("lobes", "lesions")} | provenance
    segmentation = Segmentation(lobes, lesions != 0, made, [], checks)
    histogram = JointHistogram.of(ct.hu, lobes, lesions != 0, ct.geometry.voxel_volume_ml, ct.padding)
    return Exam(ct, segmentation, histogram, compute_metrics(histogram))


def phantom_exam(once: Any, folder: Path, *, checked: bool = False, **tags: Any) -> Exam:
    """The exam of a phantom that lies in the folder as DICOM, with its true lobes and lesions."""
    phantom = once.phantom(**SETTINGS)
    ct = read_ct(written(phantom, folder, **tags))
    return exam_of(ct, phantom.lobes.copy(), phantom.lesions.copy(), checked=checked)


def objects_of(exam: Exam, folder: Path) -> tuple[Path, Path]:
    """The segmentation and the report of an exam as files: a whole result without its pictures, in less time."""
    identity = check_source(exam.ct.source)
    source = SourceSeries(identity, exam.ct.geometry, "the CT")
    tracking = Tracking.of_exam(identity, "")
    segmentation = make_segmentation(exam, source, tracking, new_uid)
    report = make_report(exam, source, segmentation, tracking, new_uid)
    paths = folder / SEGMENTATION_FILE, folder / REPORT_FILE
    for path, dataset in zip(paths, (segmentation, report), strict=True):
        dataset.save_as(path, enforce_file_format=True)
    return paths


def without_dicom(exam: Exam) -> Exam:
    """The same of a CT that is not DICOM."""
    return replace(exam, ct=replace(exam.ct, source=exam.ct.source.without_identity()))


def validator() -> str | None:
    """The validator of David Clunie's dicom3tools; None where it is not installed."""
    return shutil.which("dciodvfy")


def errors_in(path: Path) -> list[str]:
    """What the validator calls an error in a file."""
    done = subprocess.run([validator() or "", "-new", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("Error", "Abort"))]
