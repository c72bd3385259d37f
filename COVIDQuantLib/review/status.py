"""How far the review has come, per segment and per finding, as plain records to save with the scene."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.review.suspicion import Finding

FORMAT = "covidquant-review/1"


class Status(StrEnum):
    """What has been done about a segment or a finding."""

    UNTOUCHED = "untouched"
    IN_PROGRESS = "in progress"
    ACCEPTED = "accepted"
    KEPT = "kept"
    REMOVED = "removed"


SEGMENT_STATUSES = (Status.UNTOUCHED, Status.IN_PROGRESS, Status.ACCEPTED)
FINDING_STATUSES = (Status.UNTOUCHED, Status.KEPT, Status.REMOVED)


class Origin(StrEnum):
    """Whose figures they are, for the mark beside them."""

    AI = "AI"
    EDITED = "edited"
    ACCEPTED = "accepted"


@dataclass(frozen=True)
class Decision:
    """What was decided about one finding, with enough of it to be told by when it is gone.

    Attributes:
        id: ``Finding.id``.
        status: untouched, kept or removed.
        volume_ml: its volume then.
        score: its score then.
        box: first and last-but-one index of its box along ``k, j, i``.
    """

    id: str
    status: Status
    volume_ml: float
    score: float
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    @classmethod
    def about(cls, finding: Finding, status: Status) -> Decision:
        """A decision about a finding.

        Raises:
            ValueError: the status is none of a finding.
        """
        if status not in FINDING_STATUSES:
            raise ValueError(f"a finding cannot be {status}")
        k, j, i = ((int(span.start), int(span.stop)) for span in finding.box)
        return cls(finding.id, status, finding.volume_ml, finding.score, (k, j, i))


@dataclass
class ReviewStatus:
    """The state of one CT's review.

    Attributes:
        segments: status by segment ID; a segment not named is untouched.
        decisions: by finding ID; a finding not named is untouched.
        reader: who decided; empty if not told.
    """

    segments: dict[str, Status] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    reader: str = ""

    def of_segment(self, segment_id: str) -> Status:
        """Status of a segment."""
        return self.segments.get(segment_id, Status.UNTOUCHED)

    def of_finding(self, finding_id: str) -> Status:
        """Status of a finding."""
        decision = self.decisions.get(finding_id)
        return decision.status if decision else Status.UNTOUCHED

    def set_segment(self, segment_id: str, status: Status) -> None:
        """Set a segment's status.

        Raises:
            ValueError: the status is none of a segment.
        """
        if status not in SEGMENT_STATUSES:
            raise ValueError(f"a segment cannot be {status}")
        self.segments[segment_id] = status

    def segment_edited(self, segment_id: str) -> None:
        """An edit takes back an acceptance: what was accepted is not what is there now."""
        self.segments[segment_id] = Status.IN_PROGRESS

    def decide(self, finding: Finding, status: Status) -> None:
        """Set a finding's status; untouched takes a decision back."""
        decision = Decision.about(finding, status)
        if status is Status.UNTOUCHED:
            self.decisions.pop(finding.id, None)
        else:
            self.decisions[finding.id] = decision

    def origin(self, segment_ids: Iterable[str]) -> Origin:
        """Whose the figures of some segments are: accepted if all of them are, AI if none was touched."""
        statuses = {self.of_segment(segment_id) for segment_id in segment_ids}
        if statuses == {Status.ACCEPTED}:
            return Origin.ACCEPTED
        removed = any(decision.status is Status.REMOVED for decision in self.decisions.values())
        return Origin.AI if Status.IN_PROGRESS not in statuses and not removed else Origin.EDITED

    def next_open(self, findings: Iterable[Finding], after: str | None = None) -> Finding | None:
        """The next suspected finding without a decision, from one in the list on and round; None if there is none."""
        order = list(findings)
        place = next((n for n, finding in enumerate(order, start=1) if finding.id == after), 0)
        waiting = (*order[place:], *order[:place])
        return next(
            (f for f in waiting if f.suspected and self.of_finding(f.id) is Status.UNTOUCHED and f.id != after), None
        )

    def to_json(self) -> str:
        """The state as text for the scene."""
        record = {
            "format": FORMAT,
            "reader": self.reader,
            "segments": {name: str(status) for name, status in self.segments.items()},
            "decisions": [
                {
                    "id": decision.id,
                    "status": str(decision.status),
                    "volume_ml": decision.volume_ml,
                    "score": decision.score,
                    "box": [list(span) for span in decision.box],
                }
                for decision in self.decisions.values()
            ],
        }
        return json.dumps(record)

    @classmethod
    def from_json(cls, text: str) -> ReviewStatus:
        """The state that :meth:`to_json` wrote; an empty text is a review not begun.

        Raises:
            UnfitInputError: the text is something else.
        """
        if not text:
            return cls()
        try:
            return cls._from_record(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnfitInputError(f"not the state of a review ({error})", "review", "Begin the review anew.") from error

    @classmethod
    def _from_record(cls, record: dict[str, Any]) -> ReviewStatus:
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}")
        state = cls(reader=str(record["reader"]))
        for name, status in record["segments"].items():
            state.set_segment(name, Status(status))
        for entry in record["decisions"]:
            decision = _decision(entry)
            state.decisions[decision.id] = decision
        return state


def _decision(entry: dict[str, Any]) -> Decision:
    status = Status(entry["status"])
    if status not in FINDING_STATUSES:
        raise ValueError(f"a finding cannot be {status}")
    k, j, i = ((int(start), int(stop)) for start, stop in entry["box"])
    return Decision(str(entry["id"]), status, float(entry["volume_ml"]), float(entry["score"]), (k, j, i))
