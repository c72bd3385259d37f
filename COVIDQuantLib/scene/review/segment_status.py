"""The status of each segment as Slicer stores it, so that Slicer's segment table shows and sets it too.

An edit by any means is recognised by the segment's counts, which change with its voxels. A segment that is back to the
counts of the AI result, by undo or by hand, is untouched again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer
import vtk

from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.review.status import Figures, SegmentStatus
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.scene.review.ai_result import digests_of, original_digests

# Digest of a segment when it was accepted; an undo restores it together with the status.
_ACCEPTED_TAG = "COVIDQuant.accepted"
_LOGIC = slicer.vtkSlicerSegmentationsModuleLogic
# Slicer numbers its statuses in this order.
_STATUSES = tuple(SegmentStatus)


def status_of(segment: Any) -> SegmentStatus:
    """The status of a vtkSegment."""
    return _STATUSES[_LOGIC.GetSegmentStatus(segment)]


def set_status(segment: Any, status: SegmentStatus) -> None:
    """Set the status of a vtkSegment, unless it is set already: each change fires an event."""
    if status_of(segment) is not status:
        _LOGIC.SetSegmentStatus(segment, _STATUSES.index(status))


def statuses_of(segmentation: Any) -> dict[str, SegmentStatus]:
    """Segment ID → status of every segment that is a lobe or pneumonia."""
    content = segmentation.GetSegmentation()
    return {segment_id: status_of(content.GetSegment(segment_id)) for segment_id in roles_of(content)}


def accept(
    segmentation: Any, histogram: JointHistogram, segment_ids: Mapping[str, Any] | list[str] | None = None
) -> None:
    """Mark segments as accepted in their current state; all of them by default."""
    content = segmentation.GetSegmentation()
    roles, digests = roles_of(content), digests_of(histogram)
    for segment_id in roles if segment_ids is None else segment_ids:
        segment = content.GetSegment(segment_id)
        if segment_id in roles:
            segment.SetTag(_ACCEPTED_TAG, digests[roles[segment_id]])
        set_status(segment, SegmentStatus.ACCEPTED)


def take_back_acceptance(segmentation: Any, histogram: JointHistogram) -> None:
    """Revert accepted segments to untouched or in progress."""
    content = segmentation.GetSegmentation()
    edited = edited_roles(segmentation, histogram)
    for segment_id, role in roles_of(content).items():
        segment = content.GetSegment(segment_id)
        if status_of(segment) is SegmentStatus.ACCEPTED:
            set_status(segment, SegmentStatus.IN_PROGRESS if role in edited else SegmentStatus.UNTOUCHED)


def edited_roles(segmentation: Any, histogram: JointHistogram) -> set[int]:
    """Roles whose voxels differ from the kept AI result; empty if none was kept."""
    kept = original_digests(segmentation)
    return {role for role, digest in digests_of(histogram).items() if role in kept and kept[role] != digest}


def whose_figures(segmentation: Any, histogram: JointHistogram) -> Figures:
    """Whether the figures of a segmentation are accepted, edited or those of the AI."""
    edited = bool(edited_roles(segmentation, histogram))
    return Figures.of(statuses_of(segmentation).values(), edited=edited)


def status_record(segmentation: Any, histogram: JointHistogram) -> dict[str, Any]:
    """What the exported file says about the review."""
    segments = {name: str(status) for name, status in statuses_of(segmentation).items()}
    changed = edited_roles(segmentation, histogram)
    edited = [name for name, role in roles_of(segmentation.GetSegmentation()).items() if role in changed]
    return {"figures": str(whose_figures(segmentation, histogram)), "segments": segments, "edited": edited}


def _is_accepted_as(segment: Any, digest: str) -> bool:
    accepted = vtk.reference("")
    segment.GetTag(_ACCEPTED_TAG, accepted)
    return status_of(segment) is SegmentStatus.ACCEPTED and str(accepted) == digest


class StatusFollower:
    """Keeps the statuses up to date while segments are edited.

    Args:
        segmentation: the vtkMRMLSegmentationNode.
        histogram: its current counts.
    """

    def __init__(self, segmentation: Any, histogram: JointHistogram) -> None:
        self._segmentation = segmentation
        self._kept = original_digests(segmentation)
        self._known = digests_of(histogram)

    def update(self, histogram: JointHistogram) -> bool:
        """Update the statuses from new counts.

        Returns:
            Whether any segment had been edited.
        """
        now = digests_of(histogram)
        changed = {role for role, digest in now.items() if digest != self._known[role]}
        self._known = now
        content = self._segmentation.GetSegmentation()
        for segment_id, role in roles_of(content).items() if changed else ():
            segment = content.GetSegment(segment_id)
            if role in changed and not _is_accepted_as(segment, now[role]):
                is_original = self._kept.get(role) == now[role]
                set_status(segment, SegmentStatus.UNTOUCHED if is_original else SegmentStatus.IN_PROGRESS)
        return bool(changed)
