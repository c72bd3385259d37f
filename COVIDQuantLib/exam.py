"""A quantified CT, from which every file, node and report is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.grades import CheckResult, Grade, grade_of
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import MetricsTable
from COVIDQuantLib.segmentation.result import Segmentation


@dataclass
class Exam:
    """One exam of one patient.

    Attributes:
        ct: the CT as it was read.
        segmentation: lobes and lesions on its grid.
        histogram: the joint histogram of both.
        metrics: all measurements.
        records: further entries of ``metrics.json`` as plain values: ``rating``, ``edit_record``, ``reading_aids``.
    """

    ct: CTVolume
    segmentation: Segmentation
    histogram: JointHistogram
    metrics: MetricsTable
    records: Mapping[str, Any] = field(default_factory=dict)

    @property
    def warnings(self) -> list[CTWarning]:
        """Warnings about the CT and its segmentation."""
        return [*self.ct.warnings, *self.segmentation.warnings]

    @property
    def checks(self) -> list[CheckResult]:
        """The results of the checks on the segmentation."""
        return self.segmentation.checks

    @property
    def grade(self) -> Grade | None:
        """The worst grade of any check; None if nothing was checked."""
        return grade_of(self.checks)
