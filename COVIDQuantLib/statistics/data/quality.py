"""Who is left out of a study: the readers' gate of Huang 2020 (papers.md row H3), the self-checks, and the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from COVIDQuantLib.grades import Grade
from COVIDQuantLib.statistics.data.read_table import as_numbers, need_columns

if TYPE_CHECKING:
    from pandas import DataFrame

EXCLUDED = "excluded by the study"
_YES = {"yes", "true", "1", "1.0", "y"}
_NO = {"", "0", "0.0", "no", "false", "n", "none", "nan"}


@dataclass(frozen=True)
class LeftOut:
    """An exam that does not count.

    Attributes:
        patient, exam: which.
        reason: in words that several exams share.
        detail: about this exam alone.
    """

    patient: str
    exam: str
    reason: str
    detail: str = ""


def leave_out(exams: DataFrame, quality: Mapping[str, Any], where: str) -> tuple[DataFrame, list[LeftOut]]:
    """Part the exams that count from those that do not; the first reason that holds is given.

    Args:
        exams: a row per exam; ``excluded`` (yes, or the reason), ``grade`` and the readers' scores are optional.
        quality: ``grades``, ``readers`` and ``least_score`` of the study.
        where: the table, for messages.

    Raises:
        UnfitInputError: a reader's column is missing or no number.
    """
    reasons: list[tuple[str, str]] = [("", "")] * len(exams)

    def give(chosen: Iterable[bool], reason: str, details: Iterable[str]) -> None:
        for index, (hit, detail) in enumerate(zip(chosen, details, strict=True)):
            if hit and not reasons[index][0]:
                reasons[index] = (reason, detail)

    if "excluded" in exams.columns:
        said = ["" if value is None or value != value else str(value).strip() for value in exams["excluded"]]  # noqa: PLR0124 - NaN
        for text in dict.fromkeys(said):
            if text.lower() not in _NO:
                why = "" if text.lower() in _YES else f": {text}"
                give([other == text for other in said], f"{EXCLUDED}{why}", [""] * len(exams))
    if "grade" in exams.columns:
        for grade in quality["grades"]:
            text = Grade(grade).text
            give([str(value) == grade for value in exams["grade"]], f"self-check: {text}", [""] * len(exams))
    if quality["readers"]:
        _give_scores(exams, quality, where, give)
    left = [
        LeftOut(str(patient), str(exam), reason, detail)
        for patient, exam, (reason, detail) in zip(exams["patient"], exams["exam"], reasons, strict=True)
        if reason
    ]
    return exams[[not reason for reason, _ in reasons]].copy(), left


def _give_scores(exams: DataFrame, quality: Mapping[str, Any], where: str, give: Any) -> None:
    readers = tuple(quality["readers"])
    need_columns(exams, readers, where)
    scores = exams[list(readers)].apply(lambda column: as_numbers(column, str(column.name), where))
    mean = scores.mean(axis=1, skipna=False)
    details = ["" if value != value else f"mean score {value:g}" for value in mean]  # noqa: PLR0124 - NaN
    least = quality["least_score"]
    give(mean.isna(), "segmentation not scored by every reader", details)
    give(mean < least, f"segmentation quality: mean score below {least:g}", details)


def reasons_of(left_out: Iterable[LeftOut]) -> dict[str, int]:
    """How many exams each reason holds for, the most frequent first."""
    return dict(Counter(each.reason for each in left_out).most_common())
