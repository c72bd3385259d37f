"""Write the files of a snapshot, in a background process. Nothing of Slicer is imported here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.checks.run import check_labels
from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.case_records import CaseNotes, edit_record_of, with_notes
from COVIDQuantLib.export.exam_files import write_exam
from COVIDQuantLib.grades import CheckResult
from COVIDQuantLib.progress import Report
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import MetricsTable
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry


@dataclass(frozen=True)
class Snapshot:
    """Everything about a reading except its voxels.

    Attributes:
        geometry: of the CT's grid.
        source: of the CT.
        provenance: of the segments.
        warnings: about CT and segments.
        histogram: the counts.
        metrics: the figures.
        checks: of the segments in their current state; empty to run them now.
        notes: what readers said and did.
    """

    geometry: Geometry
    source: dict[str, Any]
    provenance: dict[str, Any]
    warnings: Sequence[CTWarning]
    histogram: JointHistogram
    metrics: MetricsTable
    checks: Sequence[CheckResult] = ()
    notes: CaseNotes = field(default_factory=CaseNotes)


def write_snapshot(
    values: np.ndarray,
    lobes: np.ndarray,
    lesions: np.ndarray,
    snapshot: Snapshot,
    folder: Path,
    wanted: Collection[str],
    report: Report,
) -> list[str]:
    """Write the wanted exports of a snapshot into a folder.

    Args:
        values: HU as the CT node holds them, any number type, ``[k, j, i]``.
        lobes: uint8 label values on the same grid.
        lesions: bool, the same.
        snapshot: everything else.
        folder: created if missing.
        wanted: names of ``export.exam_files.EXPORTS``.
        report: progress.

    Returns:
        The names of the files.

    Raises:
        OutputError: they cannot be written.
    """
    exam = exam_of_snapshot(values, lobes, lesions, snapshot)
    return [path.name for path in write_exam(exam, folder, wanted, report)]


def exam_of_snapshot(values: np.ndarray, lobes: np.ndarray, lesions: np.ndarray, snapshot: Snapshot) -> Exam:
    """The exam that a snapshot and its voxels make, with readers' records; arguments as in :func:`write_snapshot`."""
    return with_notes(_exam(values, lobes, lesions, snapshot, check=True), snapshot.notes)


def edits_of_snapshot(
    values: np.ndarray, lobes: np.ndarray, lesions: np.ndarray, snapshot: Snapshot, report: Report
) -> dict[str, Any] | None:
    """The edit record of a snapshot as plain values; arguments as of :func:`write_snapshot`.

    Returns:
        The record; None if the AI's result was not kept.

    Raises:
        UnfitInputError: what was kept is damaged.
    """
    made = edit_record_of(_exam(values, lobes, lesions, snapshot, check=False), snapshot.notes)
    report(1.0)
    return None if made is None else made.as_record()


def _exam(values: np.ndarray, lobes: np.ndarray, lesions: np.ndarray, snapshot: Snapshot, *, check: bool) -> Exam:
    ct = CTVolume.from_values(values, snapshot.geometry)
    ct.source = CTSource(snapshot.source)
    checks = list(snapshot.checks) or (check_labels(ct, lobes, lesions) if check else [])
    segmentation = Segmentation(lobes, lesions, snapshot.provenance, list(snapshot.warnings), checks)
    return Exam(ct, segmentation, snapshot.histogram, snapshot.metrics)
