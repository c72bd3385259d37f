"""Suspected motion artefacts of one segmentation: found in the background, kept or removed by the reader.

The kept AI result is searched (or the current segments if there is none), so the list stays the same while the reader
edits, and after the scene is reloaded. Whether a finding is still present is determined from the voxels, so undo and
the brush have the same effect as the button.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import vtk

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.review.status import Decisions, FindingStatus
from COVIDQuantLib.review.suspicion import Finding
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.navigation import Point
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.review.ai_result import original_text
from COVIDQuantLib.scene.review.rank_job import RankJob
from COVIDQuantLib.scene.review.segment_edits import add_to_lesion, remove_from_lesion, segments_of_role
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantLib.voxels.box import Box
from COVIDQuantLib.voxels.geometry import Reorientation
from COVIDQuantLib.voxels.label_codec import shape_of

REVIEW_ATTRIBUTE = "COVIDQuant.review"
# A tag of the pneumonia segment, so that Slicer's undo reverts it in order with the edits.
KEPT_TAG = "COVIDQuant.kept"


@dataclass(frozen=True)
class PlacedFinding:
    """A finding on the CT node's own voxels.

    Attributes:
        finding: the finding, on the canonical grid.
        mask: bool ``[k, j, i]``, its voxels within the box.
        box: its box in the CT node's array.
        point: where to look, RAS, mm.
    """

    finding: Finding
    mask: np.ndarray = field(repr=False, compare=False)
    box: Box
    point: Point


class Findings:
    """The findings of one segmentation.

    Args:
        live: the figures of the segmentation.
    """

    def __init__(self, live: LiveQuantification) -> None:
        self._live = live
        self.found: tuple[PlacedFinding, ...] = ()
        self._gone: set[str] = set()
        self._decisions = _read(live.segmentation)

    def search(self, environment: Mapping[str, str] | None = None) -> RankJob:
        """Start searching for artefacts; poll the job and pass its result to :meth:`take`.

        Args:
            environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

        Raises:
            UnfitInputError: the CT cannot be read.
            WorkerError: the process cannot be started.
        """
        live = self._live
        return RankJob(live.volume, live.segmentation, self._kept(), live.thresholds, environment)

    def take(self, findings: Iterable[Finding]) -> None:
        """Set the findings of a search."""
        turn = Reorientation.of(geometry_of(self._live.volume))
        self.found = tuple(_placed(finding, turn) for finding in findings)
        self._gone = set()
        self._look_again(self.found)

    def update(self) -> None:
        """Update the findings within the boxes that the last update of the figures changed."""
        boxes = self._live.changed_boxes
        self._look_again(p for p in self.found if any(p.box.intersect(box) for box in boxes))

    def status(self, placed: PlacedFinding) -> FindingStatus:
        """Removed if none of its voxels was pneumonia at the last update; else kept, or untouched."""
        if placed.finding.id in self._gone:
            return FindingStatus.REMOVED
        return FindingStatus.KEPT if placed.finding.id in _kept(self._live.segmentation) else FindingStatus.UNTOUCHED

    def keep(self, placed: PlacedFinding) -> None:
        """Mark it as pneumonia; restores one that was removed. Save an undo state first."""
        self._bring_back(placed)
        self._decide(placed, FindingStatus.KEPT)

    def remove(self, placed: PlacedFinding) -> None:
        """Remove its voxels from the pneumonia. Save an undo state first."""
        remove_from_lesion(self._live.segmentation, self._live.volume, placed.mask, placed.box)
        self._decide(placed, FindingStatus.REMOVED)

    def reopen(self, placed: PlacedFinding) -> None:
        """Revert the decision: its voxels are pneumonia again, and it is untouched."""
        self._bring_back(placed)
        self._decide(placed, FindingStatus.UNTOUCHED)

    def next_open(self, after: PlacedFinding | None) -> PlacedFinding | None:
        """The next suspected finding without a decision, after one in the list and then from the start."""
        place = self.found.index(after) + 1 if after in self.found else 0
        waiting = (*self.found[place:], *self.found[:place])
        still_open = (
            p for p in waiting if p.finding.suspected and p is not after and self.status(p) is FindingStatus.UNTOUCHED
        )
        return next(still_open, None)

    def record(self) -> list[dict[str, Any]]:
        """What the exported file says about each finding."""
        return [
            {
                "id": placed.finding.id,
                "score": placed.finding.score,
                "suspected": placed.finding.suspected,
                "volume_ml": placed.finding.volume_ml,
                "lobes": list(placed.finding.lobes),
                "reasons": [str(reason) for reason in placed.finding.reasons],
                "status": str(self.status(placed)),
            }
            for placed in self.found
        ]

    def removed(self) -> list[dict[str, Any]]:
        """What was removed as artefact, as in :meth:`record`; by the decisions alone until a search has found it."""
        known = self.record()
        ids = {found["id"] for found in known}
        decided = [
            one.as_record()
            for one in self._decisions.by_id.values()
            if one.status is FindingStatus.REMOVED and one.id not in ids
        ]
        return [found for found in [*known, *decided] if found["status"] == FindingStatus.REMOVED]

    def _kept(self) -> str:
        """The AI result as text; empty if none was kept, or of another CT."""
        size = self._live.volume.GetImageData().GetDimensions()
        text = original_text(self._live.segmentation)
        return text if text and shape_of(text) == size[::-1] else ""

    def _look_again(self, some: Iterable[PlacedFinding]) -> None:
        for placed in some:
            _, lesions = self._live.labels(placed.box)
            if (lesions & placed.mask).any():
                self._gone.discard(placed.finding.id)
            else:
                self._gone.add(placed.finding.id)

    def _bring_back(self, placed: PlacedFinding) -> None:
        if self.status(placed) is FindingStatus.REMOVED:
            add_to_lesion(self._live.segmentation, self._live.volume, placed.mask, placed.box)

    def _decide(self, placed: PlacedFinding, status: FindingStatus) -> None:
        self._decisions.decide(placed.finding, status)
        self._live.segmentation.SetAttribute(REVIEW_ATTRIBUTE, self._decisions.to_json())
        others = _kept(self._live.segmentation) - {placed.finding.id}
        _mark(self._live.segmentation, others | ({placed.finding.id} if status is FindingStatus.KEPT else set()))


def _read(segmentation: Any) -> Decisions:
    try:
        return Decisions.from_json(segmentation.GetAttribute(REVIEW_ATTRIBUTE) or "")
    except UnfitInputError:
        # Damaged review marks are no reason to refuse the segments.
        return Decisions()


def _kept(segmentation: Any) -> set[str]:
    """IDs of the findings that are marked as pneumonia."""
    tag = vtk.reference("")
    found = [segment for segment in _lesion_segments(segmentation) if segment.GetTag(KEPT_TAG, tag)]
    return set(str(tag).split(",")) - {""} if found else set()


def _mark(segmentation: Any, kept: set[str]) -> None:
    if kept != _kept(segmentation):
        for segment in _lesion_segments(segmentation):
            segment.SetTag(KEPT_TAG, ",".join(sorted(kept)))


def _lesion_segments(segmentation: Any) -> list[Any]:
    content = segmentation.GetSegmentation()
    return [content.GetSegment(segment_id) for segment_id in segments_of_role(segmentation, LESION_ROLE)]


def _placed(finding: Finding, turn: Reorientation) -> PlacedFinding:
    mask = turn.undo(finding.mask())
    corners = []
    for axis in range(3):
        place = turn.axes.index(axis)
        span, size = finding.box[place], turn.canonical.shape[place]
        corners.append((size - span.stop, size - span.start) if turn.flips[place] else (span.start, span.stop))
    (k0, k1), (j0, j1), (i0, i1) = corners
    box = Box((k0, j0, i0), (k1, j1, i1))
    # The centroid of a crescent lies outside it: take its voxel nearest to the centroid.
    voxels = np.argwhere(finding.mask())
    nearest = voxels[((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    k, j, i = (int(n) + span.start for n, span in zip(nearest, finding.box, strict=True))
    left, back, up = (turn.canonical.index_to_lps @ (i, j, k, 1.0))[:3]
    return PlacedFinding(finding, mask, box, (-float(left), -float(back), float(up)))
