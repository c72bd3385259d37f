"""A rating in words, for terminal and panel: no score of a round is told before both readers have spoken."""

from __future__ import annotations

from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.readers.rating import Rating, ReaderScores, Round
from COVIDQuantLib.readers.scale import ADEQUATE_FROM, HIGHEST, Verdict


def rating_lines(rating: Rating | None, segments: SegmentationIdentity | None = None) -> list[str]:
    """The rating, a line each for the verdict, what is needed next and what the readers said.

    Args:
        rating: None if nobody rated.
        segments: the exam's current ones, to say whether they are those that were rated; None if unknown.
    """
    if rating is None or rating.current is None:
        return [f"Quality gate: {Verdict.NOT_RATED}"]
    lines = [f"Quality gate: {verdict_text(rating)}"]
    judged, current = rating.complete, rating.current
    if judged is not None:
        lines += [_reader_line(said) for said in judged.readers]
    if not current.is_complete:
        lines.append(_waiting(current))
    if segments is not None and not current.of.is_surely(segments):
        lines.append("The segments have been edited since: rate them again.")
    return lines


def verdict_text(rating: Rating) -> str:
    """The verdict with the mean it rests on."""
    if rating.mean is None:
        return str(rating.verdict)
    return f"{rating.verdict} (mean {rating.mean:g} of {HIGHEST}, {ADEQUATE_FROM:g} is required)"


def _waiting(current: Round) -> str:
    names = " and ".join(said.reader for said in current.readers)
    return f"{names} has rated these segments; the score is shown when a second reader has."


def _reader_line(said: ReaderScores) -> str:
    last = said.scores[-1]
    before = [str(score.score) for score in said.scores[:-1]]
    changed = f", before: {', '.join(before)}" if before else ""
    comment = f": {last.comment}" if last.comment else ""
    return f"{said.reader} {last.score} ({last.time[:16].replace('T', ' ')} UTC{changed}){comment}"
