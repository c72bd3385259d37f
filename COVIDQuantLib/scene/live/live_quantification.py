"""Live figures: any edit of any segment, by any tool, updates the table node."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import slicer
import vtk

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import COVIDQuantError, UnfitInputError
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import MetricsTable, compute_metrics
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.scene.live.histogram_tracker import HistogramTracker
from COVIDQuantLib.scene.live.layer_counts import merge
from COVIDQuantLib.scene.nodes.observers import Observers
from COVIDQuantLib.scene.nodes.result_links import SEGMENTATION_ROLE, TABLE_ROLE, VOLUME_ROLE, link
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.scene.nodes.tables import create_table_node, thresholds_of_result, write_table
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantLib.voxels.box import Box

__all__ = ["SEGMENTATION_ROLE", "TABLE_ROLE", "VOLUME_ROLE", "LiveQuantification"]


class LiveQuantification:
    """The figures of a CT and a segmentation, in a table node that follows every change.

    Events only mark the figures as out of date; :meth:`update` does the work, so that a stroke that fires ten events
    costs one count. Pass ``wake`` to be notified (start a timer), or ``immediately`` to update at each event. Following
    stops when one of the nodes is removed from the scene or the scene closes.

    Args:
        volume: the CT, a vtkMRMLScalarVolumeNode in HU.
        segmentation: vtkMRMLSegmentationNode; lobes and pneumonia are identified by ID or terminology.
        table: vtkMRMLTableNode to keep up to date; a new one is created if None.
        thresholds: bounds of ground glass and consolidation.
        wake: called at the first event after an update; should start a timer that calls :meth:`update`.
        immediately: update at each event.
        counts: of the segments as they are, int64 ``[6, 2, 4096]``, if they are known; None to count them.

    Raises:
        UnfitInputError: the CT or the segments cannot be counted.

    Attributes:
        volume, segmentation, table: the nodes.
        metrics: the figures last written; None before the first update.
        problem: why the last update failed, None if it did not.
    """

    def __init__(
        self,
        volume: Any,
        segmentation: Any,
        table: Any = None,
        thresholds: Thresholds = DEFAULT_THRESHOLDS,
        *,
        wake: Callable[[], None] | None = None,
        immediately: bool = False,
        counts: np.ndarray | None = None,
    ) -> None:
        self.volume = volume
        self.segmentation = segmentation
        self.table = table or create_table_node(segmentation.GetScene(), f"{segmentation.GetName()} figures")
        self.metrics: MetricsTable | None = None
        self.problem: COVIDQuantError | None = None
        self._written_warnings: list[CTWarning] = []
        self._thresholds = thresholds
        self._wake = wake
        self._immediately = immediately
        self._counted = HistogramTracker(volume, segmentation, counts)
        self._dirty = True
        self._updating = False
        self._woken = False
        self._observers = Observers()
        self._link_nodes()
        self.update()
        self._observe()

    @classmethod
    def reattach(cls, segmentation: Any, **options: Any) -> LiveQuantification:
        """Resume live figures of a segmentation node that had them when its scene was saved.

        Args:
            segmentation: the reloaded vtkMRMLSegmentationNode.
            options: ``wake``, ``immediately`` and ``counts``.

        Raises:
            UnfitInputError: the node never had live figures, or its CT was removed.
        """
        volume = segmentation.GetNodeReference(VOLUME_ROLE)
        if volume is None:
            raise UnfitInputError(
                "the segmentation is not linked to a CT", segmentation.GetName(), "Choose its CT and quantify again."
            )
        table = segmentation.GetNodeReference(TABLE_ROLE)
        return cls(volume, segmentation, table, thresholds_of_result(segmentation), **options)

    @property
    def is_attached(self) -> bool:
        """Whether changes are still followed."""
        return self._observers.active

    @property
    def is_out_of_date(self) -> bool:
        """Whether something changed since the last update."""
        return self._dirty

    @property
    def histogram(self) -> JointHistogram:
        """The counts behind the figures, as last updated."""
        return self._counted.histogram

    @property
    def changed_boxes(self) -> tuple[Box, ...]:
        """The boxes of the CT outside which no label changed in the last update; the whole CT after a full count."""
        return self._counted.changed_boxes

    def labels(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Lobe label values and lesions of a box of the CT, as last counted.

        Returns:
            uint8 ``[k, j, i]`` and bool ``[k, j, i]``, of the box's shape.
        """
        lobes, lesions, _ = merge(self._counted.layers, box)
        return lobes, lesions

    def segment_mask(self, segment_id: str, box: Box) -> np.ndarray | None:
        """Bool mask ``[k, j, i]`` of one segment in a box of the CT; None if the segment is not counted."""
        for layer in self._counted.layers:
            for name, value, _ in layer.members:
                if name == segment_id:
                    return np.asarray(layer.labels.crop(box) == value)
        return None

    @property
    def overlap_voxels(self) -> int:
        """Voxels that belonged to more than one lobe when last counted."""
        return self._counted.overlap_voxels

    @property
    def recounted_voxels(self) -> int:
        """Voxels counted in the last update that counted any: the total size of the changed boxes."""
        return self._counted.recounted_voxels

    @property
    def thresholds(self) -> Thresholds:
        """Bounds of ground glass and consolidation; setting them needs no pass over voxels."""
        return self._thresholds

    @thresholds.setter
    def thresholds(self, thresholds: Thresholds) -> None:
        if thresholds != self._thresholds:
            self._thresholds = thresholds
            self._write()

    def update(self) -> bool:
        """Count what changed and write the table node.

        Returns:
            Whether the table was written.

        Raises:
            UnfitInputError: the CT or the segments cannot be counted; the table keeps its last figures.
        """
        if self._updating:
            return False
        self._updating = True
        try:
            self._dirty = self._woken = False
            self.problem = None
            changed = self._counted.refresh()
            if changed or self.metrics is None or self.warnings() != self._written_warnings:
                self._write()
                return True
        except BaseException as error:
            self._dirty = True
            self.problem = error if isinstance(error, COVIDQuantError) else None
            raise
        finally:
            self._updating = False
        return False

    def recount(self) -> None:
        """Do a full count, for voxels that were changed without a VTK event.

        Raises:
            UnfitInputError: see :meth:`update`.
        """
        self._counted.forget()
        self.update()

    def warnings(self) -> list[CTWarning]:
        """Warnings about the figures as last counted."""
        return [*self._missing(), *self._counted.warnings()]

    def close(self) -> None:
        """Stop following changes; the table keeps its figures."""
        self._observers.close()

    def _missing(self) -> list[CTWarning]:
        roles = set(roles_of(self.segmentation.GetSegmentation()).values())
        absent = [lobe.name for lobe in LOBES if lobe.label not in roles]
        absent += ["pneumonia"] if LESION_ROLE not in roles else []
        if not absent:
            return []
        return [CTWarning("segment-missing", f"no segment for: {', '.join(absent)}")]

    def _write(self) -> None:
        self._written_warnings = self.warnings()
        self.metrics = compute_metrics(self.histogram, self._thresholds)
        write_table(self.table, self.metrics, self._written_warnings)

    def _link_nodes(self) -> None:
        links = (
            (self.segmentation, VOLUME_ROLE, self.volume),
            (self.segmentation, TABLE_ROLE, self.table),
            (self.table, SEGMENTATION_ROLE, self.segmentation),
            (self.table, VOLUME_ROLE, self.volume),
        )
        for node, role, target in links:
            link(node, role, target)

    def _observe(self) -> None:
        content, node, volume = slicer.vtkSegmentation, slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLVolumeNode
        # The node forwards its segmentation's events, even after the segmentation object was replaced.
        events = (
            content.SourceRepresentationModified,
            content.RepresentationModified,
            content.ContainedRepresentationNamesModified,
            content.SegmentAdded,
            content.SegmentRemoved,
            content.SegmentModified,
            node.SegmentationChangedEvent,
            node.TransformModifiedEvent,
        )
        self._observers.on(self.segmentation, events, self._on_change)
        ct_events = (volume.ImageDataModifiedEvent, volume.TransformModifiedEvent, vtk.vtkCommand.ModifiedEvent)
        self._observers.on(self.volume, ct_events, self._on_change)
        scene = slicer.vtkMRMLScene
        self._observers.on_node(self.segmentation.GetScene(), scene.NodeAboutToBeRemovedEvent, self._on_node_removed)
        self._observers.on(self.segmentation.GetScene(), (scene.StartCloseEvent,), self.close)

    def _on_change(self) -> None:
        self._dirty = True
        if self._immediately:
            # An exception in an observer would be lost.
            with suppress(COVIDQuantError):
                self.update()
        elif self._wake is not None and not self._woken:
            self._woken = True
            self._wake()

    def _on_node_removed(self, node: Any) -> None:
        if node in (self.volume, self.segmentation, self.table):
            self.close()
