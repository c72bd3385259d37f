"""The edit record of a case: what the AI found, what the reader made of it, what lies between (papers.md row Y3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.readers.changed_voxels import EVERYWHERE, ChangedVoxels
from COVIDQuantLib.readers.identity import SegmentationIdentity

FORMAT = "covidquant-edits/1"
_ADVICE = "Export the case again, or quantify the CT again."
_REMOVED = "removed"
_KEPT_OF_FINDING = ("id", "volume_ml", "score", "lobes", "reasons")
_CHANGES = ("added_ml", "removed_ml", "dice", "lesion_added_ml", "lesion_removed_ml", "lesion_dice")


@dataclass(frozen=True)
class Work:
    """What is known about the work beside the masks.

    Attributes:
        seconds: of active work, pauses left out.
        reader: initials of who edited; empty if not said.
        findings: the suspected artefacts with their status and reasons, as the review reports them.
        software: versions.
    """

    seconds: float = 0.0
    reader: str = ""
    findings: Sequence[Mapping[str, Any]] = ()
    software: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EditRecord:
    """What a reader changed in the AI's result.

    Attributes:
        ai: the AI's masks.
        final: the final masks.
        ai_steps: how the AI made each step, with the models' identity.
        changes: a row per region, then one of the lesion everywhere: mL added and removed, Dice.
        before, after: the rows of both tables of figures, by the same thresholds.
        thresholds: those.
        removed: parts of the pneumonia that were removed as artefact, with the reasons for suspicion.
        seconds: of active work.
        reader: initials of who edited; empty if not said.
        software: versions.
    """

    ai: SegmentationIdentity
    final: SegmentationIdentity
    ai_steps: Mapping[str, Any]
    changes: Sequence[Mapping[str, Any]]
    before: Sequence[Mapping[str, Any]]
    after: Sequence[Mapping[str, Any]]
    thresholds: Mapping[str, Any]
    removed: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0
    reader: str = ""
    software: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_edited(self) -> bool:
        """Whether the final masks differ from the AI's."""
        return self.ai.differs_from(self.final)

    def change(self, region: str = EVERYWHERE) -> Mapping[str, Any]:
        """The changes in a region by its name.

        Raises:
            KeyError: there is no such row.
        """
        for row in self.changes:
            if row["region"] == region:
                return row
        raise KeyError(region)

    def as_record(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "format": FORMAT,
            "edited": self.is_edited,
            "reader": self.reader,
            "active_seconds": self.seconds,
            "ai": self.ai.as_record() | {"steps": dict(self.ai_steps)},
            "final": self.final.as_record(),
            "changes": [dict(row) for row in self.changes],
            "removed_as_artefact": [dict(part) for part in self.removed],
            "thresholds": dict(self.thresholds),
            "figures_before": [dict(row) for row in self.before],
            "figures_after": [dict(row) for row in self.after],
            "software": dict(self.software),
        }


def make_edit_record(
    hu: np.ndarray,
    ai: tuple[np.ndarray, np.ndarray],
    final: tuple[np.ndarray, np.ndarray],
    histogram: JointHistogram,
    thresholds: Thresholds,
    steps: Mapping[str, Any],
    work: Work,
    padding: np.ndarray | None = None,
) -> EditRecord:
    """The record of one case, computed from its voxels.

    Args:
        hu: integer HU ``[k, j, i]``.
        ai: the AI's lobes 0..5 and lesions (nonzero in lesion), same shape.
        final: the reader's.
        histogram: the counts of the final masks.
        thresholds: of ground glass and consolidation.
        steps: how the AI made each step: the provenance of its result.
        work: everything beside the masks.
        padding: true where nothing was measured.

    Raises:
        ValueError: the shapes differ, or a label is not 0..5.
    """
    voxel_ml = histogram.voxel_volume_ml
    before = JointHistogram.of(hu, ai[0], ai[1], voxel_ml, padding)
    return EditRecord(
        SegmentationIdentity.of(before, ai),
        SegmentationIdentity.of(histogram, final),
        {name: step for name, step in steps.items() if name != "review"},
        ChangedVoxels.of(ai, final, voxel_ml, padding).record(),
        list(compute_metrics(before, thresholds).rows),
        list(compute_metrics(histogram, thresholds).rows),
        thresholds.as_record(),
        [_of_finding(finding) for finding in work.findings if finding.get("status") == _REMOVED],
        round(work.seconds, 1),
        work.reader,
        work.software,
    )


def _of_finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {name: finding[name] for name in _KEPT_OF_FINDING if name in finding}


def edit_record_from(record: Any, where: str) -> EditRecord:
    """The record that :meth:`EditRecord.as_record` described.

    Args:
        record: as read from a file or a node.
        where: for messages.

    Raises:
        UnfitInputError: it is damaged (``edit-record-damaged``).
    """
    try:
        return _read(record)
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        what = f"the edit record is damaged ({type(error).__name__}: {error})"
        raise UnfitInputError(what, where, _ADVICE, code="edit-record-damaged") from error


def _read(record: Any) -> EditRecord:
    if record["format"] != FORMAT:
        raise ValueError(f"format {str(record['format'])[:40]}")
    seconds = record["active_seconds"]
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds < math.inf:
        raise ValueError("seconds of work")
    found = EditRecord(
        SegmentationIdentity.from_record(record["ai"]),
        SegmentationIdentity.from_record(record["final"]),
        dict(record["ai"]["steps"]),
        [_change(row) for row in record["changes"]],
        [dict(row) for row in record["figures_before"]],
        [dict(row) for row in record["figures_after"]],
        Thresholds(**record["thresholds"]).as_record(),
        [dict(part) for part in record["removed_as_artefact"]],
        seconds,
        str(record["reader"])[:8],
        dict(record["software"]),
    )
    if record["edited"] is not found.is_edited:
        raise ValueError("whether it was edited contradicts its masks")
    return found


def _change(row: Mapping[str, Any]) -> dict[str, Any]:
    for name in _CHANGES:
        value, most = row[name], 1.0 if name.endswith("dice") else math.inf
        if value is not None and not (type(value) in {int, float} and 0 <= value <= most):
            raise ValueError(f"{name} of {str(value)[:20]}")
    return {"region": str(row["region"]), **{name: row[name] for name in _CHANGES}}


def check_final(record: EditRecord, segments: SegmentationIdentity, where: str) -> None:
    """Refuse the edit record of another exam.

    Raises:
        UnfitInputError: its final masks are others (``edit-record-other-exam``).
    """
    if not record.final.is_surely(segments):
        what = "the edit record is of another exam or of other segments"
        remedy = "Give the exam its own files back, or export the case again."
        raise UnfitInputError(what, where, remedy, code="edit-record-other-exam")
