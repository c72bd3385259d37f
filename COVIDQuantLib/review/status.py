"""How far a review has come: the status of each segment and finding, and what that makes of the figures."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.review.suspicion import Finding

FORMAT = "covidquant-review/1"


class SegmentStatus(StrEnum):
    """How far the reader is with a segment, in the order of Slicer's own segment statuses."""

    UNTOUCHED = "untouched"
    IN_PROGRESS = "in progress"
    ACCEPTED = "accepted"
    FLAGGED = "flagged"


class FindingStatus(StrEnum):
    """What the reader decided about a finding."""

    UNTOUCHED = "untouched"
    KEPT = "kept"
    REMOVED = "removed"


class Figures(StrEnum):
    """What the figures describe, shown beside them."""

    AI = "AI"
    EDITED = "edited"
    ACCEPTED = "accepted"

    @classmethod
    def of(cls, statuses: Collection[SegmentStatus], *, edited: bool) -> Figures:
        """Accepted once every segment is, else edited or the AI's.

        Args:
            statuses: of the segments.
            edited: whether any voxel differs from the AI result.
        """
        if statuses and all(status is SegmentStatus.ACCEPTED for status in statuses):
            return cls.ACCEPTED
        return cls.EDITED if edited else cls.AI


@dataclass(frozen=True)
class Decision:
    """What was decided about one finding, with enough about it to report it after it is gone.

    Attributes:
        id: ``Finding.id``.
        status: kept or removed.
        volume_ml: its volume at that time.
        score: its score at that time.
        box: start and stop index of its box along ``k, j, i``.
        lobes: names of the lobes it lies in.
        reasons: for the suspicion, in words.
    """

    id: str
    status: FindingStatus
    volume_ml: float
    score: float
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    lobes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @classmethod
    def about(cls, finding: Finding, status: FindingStatus) -> Decision:
        """A decision about a finding."""
        k, j, i = ((int(span.start), int(span.stop)) for span in finding.box)
        reasons = tuple(str(reason) for reason in finding.reasons)
        return cls(finding.id, status, finding.volume_ml, finding.score, (k, j, i), tuple(finding.lobes), reasons)

    def as_record(self) -> dict[str, Any]:
        """The decision as plain values, for JSON."""
        words = {"lobes": list(self.lobes), "reasons": list(self.reasons)}
        return {
            "id": self.id,
            "status": str(self.status),
            "volume_ml": self.volume_ml,
            "score": self.score,
            "box": [list(span) for span in self.box],
        } | {key: value for key, value in words.items() if value}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Decision:
        """The decision that :meth:`as_record` described.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        k, j, i = ((int(start), int(stop)) for start, stop in record["box"])
        status = FindingStatus(record["status"])
        # Earlier versions kept no words.
        lobes, reasons = (tuple(str(one) for one in record.get(key, ())) for key in ("lobes", "reasons"))
        volume_ml, score = float(record["volume_ml"]), float(record["score"])
        return cls(str(record["id"]), status, volume_ml, score, (k, j, i), lobes, reasons)


@dataclass
class Decisions:
    """The decisions about the findings of one CT, saved with the scene.

    Segments are not in here: their status is kept by Slicer itself, with each segment.

    Attributes:
        by_id: by finding ID; a finding without one is untouched.
    """

    by_id: dict[str, Decision] = field(default_factory=dict)

    def decide(self, finding: Finding, status: FindingStatus) -> None:
        """Set a finding's status; untouched takes a decision back."""
        if status is FindingStatus.UNTOUCHED:
            self.by_id.pop(finding.id, None)
        else:
            self.by_id[finding.id] = Decision.about(finding, status)

    def to_json(self) -> str:
        """The decisions as text for the scene."""
        # Earlier versions require a reader and segments, which nothing ever set.
        record = {"format": FORMAT, "reader": "", "segments": {}}
        return json.dumps(record | {"decisions": [decision.as_record() for decision in self.by_id.values()]})

    @classmethod
    def from_json(cls, text: str) -> Decisions:
        """The decisions that :meth:`to_json` wrote; an empty text is a review that has not begun.

        Raises:
            UnfitInputError: the text is something else.
        """
        if not text:
            return cls()
        try:
            return cls._from_record(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnfitInputError(
                f"not the state of a review ({error})", "review", "Start the review again."
            ) from error

    @classmethod
    def _from_record(cls, record: dict[str, Any]) -> Decisions:
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}")
        decisions = [Decision.from_record(entry) for entry in record["decisions"]]
        return cls({decision.id: decision for decision in decisions})
