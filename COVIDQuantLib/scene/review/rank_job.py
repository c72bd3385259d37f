"""The search for suspected artefacts in a background process, polled by a timer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.suspicion import Finding
from COVIDQuantLib.scene.copied_job import CopiedJob
from COVIDQuantLib.scene.piecewise_copy import VoxelCopy, WholeLabelledCopy

_FUNCTION = "COVIDQuantLib.worker.jobs.rank_findings:ranked"


class RankJob:
    """``review.suspicion.rank`` of a CT node and its segments, in the background.

    The CT is copied in pieces, and what takes a pass over its voxels is done by the process.

    Args:
        volume: the CT, a vtkMRMLScalarVolumeNode.
        segmentation: its vtkMRMLSegmentationNode.
        kept: the AI result of that CT as text, which is searched; empty to search the segments as they are.
        thresholds: for the effect of a removal.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        UnfitInputError: the CT or the segments cannot be read.
        WorkerError: there is too little memory to share.
    """

    def __init__(
        self,
        volume: Any,
        segmentation: Any,
        kept: str,
        thresholds: Thresholds,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        copy = VoxelCopy(volume) if kept else WholeLabelledCopy(volume, segmentation)
        arguments = {"geometry": copy.geometry, "kept": kept, "thresholds": thresholds}
        self._job = CopiedJob(_FUNCTION, copy, arguments, environment)

    @property
    def pid(self) -> int | None:
        """The process ID; None before the CT is copied, and once the process has ended."""
        return self._job.pid

    def poll(self) -> float | list[Finding]:
        """The fraction done, or the findings on the canonical grid; holds the window for one piece at most.

        Raises:
            Cancelled: it was cancelled.
            COVIDQuantError: the search failed.
            WorkerError: the process failed, or cannot be started.
        """
        fraction = self._job.poll()
        findings: list[Finding] = self._job.result
        return findings if self._job.is_done else fraction

    def cancel(self) -> None:
        """Cancel the job; does nothing if it is over."""
        self._job.cancel()
