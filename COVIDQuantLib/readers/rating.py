"""The rating of a segmentation by two readers, blinded to each other until both have spoken.

A *round* is about one state of the segments: edits after it need another one, and the earlier rounds are kept. Within a
round a reader may change the own score; once both have spoken, what stood before stays in its history.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.readers.scale import HIGHEST, LOWEST, READERS, Verdict

MAX_COMMENT = 500
_INITIALS = re.compile(r"[^\W\d_](?:[^\W_]|-(?=[^\W_])){0,7}")


@dataclass(frozen=True)
class Score:
    """One reader's word at one time.

    Attributes:
        score: 0..5.
        time: UTC, ISO 8601 to the second.
        comment: the reader's own words; may be empty.
    """

    score: int
    time: str
    comment: str = ""


@dataclass(frozen=True)
class ReaderScores:
    """What one reader has said in a round.

    Attributes:
        reader: initials.
        scores: the last one counts; before it those that were changed after both readers had spoken.
    """

    reader: str
    scores: tuple[Score, ...]

    @property
    def score(self) -> int:
        """The score that counts."""
        return self.scores[-1].score


@dataclass(frozen=True)
class Round:
    """Both readers about one state of the segments.

    Attributes:
        of: the segments they saw.
        readers: in the order in which they spoke; at most two.
    """

    of: SegmentationIdentity
    readers: tuple[ReaderScores, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether both have spoken."""
        return len(self.readers) == READERS

    @property
    def mean(self) -> float | None:
        """The mean of both scores; None until both have spoken."""
        return sum(one.score for one in self.readers) / READERS if self.is_complete else None

    def by(self, reader: str) -> ReaderScores | None:
        """What a reader said; None if nothing yet."""
        return next((one for one in self.readers if one.reader == reader), None)


@dataclass(frozen=True)
class Rating:
    """Everything that readers have said about the segmentation of one exam.

    Attributes:
        case: the AI's result of the exam, from which every rated state was made.
        rounds: the last one is current.
    """

    case: SegmentationIdentity
    rounds: tuple[Round, ...] = ()

    @property
    def current(self) -> Round | None:
        """The round that is open or was completed last; None before the first score."""
        return self.rounds[-1] if self.rounds else None

    @property
    def complete(self) -> Round | None:
        """The last round in which both have spoken; None if there is none."""
        return next((one for one in reversed(self.rounds) if one.is_complete), None)

    @property
    def mean(self) -> float | None:
        """The exam's score, by the last complete round."""
        return self.complete.mean if self.complete else None

    @property
    def verdict(self) -> Verdict:
        """By the last complete round: one that waits for its second reader changes nothing yet."""
        if self.mean is not None:
            return Verdict.of(self.mean)
        return Verdict.WAITING if self.rounds else Verdict.NOT_RATED

    @property
    def excludes(self) -> bool:
        """Whether the exam is excluded from quantification."""
        return self.verdict is Verdict.EXCLUDED

    def is_about(self, segments: SegmentationIdentity) -> bool:
        """Whether the verdict is about these segments, rather than about an earlier state of them."""
        judged = self.complete or self.current
        return judged is not None and judged.of.is_surely(segments)

    def rate(
        self,
        reader: str,
        score: int | str,
        of: SegmentationIdentity,
        *,
        comment: str = "",
        time: datetime | None = None,
        change: bool = False,
    ) -> Rating:
        """The rating with one more score.

        Args:
            reader: initials, in upper or lower case.
            score: a whole number 0..5.
            of: the segments that the reader saw; a state that nobody rated begins a new round.
            comment: the reader's own words.
            time: when it was said; None for now.
            change: replace the reader's own earlier score in this round.

        Raises:
            UsageError: the initials, the score or the comment is none (``reader-initials``, ``score-range``,
                ``comment-too-long``), or there is no score to change (``not-rated-yet``).
            UnfitInputError: the reader has spoken already (``already-rated``), or two others have (``third-reader``).
        """
        initials = initials_of(reader)
        said = Score(score_of(score), _utc(time), comment_of(comment))
        # An edit that was undone goes on with the round of the state before it.
        same = next((one for one in self.rounds if one.of.is_surely(of)), None)
        earlier = tuple(one for one in self.rounds if one is not same)
        current = Round(of) if same is None else replace(same, of=same.of.with_more(of))
        return replace(self, rounds=(*earlier, _with_score(current, initials, said, change=change)))


def _with_score(current: Round, initials: str, said: Score, *, change: bool) -> Round:
    before = current.by(initials)
    if before is None:
        if current.is_complete:
            both = " and ".join(one.reader for one in current.readers)
            what = f"{both} have rated this segmentation; there is no third reader"
            raise UnfitInputError(what, initials, "Ask one of them for a change.", code="third-reader")
        if change:
            raise _nothing_to_change(initials)
        return replace(current, readers=(*current.readers, ReaderScores(initials, (said,))))
    if not change:
        what = "this reader has rated this segmentation already"
        remedy = "Say that it is a change (--change), or give the other reader's initials."
        raise UnfitInputError(what, initials, remedy, code="already-rated")
    # Until both have spoken, what a reader takes back was never heard.
    scores = (*before.scores, said) if current.is_complete else (said,)
    changed = ReaderScores(initials, scores)
    return replace(current, readers=tuple(changed if one is before else one for one in current.readers))


def _nothing_to_change(initials: str) -> UsageError:
    what = "this reader has no rating of this segmentation to change"
    return UsageError(what, initials, "Leave out --change.", code="not-rated-yet")


def initials_of(text: str) -> str:
    """A reader's initials in upper case.

    Raises:
        UsageError: they are none.
    """
    initials = text.strip().upper()
    if not _INITIALS.fullmatch(initials):
        what = f"“{text.strip()[:20]}” are not a reader's initials"
        raise UsageError(what, "", "Give one to eight letters or digits, a letter first.", code="reader-initials")
    return initials


def score_of(value: int | str) -> int:
    """A score as a number.

    Raises:
        UsageError: it is no whole number 0..5.
    """
    text = str(value).strip()
    if isinstance(value, bool) or text not in {str(score) for score in range(LOWEST, HIGHEST + 1)}:
        what = f"“{text[:20]}” is not a score"
        remedy = f"Give a whole number from {LOWEST} to {HIGHEST}."
        raise UsageError(what, "", remedy, code="score-range")
    return int(text)


def comment_of(text: str) -> str:
    """A comment in one line.

    Raises:
        UsageError: it is too long.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > MAX_COMMENT:
        what = f"the comment has {len(line)} characters"
        raise UsageError(what, "", f"Give at most {MAX_COMMENT}.", code="comment-too-long")
    return line


def _utc(time: datetime | None) -> str:
    return (time or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")


def reader_pairs(ratings: Iterable[Rating]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """The scores of every two readers over several exams, for their agreement.

    Args:
        ratings: of the exams; one that is not complete is left out.

    Returns:
        Initials of two readers, in alphabetical order → their scores in the same order, an exam each.
    """
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for rating in ratings:
        if rating.complete is not None:
            one, other = sorted(rating.complete.readers, key=lambda said: said.reader)
            found.setdefault((one.reader, other.reader), []).append((one.score, other.score))
    return found
