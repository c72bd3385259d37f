"""The search for suspected artefacts in a background process, polled by a timer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.suspicion import Finding
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.function_job import BackgroundJob


class RankJob:
    """``review.suspicion.rank`` of arrays in any orientation, in the background.

    Args:
        hu: whole Hounsfield units ``[k, j, i]``; copied, like the other arrays.
        lesions: bool, same shape.
        lobes: label values 0..5, same shape.
        geometry: their grid.
        counts: their joint histogram.
        thresholds: for the effect of a removal.
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
        arguments = {name: turn.apply(array) for name, array in upright.items()} | {
            "counts": counts.counts,
            "spacing_kji": turn.canonical.spacing_kji,
            "voxel_volume_ml": counts.voxel_volume_ml,
            "thresholds": thresholds,
        }
        shared = SharedArguments({}, arguments)
        self._job = BackgroundJob("COVIDQuantLib.worker.jobs.rank_findings:ranked", shared, environment)

    @property
    def pid(self) -> int | None:
        """The process ID; None once the process has ended."""
        return self._job.pid

    def poll(self) -> float | list[Finding]:
        """The fraction done, or the findings on the canonical grid; never blocks.

        Raises:
            COVIDQuantError: the search failed.
            WorkerError: the process failed.
        """
        fraction = self._job.poll()
        findings: list[Finding] = self._job.result
        return findings if self._job.is_done else fraction

    def cancel(self) -> None:
        """Cancel the job; does nothing if it is over."""
        self._job.cancel()
