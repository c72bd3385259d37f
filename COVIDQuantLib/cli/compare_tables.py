"""Show a comparison on the terminal: the exams, the changes in the lungs, and the signs in words."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.cli.terminal import console, shown
from COVIDQuantLib.followup.changes import Case, Change, Figure
from COVIDQuantLib.followup.comparison import Comparison, ExamPair
from COVIDQuantLib.followup.inspiration import DIFFERS_PERCENT
from COVIDQuantLib.followup.limits import LimitsVerdict, Verdict
from COVIDQuantLib.followup.sequence import CONSECUTIVE
from COVIDQuantLib.quantification.measure_table import View
from COVIDQuantLib.quantification.measures import MEASURES

_VERDICTS = {
    Verdict.WITHIN: ("within error", "dim"),
    Verdict.UNCLEAR: ("unclear", "yellow"),
    Verdict.BEYOND: ("exceeds error", "bold"),
}
_CASES = {
    Case.ZERO_BASELINE: "from zero",
    Case.UNDEFINED_BEFORE: "none before",
    Case.UNDEFINED_AFTER: "none after",
    Case.REGION_ABSENT: "region absent",
}
# A narrower terminal has room for the briefest choice of measures beside the exams' days.
_WIDE = 105
_OF_LOBES = "extent_percent"


def show_comparison(comparison: Comparison) -> None:
    """Print the exams, changes from the first to the last, extent by lobe, and signs between consecutive exams."""
    screen = console()
    _show_exams(comparison, screen)
    overall = comparison.overall
    _show_changes(overall, screen, site=comparison.site is not None)
    _show_lobes(overall, screen)
    if overall.inspiration.differs:
        _show_less_sensitive(overall, screen)
    for pair in comparison.pairs:
        if CONSECUTIVE in pair.kinds or pair is overall:
            described = "; ".join(sign.words for sign in pair.signs)
            screen.print(f"exam {pair.before.number} → {pair.after.number} ({_days(pair.interval_days)}): {described}")


def _show_exams(comparison: Comparison, screen: Console) -> None:
    measures = MEASURES.shown_in(View.EXAMS if screen.width >= _WIDE else View.BRIEF)
    table = Table(header_style="bold", title="exams")
    table.add_column("exam", no_wrap=True)
    table.add_column("folder", overflow="fold", min_width=6)
    table.add_column("day", no_wrap=True)
    onset = comparison.exams[0].onset_days is not None
    if onset:
        table.add_column("since\nonset", justify="right")
    table.add_column("result", min_width=7)
    for measure in measures:
        table.add_column(f"{measure.title}\n{measure.unit}", justify="right", no_wrap=True)
    for exam, figures in zip(comparison.exams, comparison.tables, strict=True):
        grade = exam.result.grade
        cells = [str(exam.number), shown(exam.result.name), f"{exam.day} (+{exam.days})"]
        cells += [str(exam.onset_days)] if onset else []
        gate = "; excluded by its readers" if exam.result.is_excluded else ""
        cells.append(f"{grade.text if grade else 'not checked'}{gate}")
        for measure in measures:
            value = figures.value(WHOLE_LUNG.name, measure.name)
            cells.append("" if value is None else f"{value:.{measure.decimals}f}")
        table.add_row(*cells)
    screen.print(table)


def _show_changes(pair: ExamPair, screen: Console, *, site: bool) -> None:
    lungs = pair.region(WHOLE_LUNG.name)
    title = f"whole lung, exam {pair.before.number} → {pair.after.number} ({_days(pair.interval_days)})"
    table = Table(header_style="bold", title=title)
    table.add_column("measure", no_wrap=True)
    for heading in ("before", "after", "change", "%"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("published limits")
    if site:
        table.add_column("site's limits")
    for name in (measure.name for measure in MEASURES.shown_in(View.TERMINAL)):
        change = lungs.changes[name]
        figure = change.figure
        cells: list[str | Text] = [f"{figure.title}{', ' + figure.unit if figure.unit else ''}"]
        cells += [_value(change.before, figure), _value(change.after, figure), *_change_cells(change)]
        cells.append(_verdict(pair.published[WHOLE_LUNG.name].get(name), figure))
        if site:
            cells.append(_verdict(pair.site[WHOLE_LUNG.name].get(name), figure))
        table.add_row(*cells)
    screen.print(table)


def _show_lobes(pair: ExamPair, screen: Console) -> None:
    table = Table(header_style="bold", title=f"extent by region, exam {pair.before.number} → {pair.after.number}")
    table.add_column("region", no_wrap=True)
    for heading in ("before", "after", "change", "%"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("pneumonia")
    for region in pair.regions:
        change = region.changes.get(_OF_LOBES)
        if change is not None:
            values = (_value(change.before, change.figure), _value(change.after, change.figure))
            table.add_row(region.region, *values, *_change_cells(change), str(region.disease))
    screen.print(table)


def _show_less_sensitive(pair: ExamPair, screen: Console) -> None:
    described = ", ".join(
        f"{change.figure.title.lower()} {_value(change.before, change.figure)} → "
        f"{_value(change.after, change.figure)} {change.figure.unit}"
        for change in pair.inspiration.less_sensitive
    )
    text = f"Lung volume differs by more than {DIFFERS_PERCENT:.0f} %: rely on what depends least on inspiration"
    screen.print(Text.assemble((text, "bold yellow"), f": {described}."), soft_wrap=True)


def _change_cells(change: Change) -> tuple[str, str]:
    if change.change is None:
        return "", _CASES.get(change.case, "")
    percent = _CASES.get(change.case, "") if change.percent is None else f"{change.percent:+.1f}"
    return f"{change.change:+.{change.figure.decimals}f}", percent


def _verdict(judgement: LimitsVerdict | None, figure: Figure) -> Text:
    if judgement is None:
        return Text("")
    words, style = _VERDICTS[judgement.verdict]
    return Text(f"{words} (±{judgement.two:.{figure.decimals}f})", style)


def _value(value: float | None, figure: Figure) -> str:
    return "" if value is None else f"{value:.{figure.decimals}f}"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
