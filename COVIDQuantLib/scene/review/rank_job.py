"""The search for suspected artefacts in a background process, polled by a timer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.suspicion import Finding
from COVIDQuantLib.scene.piecewise_copy import PIECE_SECONDS, LabelledCopy, VoxelCopy, WholeLabelledCopy
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.function_job import BackgroundJob

_FUNCTION = "COVIDQuantLib.worker.jobs.rank_findings:ranked"
# Of the time for a search, for copying the CT.
_COPY_SHARE = 0.05


class RankJob:
    """``review.suspicion.rank`` of a CT node and its segments, in the background.

    The CT is copied in pieces of a few hundredths of a second, one per poll; what takes a pass over its voxels is done
    by the process.

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
        copy: VoxelCopy | LabelledCopy = VoxelCopy(volume) if kept else WholeLabelledCopy(volume, segmentation)
        self._copy = copy
        arguments = {"geometry": copy.geometry, "kept": kept, "thresholds": thresholds}
        self._shared: SharedArguments | None = SharedArguments(copy.blank(), arguments, at_once=False)
        self._environment = environment
        self._job: BackgroundJob | None = None

    @property
    def pid(self) -> int | None:
        """The process ID; None before the CT is copied, and once the process has ended."""
        return None if self._job is None else self._job.pid

    def poll(self) -> float | list[Finding]:
        """The fraction done, or the findings on the canonical grid; holds the window for one piece at most.

        Raises:
            Cancelled: it was cancelled.
            COVIDQuantError: the search failed.
            WorkerError: the process failed, or cannot be started.
        """
        if self._job is None and self._shared is not None:
            return self._copy_piece(self._shared)
        if self._job is None:
            raise Cancelled
        fraction = self._job.poll()
        findings: list[Finding] = self._job.result
        return findings if self._job.is_done else _COPY_SHARE + (1.0 - _COPY_SHARE) * fraction

    def cancel(self) -> None:
        """Cancel the job; does nothing if it is over."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.free()
        if self._job is not None:
            self._job.cancel()

    def _copy_piece(self, shared: SharedArguments) -> float:
        try:
            if shared.prepare(PIECE_SECONDS) and self._copy.copy(shared):
                self._shared = None
                self._job = BackgroundJob(_FUNCTION, shared, self._environment)
        except BaseException:
            self.cancel()
            raise
        return _COPY_SHARE * self._copy.fraction
