"""A cohort of small chests whose quantification takes milliseconds, and Dask in this process to make it with."""

import csv
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import numpy as np
from dicom_maker import chest
from file_maker import nrrd

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.pipeline import MODEL_FREE, Plan
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.segmentation.result import Segmentation

HEADER = ("patient", "exam", "path", "date", "onset", "group", "age")
# Lesions begin above this in the small chests.
DENSE_HU = -830


def ct_bytes(seed):
    """A small chest as NRRD, its noise drawn from a seed."""
    hu = chest(seed=seed)
    fields = {"sizes": "64 48 12", "space directions": "(3,0,0) (0,4,0) (0,0,8)"}
    return nrrd(hu.astype("<i2"), **{key.replace(" ", "_"): value for key, value in fields.items()})


def write_cohort(folder, exams):
    """A manifest of exams and their CTs; ``exams`` gives patient, exam and seed of each; None for a missing file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (patient, exam, seed) in enumerate(exams):
        name = f"{patient}_{exam}.nrrd"
        if seed is not None:
            (folder / name).write_bytes(ct_bytes(seed))
        rows.append((patient, exam, name, f"2020-02-{number + 1:02d}", "2020-01-28", "ab"[number % 2], 40 + number))
    return write_manifest(folder / "manifest.csv", rows)


def write_manifest(path, rows, header=HEADER):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def quick(ct, given=None, thresholds=None, progress=None, plan=None):
    """In place of ``quantify_ct``: lungs by threshold, lobes by quadrant, dense lung as lesion; truly counted.

    The grade depends on the noise, so that some exams are to be reviewed.
    """
    k, j, i = np.indices(ct.hu.shape)
    lungs = (ct.hu < -700) & (abs(i - 32) < 26) & (abs(j - 24) < 18)
    lobes = np.zeros(ct.hu.shape, np.uint8)
    for label in (lobe.label for lobe in LOBES):
        side = i < 32 if label <= 3 else i >= 32
        part = k * 3 // len(ct.hu) == (label - 1 if label <= 3 else label - 4)
        lobes[lungs & side & part] = label
    lesions = (lobes > 0) & (ct.hu > DENSE_HU)
    histogram = JointHistogram.of(ct.hu, lobes, lesions, ct.geometry.voxel_volume_ml, ct.padding)
    odd = int(np.count_nonzero(lesions)) % 2
    checks = [CheckResult("lung-lump", Grade.LOOK if odd else Grade.SOUND, "made up", value=1.0)]
    made = {"lobes": {"method": MODEL_FREE}, "lesions": {"method": MODEL_FREE}}
    segmentation = Segmentation(lobes, lesions, made, [], checks)
    return Exam(ct, segmentation, histogram, compute_metrics(histogram, *([thresholds] if thresholds else [])))


PLAN = Plan(MODEL_FREE)


@contextmanager
def dask_here(workers=2):
    """A Dask client whose workers are threads of this process."""
    import dask
    from distributed import Client

    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "protocol": "inproc://"}
    with (
        TemporaryDirectory() as scratch,
        dask.config.set({"distributed.worker.profile.enabled": False, "temporary-directory": scratch}),
        Client(processes=False, **options) as client,
    ):
        yield client
