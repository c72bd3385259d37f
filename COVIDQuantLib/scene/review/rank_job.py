"""The search for suspected artefacts in a process of its own, asked for its progress by a timer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.suspicion import Finding
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation
from COVIDQuantLib.worker.function_job import BesideJob, SharedArrays


class RankJob:
    """``review.suspicion.rank`` of arrays in any orientation, beside the application.

    Args:
        hu: whole Hounsfield units ``[k, j, i]``; copied, as the others.
        lesions: bool, same shape.
        lobes: label values 0..5, same shape.
        geometry: their grid.
        counts: their joint histogram.
        thresholds: for what a removal would change.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        WorkerError: the process cannot be started, or there is too little memory to share.
    """

    def __init__(
        self,
        hu: np.ndarray,
        lesions: np.ndarray,
        lobes: np.ndarray,
        geometry: Geometry,
        counts: JointHistogram,
        thresholds: Thresholds,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        turn = Reorientation.of(geometry)
        upright = {"hu": hu, "lesions": lesions, "lobes": lobes}
        arrays = {name: turn.apply(array) for name, array in upright.items()} | {"counts": counts.counts}
        about = {
            "spacing_kji": turn.canonical.spacing_kji,
            "voxel_volume_ml": counts.voxel_volume_ml,
            "thresholds": thresholds,
        }
        shared = SharedArrays(arrays, about)
        for name, array in arrays.items():
            np.copyto(shared.view(name), array)
        self._job = BesideJob("COVIDQuantLib.worker.jobs.rank_findings:ranked", shared, environment)

    @property
    def pid(self) -> int | None:
        """The process's ID; None once it is over."""
        return self._job.pid

    def poll(self) -> float | list[Finding]:
        """The fraction done, or the findings on the canonical grid; never waits.

        Raises:
            COVIDQuantError: the search failed, with its own reason.
            WorkerError: the process failed.
        """
        fraction = self._job.poll()
        findings: list[Finding] = self._job.result
        return findings if self._job.is_done else fraction

    def cancel(self) -> None:
        """End it; nothing happens if it is over."""
        self._job.cancel()
