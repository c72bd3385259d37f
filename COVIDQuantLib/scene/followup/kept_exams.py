"""The counts and ratings of a comparison's exams as text, from which its figures can be computed again.

They are kept because a report may be written when the folder or the CT that an exam came from is not at hand any more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.followup.exam_result import ExamResult
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.readers.rating_record import rating_from_record, rating_record

_FORMAT = "covidquant-compared-exams/1"


def exams_text(exams: Sequence[ExamResult]) -> str:
    """The counts and ratings of exams, for a text node."""
    told = [
        {
            "histogram": exam.histogram.as_record(),
            "rating": None if exam.rating is None else rating_record(exam.rating),
        }
        for exam in exams
    ]
    return json.dumps({"format": _FORMAT, "exams": told}, allow_nan=False)


def exams_of_text(text: str, records: Sequence[Mapping[str, Any]]) -> list[ExamResult]:
    """The exams that :func:`exams_text` described.

    Args:
        text: of the text node.
        records: of the same exams, in the same order, as ``comparison.json`` holds them.

    Raises:
        UnfitInputError: the text is damaged, or of other exams (``comparison-damaged``).
    """
    try:
        return [_exam(one, record) for one, record in zip(_told(json.loads(text)), records, strict=True)]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, UnfitInputError) as error:
        raise UnfitInputError(
            "the counts of the compared exams are damaged",
            "the comparison in the scene",
            "Compare the exams again.",
            code="comparison-damaged",
        ) from error


def _told(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if document["format"] != _FORMAT:
        raise ValueError("another format")
    exams: Sequence[Mapping[str, Any]] = document["exams"]
    return exams


def _exam(told: Mapping[str, Any], record: Mapping[str, Any]) -> ExamResult:
    return ExamResult(
        # Two folders may have one name.
        path=Path(str(record["exam"]), str(record["name"])),
        histogram=JointHistogram.from_record(told["histogram"]),
        thresholds=Thresholds(**record["own_thresholds"]),
        grade=None if record["grade"] is None else Grade(record["grade"]),
        rating=None if told["rating"] is None else rating_from_record(told["rating"], str(record["name"])),
    )
