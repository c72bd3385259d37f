"""Names of the columns of a cohort's data set, and of the files that hold it."""

from __future__ import annotations

from enum import StrEnum

from COVIDQuantLib.evaluation.measures import COLUMNS as EVALUATION_COLUMNS
from COVIDQuantLib.quantification.measures import MEASURES

METRICS_FILE = "metrics.parquet"
EXAMS_FILE = "exams.parquet"
AGREEMENT_FILE = "agreement.parquet"
SUMMARY_FILE = "summary.txt"
FILES = (METRICS_FILE, EXAMS_FILE, AGREEMENT_FILE, SUMMARY_FILE)

PATIENT, EXAM, DATE, ONSET = "patient", "exam", "date", "onset"
REGION = "region"
GRADE, EXCLUDED, MODEL, VERSION = "grade", "excluded", "model", "version"


class Status(StrEnum):
    """What became of an exam."""

    DONE = "done"
    FAILED = "failed"
    """It was tried, and refused or failed."""
    UNREADABLE = "unreadable"
    """Its row of the manifest cannot be used."""
    DUPLICATE = "duplicate"
    """Its images are those of an earlier row."""
    LEFT_OUT = "left out"
    """The manifest says not to use it."""
    PENDING = "pending"
    """It has not been done yet."""


# Per exam, after the manifest's columns: name and meaning.
EXAM_COLUMNS: dict[str, str] = {
    "status": "`done`, `failed`, `unreadable` (its row), `duplicate`, `left out` (the manifest says so) or `pending`",
    "code": "of the refusal, as in the list of input codes; empty if it is done",
    "reason": "in words",
    GRADE: "`sound`, `look` or `unusable`",
    EXCLUDED: "why it should not count in statistics, by the manifest or its readers' rating; empty if it counts",
    "findings": "codes of the checks below sound, worst first, separated by commas",
    "warnings": "codes of the warnings about the CT and its segmentation, likewise",
    "agreement": "with references: `done`, or why they could not be compared",
    "edited": "whether the figures are those of a result that was corrected by hand afterwards",
    "ct_score_total": "0 to 25",
    "involved_lobes": "lobes with any lesion",
    "hellinger_distance": "of the lungs' densities to normal ones",
    "histogram_iou": "overlap of the same two",
    MODEL: "method and models, with their versions",
    VERSION: "of COVIDQuant",
    "input_sha256": "of the images",
    "settings_sha256": "of method, models, thresholds, files and version",
    "folder": "of the result, in the folder of the batch",
    "seconds": "that the exam took; the only column that differs between two runs",
}

# Per exam and region, after the manifest's columns.
METRICS_COLUMNS = (REGION, *MEASURES.names, GRADE, EXCLUDED, MODEL, VERSION)

AGREEMENT_COLUMNS = ("structure", *EVALUATION_COLUMNS)

# A manifest's own columns cannot have these names.
OURS = {*METRICS_COLUMNS, *EXAM_COLUMNS, *AGREEMENT_COLUMNS} - {EXCLUDED}
