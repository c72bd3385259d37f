"""What the reader did to each segment: untouched, in progress, accepted; and what that makes of the figures.

The status is Slicer's own segment status, so its segment table shows and sets it too. An edit by whatever means is
known by the segment's counts: other CT numbers than before. Back to those of the AI result, by undo or by hand, it
counts as untouched again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import slicer
import vtk

from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.scene.review.ai_result import digests_of, original_digests

# What a segment was when it was accepted; an undo brings it back together with the status.
_ACCEPTED_TAG = "COVIDQuant.accepted"
_LOGIC = slicer.vtkSlicerSegmentationsModuleLogic


class Status(Enum):
    """How far the reader is with a segment; the numbers are Slicer's."""

    UNTOUCHED = 0
    IN_PROGRESS = 1
    ACCEPTED = 2
    FLAGGED = 3


class Figures(Enum):
    """Whose figures they are."""

    AI = "AI"
    EDITED = "edited"
    ACCEPTED = "accepted"


def status_of(segment: Any) -> Status:
    """The status of a vtkSegment."""
    return Status(_LOGIC.GetSegmentStatus(segment))


def set_status(segment: Any, status: Status) -> None:
    """Give a vtkSegment a status, unless it has it: each change is an event."""
    if status_of(segment) is not status:
        _LOGIC.SetSegmentStatus(segment, status.value)


def statuses_of(segmentation: Any) -> dict[str, Status]:
    """Segment ID → status of every segment that is a lobe or pneumonia."""
    content = segmentation.GetSegmentation()
    return {segment_id: status_of(content.GetSegment(segment_id)) for segment_id in roles_of(content)}


def accept(
    segmentation: Any, histogram: JointHistogram, segment_ids: Mapping[str, Any] | list[str] | None = None
) -> None:
    """Mark segments as accepted as they are; all of them if none is named."""
    content = segmentation.GetSegmentation()
    roles, digests = roles_of(content), digests_of(histogram)
    for segment_id in roles if segment_ids is None else segment_ids:
        segment = content.GetSegment(segment_id)
        if segment_id in roles:
            segment.SetTag(_ACCEPTED_TAG, digests[roles[segment_id]])
        set_status(segment, Status.ACCEPTED)


def take_back_acceptance(segmentation: Any, histogram: JointHistogram) -> None:
    """Mark accepted segments as what they were before: untouched, or in progress."""
    content = segmentation.GetSegmentation()
    edited = edited_roles(segmentation, histogram)
    for segment_id, role in roles_of(content).items():
        segment = content.GetSegment(segment_id)
        if status_of(segment) is Status.ACCEPTED:
            set_status(segment, Status.IN_PROGRESS if role in edited else Status.UNTOUCHED)


def edited_roles(segmentation: Any, histogram: JointHistogram) -> set[int]:
    """Roles whose voxels are not those of the kept AI result; none if none was kept."""
    kept = original_digests(segmentation)
    return {role for role, digest in digests_of(histogram).items() if role in kept and kept[role] != digest}


def whose_figures(segmentation: Any, histogram: JointHistogram) -> Figures:
    """Whose the figures of a segmentation are: accepted once every segment is, else edited or the AI's."""
    statuses = statuses_of(segmentation)
    if statuses and all(status is Status.ACCEPTED for status in statuses.values()):
        return Figures.ACCEPTED
    return Figures.EDITED if edited_roles(segmentation, histogram) else Figures.AI


def status_record(segmentation: Any, histogram: JointHistogram) -> dict[str, Any]:
    """What the exported file says about the review."""
    segments = {name: status.name.lower().replace("_", " ") for name, status in statuses_of(segmentation).items()}
    return {"figures": whose_figures(segmentation, histogram).value, "segments": segments}


def _is_accepted_as(segment: Any, digest: str) -> bool:
    accepted = vtk.reference("")
    segment.GetTag(_ACCEPTED_TAG, accepted)
    return status_of(segment) is Status.ACCEPTED and str(accepted) == digest


class StatusFollower:
    """Keeps the statuses true while segments are edited.

    Args:
        segmentation: the vtkMRMLSegmentationNode.
        histogram: its counts now.
    """

    def __init__(self, segmentation: Any, histogram: JointHistogram) -> None:
        self._segmentation = segmentation
        self._kept = original_digests(segmentation)
        self._known = digests_of(histogram)

    def update(self, histogram: JointHistogram) -> bool:
        """Take in new counts.

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
                set_status(segment, Status.UNTOUCHED if is_original else Status.IN_PROGRESS)
        return bool(changed)
