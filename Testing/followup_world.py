"""Exams with known figures, made from counts, and their result folders."""

from datetime import date
from pathlib import Path

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT, LOBES
from COVIDQuantLib.ct.volume import HU_MIN, CTVolume, CTWarning
from COVIDQuantLib.export.table_file import metrics_record, write_json
from COVIDQuantLib.followup.exam_result import ExamResult, read_result
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

VOXEL_ML = 0.01
LUNG_HU, GGO_HU, DENSE_HU = -850, -600, -100
LOBE_VOXELS = 100_000
DAYS = [date(2020, 2, 1), date(2020, 2, 11), date(2020, 2, 25), date(2020, 3, 20)]


def lungs(ggo=0, dense=0, voxels=LOBE_VOXELS, air_hu=LUNG_HU, outside=0, **lobes) -> JointHistogram:
    """Five lobes of so many voxels each with so much disease in each; ``RUL=(ggo, dense[, voxels])`` differs."""
    histogram = JointHistogram(VOXEL_ML)
    for lobe in LOBES:
        pale, solid, *size = lobes.get(lobe.short, (ggo, dense))
        whole = size[0] if size else voxels
        histogram.counts[lobe.label, 0, air_hu - HU_MIN] = max(whole - pale - solid, 0)
        histogram.counts[lobe.label, 1, GGO_HU - HU_MIN] = pale
        histogram.counts[lobe.label, 1, DENSE_HU - HU_MIN] = solid
    histogram.counts[0, 1, GGO_HU - HU_MIN] = outside
    return histogram


def drawn(rng: np.random.Generator, present: int, diseased: int, outside: bool) -> JointHistogram:
    """Random lungs; the bits of ``present`` and ``diseased`` say which lobes are there and which have lesions."""
    histogram = JointHistogram(float(rng.uniform(1e-4, 1.0)))
    for label in range(LABEL_COUNT):
        there = outside if label == 0 else bool(present >> (label - 1) & 1)
        ill = label == 0 or bool(diseased >> (label - 1) & 1)
        for lesion in (0, 1):
            if there and (ill if lesion else label > 0):
                places = rng.choice(histogram.counts.shape[2], 5, replace=False)
                histogram.counts[label, lesion, places] = rng.integers(1, 10_000, 5)
    return histogram


def result(histogram: JointHistogram, name="exam", acquired=None, **facts) -> ExamResult:
    """A result in memory."""
    facts = {"thresholds": DEFAULT_THRESHOLDS, "grade": Grade.SOUND, "patient": "abc"} | facts
    return ExamResult(Path(name), histogram, acquired=acquired, **facts)


def write_result(
    folder: Path,
    histogram: JointHistogram,
    *,
    source=None,
    provenance=None,
    thresholds=DEFAULT_THRESHOLDS,
    grade=Grade.SOUND,
    warnings=(),
) -> Path:
    """A result folder as quantify leaves it, less its pictures."""
    shape = (2, 4, 4)
    ct = CTVolume(np.zeros(shape, np.int16), Geometry(shape, (1.0, 1.0, 1.0)), source=dict(source or {}))
    ct.warnings = [CTWarning(code, "Something.") for code in warnings]
    checks = [CheckResult("size", grade, "of that size")] if grade else []
    empty = np.zeros(shape, np.uint8)
    made = {"lobes": {"method": "given"}, "lesions": {"method": "given"}} if provenance is None else provenance
    segmentation = Segmentation(empty, empty != 0, made, [], checks)
    folder.mkdir(parents=True, exist_ok=True)
    record = metrics_record(ct, segmentation, histogram, compute_metrics(histogram, thresholds))
    write_json(folder / "metrics.json", record)
    (folder / "segmentation.seg.nrrd").write_bytes(b"NRRD0004\n")
    return folder


def read(folder: Path) -> ExamResult:
    return read_result(folder)
