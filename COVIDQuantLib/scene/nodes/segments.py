"""The roles of the segments in a segmentation node."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import slicer
import vtk

from COVIDQuantLib.segment_roles import NO_ROLE, role_of
from COVIDQuantLib.terminology_text import parse


@lru_cache(maxsize=4096)
def _role_of_entry(segment_id: str, entry: str) -> int:
    # Asked of every segment at every update, and some segmentations have a hundred.
    return role_of(segment_id, parse(entry))


def entry_of(segment: Any) -> str:
    """The terminology entry of a vtkSegment as Slicer keeps it, empty if it has none."""
    entry = vtk.reference("")
    segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
    return str(entry)


def roles_of(segmentation: Any) -> dict[str, int]:
    """Segment ID → role of every segment of a vtkSegmentation that has one, in the segmentation's order."""
    roles = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = segmentation.GetNthSegmentID(index)
        role = _role_of_entry(segment_id, entry_of(segmentation.GetNthSegment(index)))
        if role != NO_ROLE:
            roles[segment_id] = role
    return roles
