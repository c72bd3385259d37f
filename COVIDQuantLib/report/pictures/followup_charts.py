"""Charts of a follow-up: the lobes over time, and the time course with the published curves."""

from __future__ import annotations

from typing import Any

from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG
from COVIDQuantLib.followup.comparison import Comparison
from COVIDQuantLib.followup.time_course import has_onset
from COVIDQuantLib.followup.time_course_chart import ONE_ROW, draw_time_course, notes
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.report.pictures.charts import WORDS, plain
from COVIDQuantLib.report.pictures.image import GRID, TEXT, Image, image_of, new_figure

_EXTENT = "extent_percent"
# The lobes' own colours are too light for lines on white.
_DARKER = 0.62
# Per lobe a marker and dashes of its own, for readers and printers without colour.
_MARKS: tuple[tuple[str, Any], ...] = (
    ("o", "-"),
    ("s", (0, (5, 1.5))),
    ("^", (0, (1.2, 1.2))),
    ("D", (0, (6, 1.5, 1.2, 1.5))),
    ("v", (0, (3, 1))),
)
_MOST_MARKS = 15


def lobes_over_time(comparison: Comparison, width_mm: float, height_mm: float) -> Image:
    """Extent of every lobe and of the whole lung over the days since the first exam."""
    figure = new_figure(width_mm, height_mm)
    axes = figure.add_axes((0.105, 0.165, 0.875, 0.71))
    plain(axes)
    days = [exam.days for exam in comparison.exams]
    told = []
    every = max(1, len(days) // _MOST_MARKS)
    for lobe, (marker, dashes) in zip(LOBES, _MARKS, strict=True):
        colour = tuple(_DARKER * channel for channel in lobe.colour)
        values = _values(comparison, lobe.name)
        line = {"marker": marker, "linestyle": dashes, "markersize": 2.8, "linewidth": 1.0, "markevery": every}
        axes.plot(days, values, color=colour, label=lobe.short, **line)
        told.append(f"{lobe.name} {_in_words(values)}")
    whole = _values(comparison, WHOLE_LUNG.name)
    axes.plot(days, whole, color=TEXT, linewidth=1.9, label=WHOLE_LUNG.name)
    axes.set_ylim(0, max(5.0, axes.get_ylim()[1]))
    unit = MEASURES.named(_EXTENT).unit
    axes.set_ylabel(f"extent, {unit}", fontsize=WORDS, color=TEXT, labelpad=2)
    axes.set_xlabel("days since the first exam", fontsize=WORDS, color=TEXT, labelpad=1)
    axes.grid(visible=True, linewidth=0.3, color=GRID)
    options = {"loc": "upper center", "ncols": len(LOBES) + 1, "frameon": False, "fontsize": WORDS - 0.4}
    figure.legend(handlelength=2.6, columnspacing=0.9, handletextpad=0.4, borderpad=0.1, **options)
    alt = f"Line chart of extent from the first to the last exam: whole lung {_in_words(whole)}; {'; '.join(told)}."
    return image_of(figure, alt)


def _values(comparison: Comparison, region: str) -> list[float]:
    values = (table.value(region, _EXTENT) for table in comparison.tables)
    # Not a number is a gap in matplotlib's line.
    return [float("nan") if value is None else value for value in values]


def _in_words(values: list[float]) -> str:
    known = ["absent" if value != value else f"{value:.1f} %" for value in (values[0], values[-1])]  # noqa: PLR0124
    return " to ".join(known)


def time_course(comparison: Comparison) -> Image:
    """Extent, CT score, ground glass and consolidation of the whole lung, with the published curves if they fit."""
    # Without the day of onset the patient cannot be placed on the curves' axis.
    trajectory = comparison.trajectory
    onset = has_onset(trajectory)
    against = " with the published courses of Pan and Huang" if onset else ""
    told = []
    for point in trajectory:
        day = f"day {point.onset_days} of symptoms" if onset else f"day {point.days}"
        extent = point.values[_EXTENT]
        told.append(f"{day} {'no lungs' if extent is None else f'extent {extent:.1f} %'}")
    alt = f"Time course of extent, CT score, ground glass and consolidation{against}: {'; '.join(told)}."
    return image_of(draw_time_course(trajectory, ONE_ROW), alt, " ".join(notes(onset=onset)))
