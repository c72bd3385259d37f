"""The readers' records of a segmentation node: rating, edit record, seconds of work; kept with the scene.

They are attributes of the segmentation. A copy is a tag of the pneumonia segment, the only place that Slicer keeps in a
``.seg.nrrd``: opened again by itself, such a file brings them back. Nothing is taken from a file that is about other
segments than those in the scene.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import vtk

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.case_records import CaseNotes
from COVIDQuantLib.export.reader_records import EDIT_RECORD, RATING, TAG, ReaderRecords, packed, records_of, unpacked
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.readers.edit_record import EditRecord, edit_record_from
from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.readers.rating import Rating, initials_of
from COVIDQuantLib.readers.rating_record import rating_from_record, rating_record
from COVIDQuantLib.readers.work_clock import WorkClock
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.review.ai_result import CASE_ATTRIBUTE, ORIGINAL_ROLE
from COVIDQuantLib.scene.review.findings import Findings
from COVIDQuantLib.scene.review.segment_edits import segments_of_role
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantLib.system.json_file import parse_json
from COVIDQuantLib.voxels.box import Box

RATING_ATTRIBUTE = "COVIDQuant.rating"
EDITS_ATTRIBUTE = "COVIDQuant.edits"
WORK_ATTRIBUTE = "COVIDQuant.work"
# The attribute is written again after so many seconds of work.
_WRITE_EVERY_S = 2.0


class ReaderDesk:
    """What readers have said and done about one result.

    Args:
        live: the figures of its segments.
        findings: its suspected artefacts.

    Attributes:
        rating: None if nobody rated it.
        edits: the edit record that was stored last; None if none was.
        problem: why a stored record was not taken; empty if there was none.
        clock: seconds of active work.
        reader: initials of who works here; empty if not said.
    """

    def __init__(self, live: LiveQuantification, findings: Findings) -> None:
        self._live = live
        self._findings = findings
        self.rating: Rating | None = None
        self.edits: EditRecord | None = None
        self.problem = ""
        self.reader = ""
        self._text = ""
        self.clock = WorkClock(self._read_work())
        self._written_s = self.clock.seconds
        self._open()

    @property
    def segments(self) -> SegmentationIdentity:
        """Which segments there are now, as far as their counts tell; costs nothing."""
        return SegmentationIdentity.of(self._live.histogram)

    def rate(self, reader: str, score: int | str, *, comment: str = "", change: bool = False) -> Rating:
        """Add a reader's score of the segments as they are, and store the rating.

        Raises:
            UsageError, UnfitInputError: as :meth:`Rating.rate`; nothing changes.
        """
        whole = self._whole()
        before = self.rating or Rating(self._case(whole))
        self.rating = before.rate(reader, score, whole, comment=comment, change=change)
        self._node.SetAttribute(RATING_ATTRIBUTE, json.dumps(rating_record(self.rating)))
        self._carry()
        return self.rating

    def keep_edits(self, edits: EditRecord | None) -> None:
        """Store an edit record of the segments as they are."""
        self.edits = edits
        self._node.SetAttribute(EDITS_ATTRIBUTE, json.dumps(edits.as_record()) if edits else None)
        self._carry()

    def take(self, path: Path) -> ReaderRecords:
        """Take the records of a ``metrics.json`` about these very segments, replacing those there are.

        Args:
            path: the file, or its folder.

        Raises:
            UnfitInputError: it cannot be read, or is of another exam or other segments (``rating-other-exam``); nothing
                changes.
        """
        read = read_metrics(path)
        if not read.identity.is_surely(self.segments):
            what = "the result is of another exam or of other segments than those in the scene"
            raise UnfitInputError(what, str(path), "Choose the result of these segments.", code="rating-other-exam")
        self._attach(read.readers)
        return read.readers

    def update(self) -> None:
        """Follow an edit: it is work, and what the segments carry stays what was said."""
        self._carry_again()
        self.touch()

    def touch(self) -> None:
        """A sign that the reader is at work."""
        self.clock.touch()
        if self.clock.seconds - self._written_s >= _WRITE_EVERY_S:
            self.write_work()

    def name_reader(self, initials: str) -> None:
        """Say who works here; empty for nobody in particular.

        Raises:
            UsageError: these are no initials.
        """
        self.reader = initials_of(initials) if initials.strip() else ""
        self.write_work()

    def write_work(self) -> None:
        """Store the seconds and the reader's initials; nobody is told, as an event would update every view."""
        self._written_s = self.clock.seconds
        text = json.dumps({"seconds": round(self.clock.seconds, 1), "reader": self.reader})
        was_silent = self._node.GetDisableModifiedEvent()
        self._node.SetDisableModifiedEvent(True)
        self._node.SetAttribute(WORK_ATTRIBUTE, text)
        self._node.SetDisableModifiedEvent(was_silent)

    def notes(self) -> CaseNotes:
        """What the files of this case need beside its voxels."""
        original = self._node.GetNodeReference(ORIGINAL_ROLE)
        return CaseNotes(
            "" if original is None else original.GetText() or "",
            None if self.rating is None else rating_record(self.rating),
            None if self.edits is None else self.edits.as_record(),
            self._findings.removed(),
            self.clock.seconds,
            self.reader,
        )

    @property
    def _node(self) -> Any:
        return self._live.segmentation

    def _whole(self) -> SegmentationIdentity:
        """Which segments there are now, with their masks."""
        size = self._live.volume.GetImageData().GetDimensions()
        return SegmentationIdentity.of(
            self._live.histogram, self._live.labels(Box.of_shape((size[2], size[1], size[0])))
        )

    def _case(self, now: SegmentationIdentity) -> SegmentationIdentity:
        counts = self._node.GetAttribute(CASE_ATTRIBUTE) or ""
        kept = SegmentationIdentity(counts)
        return now if not counts or kept.is_surely(now) else kept

    def _read_work(self) -> float:
        try:
            record = parse_json(self._live.segmentation.GetAttribute(WORK_ATTRIBUTE) or "{}")
            self.reader = str(record.get("reader", ""))[:8]
            return min(max(float(record.get("seconds", 0.0)), 0.0), 1e7)
        except (ValueError, TypeError, AttributeError):
            return 0.0

    def _open(self) -> None:
        """Take what the node has kept, or else what came with its file."""
        try:
            if self._node.GetAttribute(RATING_ATTRIBUTE) or self._node.GetAttribute(EDITS_ATTRIBUTE):
                self._take_attributes()
            elif self._carried():
                told = unpacked(self._carried(), self._node.GetName())
                self._attach(records_of(told, self._whole(), self._node.GetName()))
        except (UnfitInputError, ValueError) as error:
            # The segments can be worked on all the same.
            self.problem = error.line() if isinstance(error, UnfitInputError) else str(error)

    def _take_attributes(self) -> None:
        name = self._node.GetName()
        rating, edits = (self._node.GetAttribute(one) for one in (RATING_ATTRIBUTE, EDITS_ATTRIBUTE))
        if edits:
            self.edits = edit_record_from(parse_json(edits), name)
            self.clock.seconds = max(self.clock.seconds, self.edits.seconds)
        if rating:
            found = rating_from_record(parse_json(rating), name)
            kept = SegmentationIdentity(self._node.GetAttribute(CASE_ATTRIBUTE) or "")
            if kept.differs_from(found.case):
                what = "the readers' rating is of another exam or of other segments"
                raise UnfitInputError(what, name, "Rate it again.", code="rating-other-exam")
            self.rating = found
        self._carry()

    def _attach(self, records: ReaderRecords) -> None:
        self.rating, self.edits = records.rating, records.edits
        told = records.as_record()
        for attribute, key in ((RATING_ATTRIBUTE, RATING), (EDITS_ATTRIBUTE, EDIT_RECORD)):
            self._node.SetAttribute(attribute, json.dumps(told[key]) if key in told else None)
        if records.edits is not None:
            self.clock.seconds = max(self.clock.seconds, records.edits.seconds)
            self.reader = self.reader or records.edits.reader
            self.write_work()
        self._carry()

    def _carry(self) -> None:
        """Copy the records to the pneumonia segment, which a ``.seg.nrrd`` keeps."""
        told = ReaderRecords(self.rating, self.edits).as_record()
        self._text = packed(told) if told else ""
        for segment in self._lesions():
            if told:
                segment.SetTag(TAG, self._text)
            else:
                segment.RemoveTag(TAG)

    def _carry_again(self) -> None:
        """Slicer's undo takes a segment's tags back with its voxels, and a restored segment has none."""
        found = vtk.reference("")
        for segment in self._lesions() if self._text else ():
            if not segment.GetTag(TAG, found) or str(found) != self._text:
                segment.SetTag(TAG, self._text)

    def _carried(self) -> str:
        text = vtk.reference("")
        return next((str(text) for segment in self._lesions() if segment.GetTag(TAG, text)), "")

    def _lesions(self) -> list[Any]:
        content = self._node.GetSegmentation()
        return [content.GetSegment(segment_id) for segment_id in segments_of_role(self._node, LESION_ROLE)]
