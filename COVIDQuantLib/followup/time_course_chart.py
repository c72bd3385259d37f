"""Draw the patient's time course, with the published curves behind it (papers.md rows P7 and H5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.followup.limits import published_limits
from COVIDQuantLib.followup.time_course import TRAJECTORY_REGION, TrajectoryPoint, charted_measures, has_onset
from COVIDQuantLib.quantification.measure_table import Measure
from COVIDQuantLib.quantification.time_courses import ALL, CURVES, MODERATE, SEVERE, curves_of
from COVIDQuantLib.system.atomic_files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 150
_CURVE_POINTS = 300
# Lowest upper axis limit, so that small fluctuations of healthy lungs do not fill the axis.
_LEAST_TOP = 1.0
# More exam numbers than this would overlap.
_MOST_NUMBERS = 12
_TEXT, _FAINT, _PATIENT = "#222222", "#666666", "#111111"
# Distinguishable by the colour-blind (Paul Tol, bright) and, by their dashes, without colour.
_STYLES: dict[str, dict[str, Any]] = {
    MODERATE: {"color": "#4477AA", "linestyle": (0, (5, 2))},
    SEVERE: {"color": "#EE6677", "linestyle": "-"},
    ALL: {"color": "#228833", "linestyle": (0, (1, 1.5))},
}
_NO_ONSET = "days since the first exam; with --onset the published curves are shown too"
_NOT_A_FORECAST = "Published courses are averages of groups, not a forecast for a patient."
_NOT_A_DEVICE = "Not a medical device."


@dataclass(frozen=True)
class Layout:
    """How the panels lie on the figure.

    Attributes:
        columns: panels side by side.
        panel_inches: width and height of each.
        head_inches, foot_inches: room above them for title and legend, and below for notes.
        text: size of the text, 1 as on a picture of its own.
        left, right, wspace: as matplotlib's ``subplots_adjust`` has them.
        entries: of the legend, side by side.
    """

    columns: int = 2
    panel_inches: tuple[float, float] = (4.8, 3.3)
    head_inches: float = 0.95
    foot_inches: float = 0.75
    text: float = 1.0
    left: float = 0.085
    right: float = 0.98
    wspace: float = 0.22
    entries: int = 5


OF_ITS_OWN = Layout()
# Beside tables on a page.
ONE_ROW = Layout(4, (1.83, 1.5), 0.36, 0.05, 0.72, 0.045, 0.995, 0.27, 6)


def write_time_course(path: Path, trajectory: Sequence[TrajectoryPoint]) -> None:
    """Draw a panel per measure with a published curve, and write them as PNG.

    Args:
        path: the file; appears complete or not at all.
        trajectory: the patient's exams in order.

    Raises:
        OutputError: the file cannot be written.
        UsageError: matplotlib is not installed.
    """
    figure = draw_time_course(trajectory)
    write_atomically(path, lambda target: figure.savefig(target, format="png", dpi=_DPI, metadata={"Software": None}))


def draw_time_course(trajectory: Sequence[TrajectoryPoint], layout: Layout = OF_ITS_OWN) -> Figure:
    """The chart as a separate figure, without touching matplotlib's global state; see :func:`write_time_course`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "the time course needs matplotlib, which is not installed",
            remedy="Install matplotlib, or use --no-picture.",
        ) from error
    measures = charted_measures()
    rows = -(-len(measures) // layout.columns)
    tall = rows * layout.panel_inches[1] + layout.head_inches + layout.foot_inches
    figure = Figure(figsize=(layout.columns * layout.panel_inches[0], tall), dpi=_DPI)
    FigureCanvasAgg(figure)
    onset = has_onset(trajectory)
    axes = figure.subplots(rows, layout.columns, squeeze=False).ravel()
    for ax, measure in zip(axes, measures, strict=False):
        _draw_panel(ax, measure, trajectory, layout.text, onset=onset)
    for ax in axes[len(measures) :]:
        ax.set_axis_off()
    bottom, top = (layout.foot_inches + 0.25) / tall, 1 - layout.head_inches / tall
    sides = {"left": layout.left, "right": layout.right, "wspace": layout.wspace}
    figure.subplots_adjust(bottom=bottom, top=top, hspace=0.36, **sides)
    _draw_head(figure, axes[0], tall, layout, onset=onset)
    if layout is OF_ITS_OWN:
        _draw_foot(figure, tall, onset=onset)
    return figure


def _draw_panel(ax: Axes, measure: Measure, trajectory: Sequence[TrajectoryPoint], size: float, *, onset: bool) -> None:
    from matplotlib.patheffects import withStroke

    corrected = [curve.group for curve in curves_of(measure.name) if onset and curve.correction]
    if onset:
        for curve in curves_of(measure.name):
            axis = np.linspace(*curve.span, _CURVE_POINTS)
            ax.plot(axis, curve.at(axis), linewidth=1.4 * size, label=curve.label, zorder=2, **_STYLES[curve.group])
    known = [point for point in trajectory if point.values[measure.name] is not None]
    days = [_day(point, onset=onset) for point in known]
    values = [point.values[measure.name] or 0.0 for point in known]
    _draw_limits(ax, measure, days, values)
    marks = 5 * size
    ax.plot(days, values, "o-", color=_PATIENT, linewidth=1.6 * size, markersize=marks, label="this patient", zorder=4)
    left_out = [(day, value) for point, day, value in zip(known, days, values, strict=True) if point.excluded]
    if left_out:
        hollow: dict[str, Any] = {"markerfacecolor": "white", "color": _PATIENT, "linestyle": "none"}
        hollow["markersize"] = marks
        ax.plot(*zip(*left_out, strict=True), "o", label="excluded by its readers", zorder=4.5, **hollow)
    if len(known) <= _MOST_NUMBERS:
        for point, day, value in zip(known, days, values, strict=True):
            place: dict[str, Any] = {"xytext": (4, 5), "textcoords": "offset points"}
            text = ax.annotate(str(point.exam), (day, value), color=_PATIENT, fontsize=7 * size, zorder=5, **place)
            text.set_path_effects([withStroke(linewidth=2.0, foreground="white")])
    ax.set_title(f"{measure.title}, whole lung", fontsize=10 * size, color=_TEXT, loc="left")
    # In a small panel it would stand in the title; the legend says it too.
    if corrected and size == OF_ITS_OWN.text:
        ax.set_title(f"corrected curve: {', '.join(corrected)}", fontsize=7 * size, color=_FAINT, loc="right")
    ax.set_ylabel(f"{measure.title}{', ' + measure.unit if measure.unit else ''}", fontsize=8 * size, labelpad=2)
    ax.set_xlabel(
        "days since onset of symptoms" if onset else "days since the first exam", fontsize=8 * size, labelpad=2
    )
    # Read before setting the lower end, which disables matplotlib's autoscaling of the upper.
    ax.margins(y=0.12)
    ax.set_ylim(0.0, max(ax.get_ylim()[1], _LEAST_TOP))
    if onset:
        ax.set_xlim(left=min([0.0, *days]))
    ax.tick_params(labelsize=8 * size)
    ax.grid(visible=True, linewidth=0.4, color="#dddddd")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _draw_limits(ax: Axes, measure: Measure, days: Sequence[float], values: Sequence[float]) -> None:
    """The published limits of a single measurement, where there are any."""
    limits = published_limits().get((TRAJECTORY_REGION, measure.name))
    if limits is None or not values:
        return
    halves = [limits.half_width(value) for value in values]
    below = [min(half, value) for half, value in zip(halves, values, strict=True)]
    label = "95 % limits of one measurement (Yoo 2022)"
    ax.errorbar(days, values, (below, halves), fmt="none", ecolor=_FAINT, elinewidth=0.9, capsize=2.5, label=label)


def _draw_head(figure: Figure, first: Axes, tall: float, layout: Layout, *, onset: bool) -> None:
    # Beside tables, the page's own heading stands above.
    titled = layout is OF_ITS_OWN
    if titled:
        figure.text(0.02, 1 - 0.13 / tall, "Time course", fontsize=12, color=_TEXT, va="top", weight="bold")
    if titled and not onset:
        figure.text(0.22, 1 - 0.16 / tall, _NO_ONSET, fontsize=8.5, color=_FAINT, va="top")
    # The first panel shows every kind of line.
    handles, labels = first.get_legend_handles_labels()
    place = (0.012, 1 - (0.34 if titled else 0.0) / tall)
    options = {"loc": "upper left", "bbox_to_anchor": place, "ncols": layout.entries, "frameon": False}
    options["fontsize"] = 7.5 * layout.text
    figure.legend(handles, labels, handlelength=2.6, columnspacing=1.2, **options)


def notes(*, onset: bool) -> list[str]:
    """What has to be said with the chart, in lines.

    Args:
        onset: whether the published curves are shown.
    """
    lines = [f"{_NOT_A_FORECAST} {_NOT_A_DEVICE}" if onset else _NOT_A_DEVICE]
    if onset:
        lines += [f"{curve.source}, {curve.group}: {curve.correction}" for curve in CURVES if curve.correction]
    return lines


def _draw_foot(figure: Figure, tall: float, *, onset: bool) -> None:
    for number, line in enumerate(reversed(notes(onset=onset))):
        figure.text(0.02, (0.12 + 0.17 * number) / tall, line, fontsize=6.5, color=_FAINT, va="bottom")


def _day(point: TrajectoryPoint, *, onset: bool) -> float:
    return float(point.onset_days if onset and point.onset_days is not None else point.days)
