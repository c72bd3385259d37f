"""Compare two or more exams of one patient: which pairs are compared, and the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.followup.changes import RegionChange, compare_tables
from COVIDQuantLib.followup.comparable import common_thresholds, refuse_mixed, reserves
from COVIDQuantLib.followup.exam_result import ExamResult
from COVIDQuantLib.followup.inspiration import DIFFERS_PERCENT, Inspiration, inspiration_of
from COVIDQuantLib.followup.limits import LimitsTable, LimitsVerdict, judge_all, published_limits
from COVIDQuantLib.followup.sequence import DatedExam, in_order, kinds_of
from COVIDQuantLib.followup.signs import Sign, signs_of
from COVIDQuantLib.followup.site_limits import SiteLimits
from COVIDQuantLib.followup.time_course import TRAJECTORY_REGION, TrajectoryPoint, charted_measures
from COVIDQuantLib.quantification.table import MetricsTable, compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds


@dataclass(frozen=True)
class ExamPair:
    """An exam and an earlier one.

    Attributes:
        before, after: the exams.
        kinds: the kinds of comparison: ``consecutive``, ``from baseline`` or both.
        regions: the changes, in the order of the table.
        published: per region and measure the change compared with the published limits.
        site: the same with the site's own limits; empty without.
    """

    before: DatedExam
    after: DatedExam
    kinds: tuple[str, ...]
    regions: tuple[RegionChange, ...]
    published: Mapping[str, Mapping[str, LimitsVerdict]]
    site: Mapping[str, Mapping[str, LimitsVerdict]]

    @property
    def interval_days(self) -> int:
        """Days between the two."""
        return self.after.days - self.before.days

    @cached_property
    def signs(self) -> tuple[Sign, ...]:
        """The direction of change of POI and iHU."""
        return signs_of(self.regions)

    @cached_property
    def inspiration(self) -> Inspiration:
        """Whether inspiration was the same."""
        return inspiration_of(self.regions)

    def region(self, name: str) -> RegionChange:
        """The changes of a region by name.

        Raises:
            KeyError: no region has this name.
        """
        for region in self.regions:
            if region.region == name:
                return region
        raise KeyError(name)


@dataclass(frozen=True)
class Comparison:
    """The comparison of a patient's exams.

    Attributes:
        exams: in order; the first is the baseline.
        tables: their tables with one pair of thresholds, in the same order.
        thresholds: that pair.
        pairs: each exam with the one before it, then each with the baseline if that is a different exam.
        warnings: warnings about the comparison.
        site: the site's own limits; None without.
        lesions: the fate of each lesion, as plain values for JSON; None if not computed. It is only passed through:
            nothing here depends on it.
    """

    exams: tuple[DatedExam, ...]
    tables: tuple[MetricsTable, ...]
    thresholds: Thresholds
    pairs: tuple[ExamPair, ...]
    warnings: tuple[CTWarning, ...]
    site: SiteLimits | None = None
    lesions: Mapping[str, Any] | None = field(default=None)

    def pair(self, before: int, after: int) -> ExamPair:
        """The comparison of two exams by their numbers.

        Raises:
            KeyError: the two were not compared.
        """
        for pair in self.pairs:
            if (pair.before.number, pair.after.number) == (before, after):
                return pair
        raise KeyError((before, after))

    @property
    def overall(self) -> ExamPair:
        """The last exam against the baseline."""
        return self.pair(1, len(self.exams))

    @cached_property
    def trajectory(self) -> tuple[TrajectoryPoint, ...]:
        """The patient's time course in the measures that have published curves."""
        names = [measure.name for measure in charted_measures()]
        return tuple(
            TrajectoryPoint(
                exam.number,
                exam.days,
                exam.onset_days,
                {name: table.value(TRAJECTORY_REGION, name) for name in names},
                exam.result.is_excluded,
            )
            for exam, table in zip(self.exams, self.tables, strict=True)
        )


def compare_exams(
    results: Sequence[ExamResult],
    dates: Sequence[date] = (),
    *,
    onset: date | None = None,
    thresholds: Thresholds | None = None,
    site: SiteLimits | None = None,
    same_patient: bool = False,
) -> Comparison:
    """Compare two or more exams of one patient.

    Args:
        results: the exams, the baseline first; they are sorted by date.
        dates: their dates, one each; empty to use those stored in the results.
        onset: first day of symptoms.
        thresholds: with which all values are recomputed from the stored counts; None for those of the exams, or the
            default ones if the exams differ.
        site: the site's own limits of agreement.
        same_patient: treat all as one patient, whatever the results say.

    Raises:
        UsageError: fewer than two exams, or a different number of dates.
        UnfitInputError: an exam of another patient, the same exam twice, or no date.
    """
    if len(results) < 2:
        raise UsageError("there is only one exam", remedy="Give a baseline and one or more follow-ups.")
    refuse_mixed(results, same_patient=same_patient)
    exams, of_order = in_order(results, dates, onset)
    common = thresholds or common_thresholds(results)
    tables = [compute_metrics(exam.result.histogram, common) for exam in exams]
    limits = published_limits(), site.limits if site else {}
    pairs = [
        _pair((exams[i], exams[j]), (tables[i], tables[j]), kinds, limits) for i, j, kinds in _who_with_whom(len(exams))
    ]
    warnings = [*of_order, *reserves(exams, common, same_patient=same_patient), *(site.warnings if site else ())]
    warnings += _of_inspiration(pairs)
    return Comparison(tuple(exams), tuple(tables), common, tuple(pairs), tuple(warnings), site)


def _who_with_whom(count: int) -> list[tuple[int, int, tuple[str, ...]]]:
    """Indices of the earlier and the later exam, and the kinds of comparison."""
    pairs = [*((i - 1, i) for i in range(1, count)), *((0, i) for i in range(2, count))]
    return [(i, j, kinds_of(i, j)) for i, j in pairs]


def _pair(
    exams: tuple[DatedExam, DatedExam],
    tables: tuple[MetricsTable, MetricsTable],
    kinds: tuple[str, ...],
    limits: tuple[LimitsTable, LimitsTable],
) -> ExamPair:
    regions = compare_tables(*tables)
    published, site = (
        {region.region: judge_all(region.region, region.changes.values(), known) for region in regions}
        for known in limits
    )
    return ExamPair(*exams, kinds, regions, published, site)


def _of_inspiration(pairs: Sequence[ExamPair]) -> list[CTWarning]:
    described = [
        f"{pair.before.number} to {pair.after.number} by {pair.inspiration.volume.percent:+.0f} %"
        for pair in pairs
        if pair.inspiration.differs
    ]
    if not described:
        return []
    text = (
        f"The lung volume differs by more than {DIFFERS_PERCENT:.0f} % (exam {', '.join(described)}): a different "
        "inspiration changes extent, volumes and mean HU without any disease. The weight in grams depends on it least."
    )
    return [CTWarning("inspiration-differs", text)]


@dataclass(frozen=True)
class ComparedExams:
    """What a comparison is computed from, exams in their order; unlike it, it can be sent to another process.

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
