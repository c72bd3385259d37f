"""The comparison that belongs into the report of a reading, from the counts kept in the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.followup.comparison import ComparedExams
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.scene.followup.kept import KeptComparison, comparison_of
from COVIDQuantLib.scene.followup.kept_exams import exams_of_text
from COVIDQuantLib.scene.reading_session import Reading


def comparison_for_report(reading: Reading) -> tuple[ComparedExams | None, str]:
    """The comparison whose last exam a reading shows, by the reading's thresholds.

    A comparison is left out where its page would contradict the exam's.

    Args:
        reading: up to date.

    Returns:
        What the comparison is computed from; and why there is none although the exam was compared, in a sentence, else
        an empty text.
    """
    kept = comparison_of(reading.segmentation)
    if kept is None:
        return None, ""
    number = kept.exam_of(reading.segmentation)
    if number != kept.count:
        text = "The page of the follow-up is left out: it stands in the report of the last exam, and this is exam {}."
        return None, text.format(f"{number} of {kept.count}")
    if kept.changed_since(reading.segmentation, reading.live.histogram):
        return None, "The page of the follow-up is left out: the segments were edited since. Compare again."
    try:
        return kept_exams(kept, reading.live.thresholds), ""
    except COVIDQuantError as error:
        return None, f"The page of the follow-up is left out: {error.line()}"


def kept_exams(kept: KeptComparison, thresholds: Thresholds | None = None) -> ComparedExams:
    """The exams of a comparison in the scene, with what was found out about them.

    Args:
        kept: the comparison.
        thresholds: with which all values are computed; None for the comparison's own.

    Raises:
        UnfitInputError: what was kept is damaged, or was kept by an earlier version (``comparison-damaged``).
    """
    record = kept.record
    exams: Sequence[Mapping[str, Any]] = record["exams"]
    days = [date.fromisoformat(exam["date"]) for exam in exams]
    names = {str(exam["name"]): f"exam {exam['exam']}" for exam in exams}
    return ComparedExams(
        tuple(exams_of_text(kept.exams_text, exams)),
        tuple(days),
        _onset(days[0], exams[0]),
        thresholds or Thresholds(**record["thresholds"]),
        record["lesions"],
        tuple(CTWarning(one["code"], _unnamed(one["message"], names)) for one in record["warnings"]),
    )


def _onset(first: date, exam: Mapping[str, Any]) -> date | None:
    since = exam["days_since_onset"]
    return None if since is None else first - timedelta(days=since)


def _unnamed(text: str, names: Mapping[str, str]) -> str:
    """A text without the exams' names, which a reader may have taken from the patient's."""
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, names[name])
    return text
