"""The page of a follow-up: what stands on it, ready for the template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from COVIDQuantLib.anatomy import OUTSIDE_LOBES, WHOLE_LUNG
from COVIDQuantLib.followup.changes import Case, Change
from COVIDQuantLib.followup.comparison import Comparison, ExamPair
from COVIDQuantLib.followup.lesions.records import FATES, LESION_ML
from COVIDQuantLib.followup.limits import LimitsVerdict, Verdict
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.quantification.measure_table import View
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.report.exam_page import ALARM, LOOK, Banner, TableRow, limited, minus
from COVIDQuantLib.report.pictures.followup_charts import lobes_over_time, time_course
from COVIDQuantLib.report.pictures.image import Image

VERDICTS = {
    Verdict.WITHIN: "within error",
    Verdict.UNCLEAR: "unclear",
    Verdict.BEYOND: "exceeds error",
}
_CASES = {
    Case.ZERO_BASELINE: "from zero",
    Case.UNDEFINED_BEFORE: "none before",
    Case.UNDEFINED_AFTER: "none after",
    Case.REGION_ABSENT: "region absent",
}
_OF_REGIONS = "extent_percent"
_CHART_MM = (88.0, 50.0)
# The first exam and the last ones stand in the table; the others are in the file.
_MOST_EXAMS = 10
_MOST_LINES, _MOST_LESIONS = 6, 3
_LIMITS = (
    "Measurement error: the published 95 % limits of agreement of one measurement (Yoo 2022, Table 1, square-root "
    "model), √2 times as wide for a change. A change within those of one measurement is within error, beyond those of "
    "two it exceeds error, in between it is unclear."
)


@dataclass(frozen=True)
class ChangeRow:
    """A change: its name, the cells of its row, and its verdict in words.

    Attributes:
        name: measure or region.
        cells: before, after, change, percent.
        verdict: by the published limits, or what became of the disease; empty without.
        site: by the site's own limits.
        clear: whether the change exceeds measurement error.
    """

    name: str
    cells: tuple[str, str, str, str]
    verdict: str = ""
    site: str = ""
    clear: bool = False


@dataclass(frozen=True)
class FollowupCharts:
    """The charts of a follow-up: the whole lung's time course, and the extent of each lobe."""

    course: Image
    lobes: Image


@dataclass(frozen=True)
class FollowupPage:
    """Everything on the page of a follow-up.

    Attributes:
        title: exams and days.
        pair: which two exams the changes are of.
        banners: the worst first.
        summary: the changes in sentences.
        headings: of the table of exams.
        exams: its rows.
        measures: changes of the whole lung.
        regions: changes of extent by region.
        has_site: whether there are verdicts by the site's own limits.
        charts: the time course and the lobes.
        lesions: what became of each lesion, in sentences.
        findings: warnings.
        limits: what the verdicts mean.
    """

    title: str
    pair: str
    banners: tuple[Banner, ...]
    summary: tuple[str, ...]
    headings: tuple[tuple[str, str], ...]
    exams: tuple[TableRow, ...]
    measures: tuple[ChangeRow, ...]
    regions: tuple[ChangeRow, ...]
    has_site: bool
    charts: FollowupCharts
    lesions: tuple[str, ...]
    findings: tuple[str, ...]
    limits: str


def draw_charts(comparison: Comparison) -> FollowupCharts:
    """Draw the charts of a comparison.

    Raises:
        UsageError: matplotlib is not installed.
    """
    return FollowupCharts(time_course(comparison), lobes_over_time(comparison, *_CHART_MM))


def followup_page(comparison: Comparison, charts: FollowupCharts, *, dates: bool = False) -> FollowupPage:
    """The page of a comparison.

    Args:
        comparison: the comparison.
        charts: of it.
        dates: name the dates of the exams, instead of the days between them alone.
    """
    overall = comparison.overall
    count = len(comparison.exams)
    headings, rows = _exams(comparison, dates=dates)
    return FollowupPage(
        f"Follow-up: {count} exams over {_days(comparison.exams[-1].days)}",
        f"exam {overall.before.number} → {overall.after.number}, {_days(overall.interval_days)}",
        tuple(_banners(comparison)),
        tuple(_summary(comparison)),
        headings,
        rows,
        tuple(_measures(overall)),
        tuple(_regions(overall)),
        comparison.site is not None,
        charts,
        tuple(_lesions(comparison)),
        tuple(limited([f"{warning.message} [{warning.code}]" for warning in comparison.warnings], _MOST_LINES)),
        _LIMITS,
    )


def _banners(comparison: Comparison) -> Iterator[Banner]:
    grades = {grade: [str(e.number) for e in comparison.exams if e.result.grade is grade] for grade in Grade}
    unusable = grades[Grade.UNUSABLE]
    if unusable:
        which = f"Exam {', '.join(unusable)} is" if len(unusable) == 1 else f"Exams {', '.join(unusable)} are"
        yield Banner(ALARM, f"{which} graded NOT USABLE: do not rely on these changes")
    # An exam knows of its readers only where they have rated it.
    excluded = [str(exam.number) for exam in comparison.exams if exam.result.is_excluded]
    if excluded:
        yield Banner(ALARM, f"Excluded from quantification by the readers: exam {', '.join(excluded)}")
    breath = comparison.overall.inspiration
    if breath.differs:
        least = ", ".join(
            f"{change.figure.title.lower()} {_value(change.before, change)} → {_value(change.after, change)} "
            f"{change.figure.unit}"
            for change in breath.less_sensitive
        )
        text = f"Another inspiration: lung volume {minus(f'{breath.volume.percent:+.0f}')} %"
        yield Banner(LOOK, text, (f"Rely on what depends on it least: {least}.",))


def _summary(comparison: Comparison) -> Iterator[str]:
    """The headline changes from the first to the last exam, then the signs of all consecutive exams."""
    overall = comparison.overall
    lungs = overall.region(WHOLE_LUNG.name)
    told = []
    for measure in MEASURES.shown_in(View.BRIEF):
        change = lungs.changes[measure.name]
        judged = overall.published[WHOLE_LUNG.name].get(measure.name)
        if change.change is not None:
            verdict = f" ({VERDICTS[judged.verdict]})" if judged else ""
            unit = "percentage points" if change.figure.unit == "%" else change.figure.unit
            told.append(f"{measure.title.lower()} {_signed(change)} {unit}{verdict}")
    if told:
        yield f"From the first to the last exam: {', '.join(told)}."
    signs = "; ".join(sign.words for sign in overall.signs)
    yield f"{signs[:1].upper()}{signs[1:]}."


def _exams(comparison: Comparison, *, dates: bool) -> tuple[tuple[tuple[str, str], ...], tuple[TableRow, ...]]:
    measures = MEASURES.shown_in(View.EXAMS)
    onset = comparison.exams[0].onset_days is not None
    headings = [("Exam", ""), *([("Date", "")] if dates else []), ("Day", "")]
    headings += [("Since onset", "days")] if onset else []
    headings += [(measure.title, measure.unit) for measure in measures] + [("Checks", "")]
    rows = []
    for exam, table in zip(comparison.exams, comparison.tables, strict=True):
        cells = [exam.day.isoformat()] if dates else []
        cells += [str(exam.days), *([minus(str(exam.onset_days))] if onset else [])]
        for measure in measures:
            value = table.value(WHOLE_LUNG.name, measure.name)
            cells.append("–" if value is None else minus(f"{value:.{measure.decimals}f}"))
        grade = exam.result.grade
        cells.append(grade.text if grade else "not checked")
        rows.append(TableRow(str(exam.number), "bad" if grade is Grade.UNUSABLE else "rest", tuple(cells)))
    if len(rows) > _MOST_EXAMS:
        left = len(rows) - _MOST_EXAMS + 1
        rest = tuple("…" for _ in headings[1:])
        rows = [rows[0], TableRow(f"{left} more", "rest", rest), *rows[len(rows) - _MOST_EXAMS + 2 :]]
    return tuple(headings), tuple(rows)


def _measures(pair: ExamPair) -> Iterator[ChangeRow]:
    lungs = WHOLE_LUNG.name
    for name, change in pair.region(lungs).changes.items():
        published, site = pair.published[lungs].get(name), pair.site[lungs].get(name)
        figure = change.figure
        clear = any(one is not None and one.verdict is Verdict.BEYOND for one in (published, site))
        title = f"{figure.title}{', ' + figure.unit if figure.unit else ''}"
        yield ChangeRow(title, _cells(change), _verdict(published, change), _verdict(site, change), clear)


def _regions(pair: ExamPair) -> Iterator[ChangeRow]:
    for region in pair.regions:
        if region.region != OUTSIDE_LOBES.name:
            site = pair.site[region.region].get(_OF_REGIONS)
            change = region.changes[_OF_REGIONS]
            yield ChangeRow(region.region, _cells(change), str(region.disease), _verdict(site, change))


def _cells(change: Change) -> tuple[str, str, str, str]:
    case = _CASES.get(change.case, "–")
    percent = case if change.percent is None else minus(f"{change.percent:+.1f}")
    return _value(change.before, change), _value(change.after, change), _signed(change), percent


def _signed(change: Change) -> str:
    return "–" if change.change is None else minus(f"{change.change:+.{change.figure.decimals}f}")


def _value(value: float | None, change: Change) -> str:
    return "–" if value is None else minus(f"{value:.{change.figure.decimals}f}")


def _verdict(judged: LimitsVerdict | None, change: Change) -> str:
    return "" if judged is None else f"{VERDICTS[judged.verdict]} (±{judged.two:.{change.figure.decimals}f})"


def _lesions(comparison: Comparison) -> Iterator[str]:
    """What became of the lesions between the last exams, as many pairs as there is room for."""
    record = comparison.lesions or {}
    pairs: Sequence[dict[str, object]] = record.get("pairs", ())
    least = record.get("limits", {}).get("lesion_ml", LESION_ML)
    for pair in pairs[-_MOST_LESIONS:]:
        counts = pair.get("counts")
        if isinstance(counts, dict):
            told = ", ".join(f"{counts[fate]} {fate}" for fate in FATES if counts.get(fate)) or "none"
            small = pair.get("too_small_count")
            more = f"; {small} too small to follow (below {least:g} mL)" if small else ""
            yield f"Lesions from exam {pair['before']} to {pair['after']}: {told}{more}."
        else:
            yield f"Lesions from exam {pair['before']} to {pair['after']}: could not be followed."


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
