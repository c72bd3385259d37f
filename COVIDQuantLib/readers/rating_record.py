"""A rating as plain values, for ``metrics.json``, ``.seg.nrrd`` and the scene; what is read back is checked.

While a round waits for its second reader, the first one's words are *sealed*: base64 instead of plain text, so that
nobody who looks into a file reads them by accident. It is an envelope, not a lock.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.readers.rating import Rating, ReaderScores, Round, Score, comment_of, initials_of
from COVIDQuantLib.readers.scale import HIGHEST, LOWEST, READERS, scale_record
from COVIDQuantLib.system.json_file import parse_json

FORMAT = "covidquant-rating/1"
_ADVICE = "Restore the file as it was written, or rate the segmentation again."


def rating_record(rating: Rating) -> dict[str, Any]:
    """The rating as plain values."""
    return {
        "format": FORMAT,
        "verdict": str(rating.verdict),
        "mean": rating.mean,
        "scale": scale_record(),
        "case": rating.case.as_record(),
        "rounds": [_round_record(one) for one in rating.rounds],
    }


def _round_record(one: Round) -> dict[str, Any]:
    return {
        "of": one.of.as_record(),
        "mean": one.mean,
        "readers": [_reader_record(said, sealed=not one.is_complete) for said in one.readers],
    }


def _reader_record(said: ReaderScores, *, sealed: bool) -> dict[str, Any]:
    scores = [{"score": one.score, "time": one.time, "comment": one.comment} for one in said.scores]
    if not sealed:
        return {"reader": said.reader, "scores": scores}
    return {"reader": said.reader, "sealed": base64.b64encode(json.dumps(scores).encode()).decode("ascii")}


def rating_from_record(record: Any, where: str) -> Rating:
    """The rating that :func:`rating_record` described.

    Args:
        record: as read from a file or a node.
        where: for messages.

    Raises:
        UnfitInputError: it is damaged or contradicts itself (``rating-damaged``).
    """
    try:
        return _rating(record)
    except (KeyError, TypeError, ValueError, AttributeError, UsageError, binascii.Error) as error:
        what = f"the readers' rating is damaged ({type(error).__name__}: {error})"
        raise UnfitInputError(what, where, _ADVICE, code="rating-damaged") from error


def _rating(record: Any) -> Rating:
    if record["format"] != FORMAT:
        raise ValueError(f"format {str(record['format'])[:40]}")
    rating = Rating(
        SegmentationIdentity.from_record(record["case"]), tuple(_round(one) for one in _listed(record["rounds"]))
    )
    if len({one.of for one in rating.rounds}) < len(rating.rounds):
        raise ValueError("two rounds about the same segments")
    if record["verdict"] != rating.verdict or record["mean"] != rating.mean:
        raise ValueError(f"the verdict is {record['verdict']}, but the scores give {rating.verdict}")
    return rating


def _round(record: Any) -> Round:
    readers = tuple(_reader(one) for one in _listed(record["readers"]))
    if not 1 <= len(readers) <= READERS or len({one.reader for one in readers}) < len(readers):
        raise ValueError("a round has one or two different readers")
    found = Round(SegmentationIdentity.from_record(record["of"]), readers)
    if record["mean"] != found.mean:
        raise ValueError(f"the mean is {record['mean']}, but the scores give {found.mean}")
    return found


def _reader(record: Mapping[str, Any]) -> ReaderScores:
    sealed = record.get("sealed")
    scores = record["scores"] if sealed is None else parse_json(base64.b64decode(sealed, validate=True))
    if initials_of(record["reader"]) != record["reader"]:
        raise ValueError("initials are in upper case")
    found = tuple(_score(one) for one in _listed(scores))
    if not found:
        raise ValueError("a reader without a score")
    return ReaderScores(record["reader"], found)


def _score(record: Mapping[str, Any]) -> Score:
    score, time, comment = record["score"], record["time"], record["comment"]
    if type(score) is not int or not LOWEST <= score <= HIGHEST:
        raise ValueError(f"a score of {str(score)[:20]}")
    if datetime.fromisoformat(time).utcoffset() != timedelta(0):
        raise ValueError(f"{time[:40]} is no time in UTC")
    return Score(score, time, comment_of(comment))


def _listed(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def check_case(rating: Rating, case: SegmentationIdentity, where: str) -> None:
    """Refuse the rating of another exam.

    Args:
        rating: the rating.
        case: the AI's result of the exam to which it shall belong, or a rated state of it.
        where: for the message.

    Raises:
        UnfitInputError: it is of another one (``rating-other-exam``).
    """
    known = (rating.case, *(one.of for one in rating.rounds))
    if not any(one.is_surely(case) for one in known):
        what = "the readers' rating is of another exam or of other segments"
        remedy = "Give the exam its own files back, or rate it again."
        raise UnfitInputError(what, where, remedy, code="rating-other-exam")
