"""The readers' records of a case as its files hold them, made from the final voxels and what the scene has kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.reader_records import GATE_CODE, OUTDATED_CODE, ReaderRecords, gate_warnings
from COVIDQuantLib.export.table_file import software_versions
from COVIDQuantLib.readers.edit_record import EditRecord, Work, check_final, edit_record_from, make_edit_record
from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.readers.rating import Rating
from COVIDQuantLib.readers.rating_record import check_case, rating_from_record
from COVIDQuantLib.voxels.label_codec import decode_labels

_LESION_BIT = 8


@dataclass(frozen=True)
class CaseNotes:
    """What a scene has kept of a case beside its final segments.

    Attributes:
        original: the AI's labels as text (``voxels/label_codec.py``), 8 more in a lesion; empty if not kept.
        rating: as ``rating_record`` wrote it; None if nobody rated.
        edits: an edit record from a file, for segments whose AI result was not kept; None if there is none.
        removed: parts removed as artefact, with their reasons.
        seconds: of active work.
        reader: initials of who edited.
    """

    original: str = ""
    rating: Mapping[str, Any] | None = None
    edits: Mapping[str, Any] | None = None
    removed: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0
    reader: str = ""


def with_notes(exam: Exam, notes: CaseNotes) -> Exam:
    """The exam with the readers' records, and with what these add to its warnings.

    A record that is damaged or of other segments is left out, and a warning says so.
    """
    lost: list[CTWarning] = []
    final = exam.segmentation.lobes, exam.segmentation.lesions
    segments = SegmentationIdentity.of(exam.histogram, final)
    edits = _edits(exam, notes, segments, lost)
    rating = _rating(notes, segments, edits, lost)
    # The scene's own warnings may tell the verdict already.
    others = [one for one in exam.segmentation.warnings if one.code not in {GATE_CODE, OUTDATED_CODE}]
    segmentation = replace(exam.segmentation, warnings=[*others, *lost, *gate_warnings(rating, segments)])
    records = {**exam.records, **ReaderRecords(rating, edits).as_record()}
    return replace(exam, segmentation=segmentation, records=records)


def edit_record_of(exam: Exam, notes: CaseNotes) -> EditRecord | None:
    """What lies between the AI's result and the exam's segments; None if the AI's was not kept on this grid.

    Raises:
        UnfitInputError: what was kept is damaged.
    """
    if not notes.original:
        return None
    labels = decode_labels(notes.original)
    if labels.shape != exam.ct.geometry.shape:
        return None
    return make_edit_record(
        exam.ct.hu,
        (labels % _LESION_BIT, labels >= _LESION_BIT),
        (exam.segmentation.lobes, exam.segmentation.lesions),
        exam.histogram,
        exam.metrics.thresholds,
        exam.segmentation.provenance,
        Work(notes.seconds, notes.reader, notes.removed, software_versions()),
        exam.ct.padding,
    )


def _edits(exam: Exam, notes: CaseNotes, segments: SegmentationIdentity, lost: list[CTWarning]) -> EditRecord | None:
    try:
        made = edit_record_of(exam, notes)
        if made is not None or notes.edits is None:
            return made
        told = edit_record_from(notes.edits, "")
        check_final(told, segments, "")
    except UnfitInputError as error:
        lost.append(CTWarning("edit-record-left-out", f"The edit record was left out: {error.what}."))
        return None
    return told


def _rating(
    notes: CaseNotes, segments: SegmentationIdentity, edits: EditRecord | None, lost: list[CTWarning]
) -> Rating | None:
    if notes.rating is None:
        return None
    try:
        rating = rating_from_record(notes.rating, "")
        if edits is None or not rating.case.is_surely(edits.ai):
            check_case(rating, segments, "")
    except UnfitInputError as error:
        lost.append(CTWarning("rating-left-out", f"The readers' rating was left out: {error.what}."))
        return None
    known = [segments, *(() if edits is None else (edits.ai,))]
    rounds = tuple(replace(one, of=_completed(one.of, known)) for one in rating.rounds)
    return replace(rating, case=_completed(rating.case, known), rounds=rounds)


def _completed(segments: SegmentationIdentity, known: Sequence[SegmentationIdentity]) -> SegmentationIdentity:
    """With the digest of the masks, where only the counts were known when it was rated."""
    for one in known:
        if segments.is_surely(one):
            return segments.with_more(one)
    return segments
