"""Write the report of a snapshot, in a background process. Nothing of Slicer is imported here.

It stands here and not with the other jobs because a report is made from more than the worker's floor knows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from COVIDQuantLib.followup.comparison import ComparedExams
from COVIDQuantLib.progress import Report
from COVIDQuantLib.report.write import ReportFiles, write_report
from COVIDQuantLib.worker.jobs.export import Snapshot, exam_of_snapshot


def write_snapshot_report(
    values: np.ndarray,
    lobes: np.ndarray,
    lesions: np.ndarray,
    snapshot: Snapshot,
    folder: Path,
    label: str,
    report: Report,
    compared: ComparedExams | None = None,
) -> ReportFiles:
    """Write the report of a snapshot into a folder.

    Takes what :func:`~COVIDQuantLib.worker.jobs.export.write_snapshot` does; ``label``, in place of ``wanted``, is
    a text of the user's in the heading. ``compared`` is this exam, the last one, with earlier ones; it adds the
    page of the follow-up.

    Raises:
        OutputError: it cannot be written.
        UsageError: Jinja2 or matplotlib is not installed.
    """
    exam = exam_of_snapshot(values, lobes, lesions, snapshot)
    comparison = None if compared is None else compared.compare()
    return write_report(exam, folder, comparison=comparison, label=label, report=report)
