"""What a comparison is computed from; unlike the comparison, it can be sent to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.followup.comparison import Comparison, compare_exams
from COVIDQuantLib.followup.exam_result import ExamResult
from COVIDQuantLib.quantification.thresholds import Thresholds


@dataclass(frozen=True)
class ComparedExams:
    """Exams that were compared before, in their order.

    Attributes:
        results: the exams.
        days: their dates.
        onset: first day of symptoms; None if unknown.
        thresholds: with which all values are computed.
        lesions: what became of each lesion, as the comparison had it; None if that was not looked at.
        warnings: as the comparison had them.
    """

    results: tuple[ExamResult, ...]
    days: tuple[date, ...]
    onset: date | None
    thresholds: Thresholds
    lesions: Mapping[str, Any] | None
    warnings: tuple[CTWarning, ...]

    def compare(self) -> Comparison:
        """The comparison, with the lesions and the warnings of the one before.

        Raises:
            UnfitInputError: two of the exams are the same one.
        """
        # What was known of the patient was checked when the exams were compared.
        found = compare_exams(self.results, self.days, onset=self.onset, thresholds=self.thresholds, same_patient=True)
        return replace(found, lesions=self.lesions, warnings=self.warnings)
