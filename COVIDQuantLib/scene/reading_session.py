"""Everything that follows one result while a reader works on it: figures, statuses, charts, colours, findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.export.reader_records import gate_warnings
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.status import Figures
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.charts import Charts
from COVIDQuantLib.scene.nodes.density_overlay import DensityOverlay
from COVIDQuantLib.scene.nodes.result_links import volume_of
from COVIDQuantLib.scene.nodes.tables import write_checks
from COVIDQuantLib.scene.quantification_job import warnings_of_node
from COVIDQuantLib.scene.review.ai_result import restore_all
from COVIDQuantLib.scene.review.findings import Findings
from COVIDQuantLib.scene.review.painting_bound import PaintingBound, keep_in_chest
from COVIDQuantLib.scene.review.reader_desk import ReaderDesk
from COVIDQuantLib.scene.review.result_checks import ChecksJob, KeptChecks, kept_checks
from COVIDQuantLib.scene.review.segment_edits import take_from_other_lobes
from COVIDQuantLib.scene.review.segment_status import StatusFollower, edited_roles, whose_figures


class Reading:
    """One result being followed; close it before following another.

    Args:
        volume: the CT for a segmentation that was never followed; None for the CT that it is linked to.
        segmentation: the vtkMRMLSegmentationNode.
        wake: called at the first change after an update; the place to start a timer that calls :meth:`update`.
        counts: of the segments as they are, int64 ``[6, 2, 4096]``, if they are known; None to count them.

    Raises:
        UnfitInputError: there is no CT, or the segments cannot be counted.

    Attributes:
        live: the figures.
        charts: their charts.
        findings: suspected artefacts.
        readers: rating, edit record and seconds of work.
        density: the pneumonia coloured by density; None until first used.
    """

    def __init__(
        self,
        volume: Any,
        segmentation: Any,
        wake: Callable[[], None] | None = None,
        counts: np.ndarray | None = None,
    ) -> None:
        if volume_of(segmentation) is not None or volume is None:
            self.live = LiveQuantification.reattach(segmentation, wake=wake, counts=counts)
        else:
            self.live = LiveQuantification(volume, segmentation, wake=wake, counts=counts)
        self.findings = Findings(self.live)
        self.readers = ReaderDesk(self.live, self.findings)
        self.density: DensityOverlay | None = None
        self.charts = Charts(self.live.table, segmentation.GetName())
        self._status = StatusFollower(segmentation, self.live.histogram)
        self._show()

    @property
    def volume(self) -> Any:
        """The CT."""
        return self.live.volume

    @property
    def segmentation(self) -> Any:
        """The segmentation."""
        return self.live.segmentation

    @property
    def is_attached(self) -> bool:
        """Whether changes are still followed: none of the nodes was removed."""
        return self.live.is_attached

    @property
    def figures(self) -> Figures:
        """Whether the figures are those of the AI, edited or accepted."""
        return whose_figures(self.segmentation, self.live.histogram)

    @property
    def is_edited(self) -> bool:
        """Whether any segment differs from the kept AI result, accepted or not."""
        return bool(edited_roles(self.segmentation, self.live.histogram))

    @property
    def warnings(self) -> list[CTWarning]:
        """Warnings from when the segments were created, about their current state, and of their readers."""
        of_readers = gate_warnings(self.readers.rating, self.readers.segments)
        return [*warnings_of_node(self.segmentation), *self.live.warnings(), *of_readers]

    @property
    def checks(self) -> KeptChecks:
        """The results of the last checks."""
        return kept_checks(self.segmentation)

    @property
    def is_checked(self) -> bool:
        """Whether the checks are of the segments in their current state."""
        return self.checks.stands(self.live.histogram)

    def check(self, environment: Mapping[str, str] | None = None) -> ChecksJob:
        """Start checking the segments in their current state; poll the job.

        Args:
            environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

        Raises:
            UnfitInputError: the CT cannot be read.
            WorkerError: the process cannot be started.
        """
        return ChecksJob(self.live, environment)

    def update(self) -> bool:
        """Update after changes; only changed boxes are recounted.

        Returns:
            Whether anything had changed.

        Raises:
            UnfitInputError: the segments cannot be counted; everything keeps its last state.
        """
        if not self.live.update():
            return False
        self._take_in()
        return True

    def recount(self) -> None:
        """Recount every voxel, for data that were changed without a VTK event.

        Raises:
            UnfitInputError: the segments cannot be counted.
        """
        self.live.recount()
        self._take_in()

    def set_thresholds(self, thresholds: Thresholds) -> None:
        """Change the thresholds of ground glass and consolidation; needs no pass over voxels."""
        self.live.thresholds = thresholds
        if self.density is not None:
            self.density.recolour()
        self._show()

    def settle_overlap(self, segment_id: str) -> bool:
        """Remove the voxels of a lobe that was just painted from other lobes, where the last update found an overlap.

        Args:
            segment_id: the lobe's segment.

        Returns:
            Whether any voxel was taken from another lobe.
        """
        if not self.live.overlap_voxels:
            return False
        settled = False
        for box in self.live.changed_boxes:
            mask = self.live.segment_mask(segment_id, box)
            if mask is not None and mask.any():
                take_from_other_lobes(self.segmentation, self.volume, segment_id, mask, box)
                settled = True
        return settled and self.update()

    def keep_in_chest(self, segment_id: str, bound: PaintingBound) -> int:
        """Remove the voxels of a lobe that was just painted where no lung can be; see :func:`keep_in_chest`.

        Args:
            segment_id: the lobe's segment.
            bound: of the CT.

        Returns:
            Voxels removed.
        """
        removed = keep_in_chest(self.live, segment_id, bound)
        if removed:
            self.update()
        return removed

    def density_overlay(self) -> DensityOverlay:
        """The density colours, created on first use."""
        if self.density is None:
            self.density = DensityOverlay(self.live)
        return self.density

    def back_to_original(self) -> None:
        """Restore the AI result. Save an undo state first.

        Raises:
            UnfitInputError: it was not kept, is damaged, or belongs to another CT.
        """
        restore_all(self.live)
        self.update()
        # A segment that was created again may have the counts of the deleted one.
        self.readers.update()

    def close(self) -> None:
        """Stop following; the nodes keep their current content."""
        if self.is_attached:
            self.readers.write_work()
        self.live.close()

    def _take_in(self) -> None:
        self._status.update(self.live.histogram)
        self.findings.update()
        self.readers.update()
        if self.density is not None:
            self.density.update()
        self._show()

    def _show(self) -> None:
        if self.live.metrics is not None:
            self.charts.update(self.live.metrics, self.live.histogram)
            checks = self.checks
            write_checks(self.live.table, checks.checks if checks.stands(self.live.histogram) else ())
