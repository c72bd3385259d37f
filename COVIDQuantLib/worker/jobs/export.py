"""Write the files of a snapshot, in a background process. Nothing of Slicer is imported here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.checks.run import check_labels
from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.exam import Exam
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
    """

    geometry: Geometry
    source: dict[str, Any]
    provenance: dict[str, Any]
    warnings: Sequence[CTWarning]
    histogram: JointHistogram
    metrics: MetricsTable
    checks: Sequence[CheckResult] = ()


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
    """The exam that a snapshot and its voxels are of, checked if it was not; arguments as of :func:`write_snapshot`."""
    ct = CTVolume.from_values(values, snapshot.geometry)
    ct.source = CTSource(snapshot.source)
    checks = list(snapshot.checks) or check_labels(ct, lobes, lesions)
    segmentation = Segmentation(lobes, lesions, snapshot.provenance, list(snapshot.warnings), checks)
    return Exam(ct, segmentation, snapshot.histogram, snapshot.metrics)
