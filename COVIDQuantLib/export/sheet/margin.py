"""The sheet's margin: headline measurements, lobes with their extents, and the colour legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import COVIDQuantLib
from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG
from COVIDQuantLib.export.sheet.colours import colour_range, lesion_rgb
from COVIDQuantLib.export.sheet.style import ALARM, FAINT, FINE, LINE, PLAIN, STRONG, TEXT_SIZE, WARN
from COVIDQuantLib.grades import CheckResult, Grade, findings_of, grade_of
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import MetricsTable, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN_INCHES = 3.0
MARGIN_HEIGHT_INCHES = 6.8
NOTICE = "Not a medical device. For research only."
_UNDEFINED = "–"
_LINE_LETTERS = 52
_LOBE_RIGHT = 2.45


def written(value: Value, form: str) -> str:
    """A formatted value; a dash if undefined."""
    return _UNDEFINED if value is None else form.format(value).replace("-", "−")


def draw_margin(
    figure: Figure,
    box: tuple[float, float, float, float],
    metrics: MetricsTable,
    title: str,
    warnings: Sequence[str],
    checks: Sequence[CheckResult] = (),
) -> None:
    """Draw the margin into a part of the figure.

    Args:
        figure: the sheet.
        box: left, bottom, width and height as shares of the figure.
        metrics: the figures.
        title: name of the exam; may be empty.
        warnings: codes of the warnings.
        checks: checks of the result.
    """
    axes = figure.add_axes(box)
    axes.set_axis_off()
    height = box[3] * figure.get_figheight()
    axes.set_xlim(0, MARGIN_INCHES)
    axes.set_ylim(height, 0)
    pen = _Pen(axes)
    pen.words(0, 0.16, "COVIDQuant", STRONG, 15, weight="bold")
    pen.words(MARGIN_INCHES, 0.16, COVIDQuantLib.__version__, FAINT, TEXT_SIZE, align="right")
    pen.words(0, 0.42, title or "Pneumonia on chest CT", PLAIN, TEXT_SIZE + 0.5)
    _draw_extent(pen, 0.66, metrics)
    _draw_headlines(pen, 1.72, metrics)
    _draw_lobes(pen, 3.42, metrics)
    _draw_scale(pen, 5.42, metrics)
    grade = grade_of(checks)
    if grade is not None:
        codes = [check.code for check in findings_of(checks)]
        pen.words(0, height - 0.48, _line(f"Result {grade.text}", codes), _GRADE_COLOUR[grade], TEXT_SIZE)
    if warnings:
        pen.words(0, height - 0.28, _line("Warnings", warnings), WARN, TEXT_SIZE - 0.5)
    pen.words(0, height - 0.06, NOTICE, FAINT, TEXT_SIZE - 1)


_GRADE_COLOUR = {Grade.SOUND: FINE, Grade.LOOK: WARN, Grade.UNUSABLE: ALARM}


def _line(title: str, codes: Sequence[str]) -> str:
    """A title and codes on one line of the margin; codes that do not fit are counted."""
    named = list(dict.fromkeys(codes))
    if not named:
        return title
    line = f"{title}: {', '.join(named)}"
    while len(line) > _LINE_LETTERS and len(named) > 1:
        named.pop()
        line = f"{title}: {', '.join(named)} and {len(set(codes)) - len(named)} more"
    return line


class _Pen:
    """Draws text, lines and bars at positions in inches from the margin's top left."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def words(self, x: float, y: float, text: str, colour: str, size: float, **more: str) -> None:
        """A line of text whose baseline is at ``y``; ``align`` and ``weight`` as in matplotlib."""
        align, weight = more.get("align", "left"), more.get("weight", "normal")
        self.axes.text(x, y, text, color=colour, fontsize=size, ha=align, va="baseline", weight=weight)

    def rule(self, y: float) -> None:
        """A thin line across the margin."""
        self.axes.plot((0, MARGIN_INCHES), (y, y), color=LINE, linewidth=0.8)

    def bar(self, x: float, y: float, width: float, height: float, colour: str | tuple[float, ...]) -> None:
        """A filled box whose top left is at ``x, y``."""
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((x, y), width, height, color=colour, linewidth=0))


def _draw_extent(pen: _Pen, top: float, metrics: MetricsTable) -> None:
    pen.rule(top)
    extent = written(metrics.value(WHOLE_LUNG.name, "extent_percent"), "{:.1f} %")
    pen.words(0, top + 0.58, extent, STRONG, 26, weight="bold")
    pen.words(0, top + 0.82, "of the lungs", PLAIN, TEXT_SIZE + 0.5)
    score = _UNDEFINED if metrics.ct_score_total is None else str(metrics.ct_score_total)
    pen.words(MARGIN_INCHES, top + 0.58, f"{score} / {5 * len(LOBES)}", STRONG, 16, align="right", weight="bold")
    lobes = f"CT score, {metrics.involved_lobes} of {len(LOBES)} lobes"
    pen.words(MARGIN_INCHES, top + 0.82, lobes, PLAIN, TEXT_SIZE + 0.5, align="right")


def _draw_headlines(pen: _Pen, top: float, metrics: MetricsTable) -> None:
    pen.rule(top)
    for number, measure in enumerate(MEASURES.on_sheet):
        y = top + 0.28 + 0.225 * number
        pen.words(0, y, measure.called, PLAIN, TEXT_SIZE + 1)
        # A picture has no room for the last digit of a table.
        form = f"{{:.{max(0, measure.decimals - 1)}f}} {measure.unit}".rstrip()
        figure = written(metrics.value(WHOLE_LUNG.name, measure.name), form)
        pen.words(MARGIN_INCHES, y, figure, STRONG, TEXT_SIZE + 1, align="right")


def _draw_lobes(pen: _Pen, top: float, metrics: MetricsTable) -> None:
    """A bar per lobe: its outline's colour, its extent of 100 % and its score."""
    pen.rule(top)
    pen.words(0, top + 0.26, "Lobes", STRONG, TEXT_SIZE + 1, weight="bold")
    pen.words(_LOBE_RIGHT, top + 0.26, "extent", FAINT, TEXT_SIZE - 0.5, align="right")
    pen.words(MARGIN_INCHES, top + 0.26, "score", FAINT, TEXT_SIZE - 0.5, align="right")
    for number, lobe in enumerate(LOBES):
        y = top + 0.54 + 0.28 * number
        extent = metrics.value(lobe.name, "extent_percent")
        pen.bar(0, y - 0.1, 0.1, 0.1, lobe.colour)
        pen.words(0.18, y, lobe.name.capitalize(), PLAIN, TEXT_SIZE + 0.5)
        pen.words(_LOBE_RIGHT, y, written(extent, "{:.1f} %"), STRONG, TEXT_SIZE + 0.5, align="right")
        score = written(metrics.value(lobe.name, "ct_score"), "{:.0f}")
        pen.words(MARGIN_INCHES, y, score, STRONG, TEXT_SIZE + 0.5, align="right")
        pen.bar(0.18, y + 0.055, _LOBE_RIGHT - 0.18, 0.03, LINE)
        pen.bar(0.18, y + 0.055, (_LOBE_RIGHT - 0.18) * (extent or 0.0) / 100, 0.03, lobe.colour)


def _draw_scale(pen: _Pen, top: float, metrics: MetricsTable) -> None:
    """The lesion's colours along HU."""
    pen.rule(top)
    pen.words(0, top + 0.26, "Lesion by density", STRONG, TEXT_SIZE + 1, weight="bold")
    coldest, warmest = colour_range(metrics.thresholds)
    ramp = lesion_rgb(np.linspace(coldest, warmest, 400)[np.newaxis], metrics.thresholds)
    y = top + 0.40
    pen.axes.imshow(ramp, extent=(0, MARGIN_INCHES, y + 0.14, y), aspect="auto", interpolation="nearest")
    step = MARGIN_INCHES * (metrics.thresholds.consolidation_hu - coldest) / (warmest - coldest)
    ends = ((0.0, coldest, "left"), (step, metrics.thresholds.consolidation_hu, "center"))
    for x, hu, align in (*ends, (MARGIN_INCHES, warmest, "right")):
        pen.words(x, y + 0.30, written(hu, "{:.0f}"), FAINT, TEXT_SIZE - 0.5, align=align)
    pen.words(step / 2, y + 0.30, "ground glass", PLAIN, TEXT_SIZE - 0.5, align="center")
    middle = (step + MARGIN_INCHES) / 2
    pen.words(middle, y + 0.30, "consolidation", PLAIN, TEXT_SIZE - 0.5, align="center")
