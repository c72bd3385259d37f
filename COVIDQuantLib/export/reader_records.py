"""What readers add to the files of an exam: rating and edit record, checked to belong to the segments beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.readers.edit_record import EditRecord, check_final, edit_record_from
from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.readers.rating import Rating
from COVIDQuantLib.readers.rating_record import check_case, rating_from_record, rating_record
from COVIDQuantLib.readers.scale import ADEQUATE_FROM, HIGHEST, Verdict
from COVIDQuantLib.system.json_file import parse_json

# Keys of ``metrics.json``, and of the segment's tag in a ``.seg.nrrd``.
RATING, EDIT_RECORD, READING_AIDS = "rating", "edit_record", "reading_aids"
TAG = "COVIDQuant.readers"
GATE_CODE = "excluded-by-readers"
OUTDATED_CODE = "rating-outdated"
# Slicer parts tags at "|", and NRRD unescapes a backslash: neither may be in a tag's text.
_ESCAPES = {"%": "%25", "\\": "%5C", "|": "%7C"}
_ESCAPED = re.compile("|".join(_ESCAPES.values()))


@dataclass(frozen=True)
class ReaderRecords:
    """The readers' records of an exam.

    Attributes:
        rating: None if nobody rated it.
        edits: None if it was never edited in Slicer.
    """

    rating: Rating | None = None
    edits: EditRecord | None = None

    def as_record(self) -> dict[str, Any]:
        """Entries of ``metrics.json``; none for what is missing."""
        found: dict[str, Any] = {}
        if self.rating is not None:
            found[RATING] = rating_record(self.rating)
        if self.edits is not None:
            found[EDIT_RECORD] = self.edits.as_record()
        return found


def records_of(record: Mapping[str, Any], segments: SegmentationIdentity, where: str) -> ReaderRecords:
    """The readers' records among the entries of a file.

    Args:
        record: entries by key; what is missing or null is not there.
        segments: what the file knows of its own segments.
        where: the file, for messages.

    Raises:
        UnfitInputError: one is damaged (``rating-damaged``, ``edit-record-damaged``), or belongs to another exam
            (``rating-other-exam``, ``edit-record-other-exam``).
    """
    edits = rating = None
    if record.get(EDIT_RECORD) is not None:
        edits = edit_record_from(record[EDIT_RECORD], where)
        check_final(edits, segments, where)
    if record.get(RATING) is not None:
        rating = rating_from_record(record[RATING], where)
        if edits is None or not rating.case.is_surely(edits.ai):
            check_case(rating, segments, where)
    return ReaderRecords(rating, edits)


def packed(record: Mapping[str, Any]) -> str:
    """Entries as one line of text for a segment's tag."""
    text = json.dumps({key: record[key] for key in (RATING, EDIT_RECORD) if key in record})
    return "".join(_ESCAPES.get(character, character) for character in text)


def unpacked(text: str, where: str) -> dict[str, Any]:
    """The entries that :func:`packed` wrote.

    Raises:
        UnfitInputError: it is something else (``readers-damaged``).
    """
    try:
        record = parse_json(_ESCAPED.sub(lambda found: chr(int(found[0][1:], 16)), text))
    except ValueError:
        record = None
    if not isinstance(record, dict):
        what = "the readers' records stored with the segments are damaged"
        raise UnfitInputError(what, where, "Restore the file as it was written.", code="readers-damaged")
    return record


def gate_warnings(rating: Rating | None, segments: SegmentationIdentity) -> list[CTWarning]:
    """What the readers' rating adds to the warnings of an exam, and so to every file, picture and report.

    Args:
        rating: None if there is none.
        segments: the exam's current ones.
    """
    if rating is None or rating.complete is None:
        return []
    found = []
    scores = " and ".join(f"{said.score}" for said in rating.complete.readers)
    if rating.verdict is Verdict.EXCLUDED:
        text = (
            f"Excluded from quantification: two readers rated the segmentation {scores} of {HIGHEST}, a mean of "
            f"{rating.mean:g} where {ADEQUATE_FROM:g} is required."
        )
        found.append(CTWarning(GATE_CODE, text))
    if not rating.is_about(segments):
        text = "The readers rated the segmentation before its last edits: it has to be rated again."
        found.append(CTWarning(OUTDATED_CODE, text))
    return found


def with_gate(warnings: list[dict[str, str]], rating: Rating, segments: SegmentationIdentity) -> list[dict[str, str]]:
    """A file's warnings with those of the rating, which replace those of an earlier one."""
    others = [one for one in warnings if one.get("code") not in {GATE_CODE, OUTDATED_CODE}]
    added = [{"code": one.code, "message": one.message} for one in gate_warnings(rating, segments)]
    return [*others, *added]
