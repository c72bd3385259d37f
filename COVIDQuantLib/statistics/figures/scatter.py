"""Scatter plots with fitted curves: correlation, and time courses by group (papers.md rows H5, P7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from COVIDQuantLib.quantification.time_courses import Curve
from COVIDQuantLib.statistics.figures.style import COLOURS, DASHES, FAINT, MARKERS, PAGE, grid_of, tidy
from COVIDQuantLib.statistics.methods.polynomials import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 300
_PANEL_HEIGHT = 2.9
# Share of a panel's height that the legend's edges and each of its lines take.
_LEGEND_EDGE, _LEGEND_LINE = 0.05, 0.058


@dataclass(frozen=True)
class Points:
    """One group's points with its curves.

    Attributes:
        name: of the group; empty if there is only one.
        x, y: of the points.
        fits: drawn over the points' span, each with its label.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    fits: Sequence[tuple[str, Fit]] = ()


@dataclass(frozen=True)
class ScatterPanel:
    """One panel.

    Attributes:
        x_title, y_title: of the axes.
        points: by group.
        published: published curves, drawn thin behind.
        lines: patient's courses as arrays (x, y), drawn faint behind the points.
        head: set over the panel.
    """

    x_title: str
    y_title: str
    points: Sequence[Points]
    published: Sequence[Curve] = ()
    lines: Sequence[tuple[np.ndarray, np.ndarray]] = field(default=())
    head: str = ""


def draw_scatter(panels: Sequence[ScatterPanel]) -> Figure:
    """Draw the panels, two in a row; from zero on, if no value is below."""
    width = PAGE / (2 if len(panels) > 1 else 1.45)
    figure, axes = grid_of(len(panels), 2, (width, _PANEL_HEIGHT))
    for ax, panel in zip(axes, panels, strict=True):
        _draw(ax, panel)
    return figure


def _corner(groups: Sequence[Points]) -> str:
    """The upper corner away from the highest points."""
    x, y = (np.concatenate([getattr(group, axis) for group in groups]) for axis in "xy")
    if not len(x):
        return "upper right"
    high = x[y >= np.percentile(y, 95)]
    return "upper left" if high.mean() > (x.min() + x.max()) / 2 else "upper right"


def _whole_ticks(ax: Axes, groups: Sequence[Points]) -> None:
    """Scores and days are whole numbers: so are their ticks."""
    from matplotlib.ticker import MaxNLocator

    for axis, values in ((ax.xaxis, [p.x for p in groups]), (ax.yaxis, [p.y for p in groups])):
        found = np.concatenate(values) if values else np.empty(0)
        if len(found) and (found == np.round(found)).all():
            axis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))


def _draw(ax: Axes, panel: ScatterPanel) -> None:
    for x, y in panel.lines:
        ax.plot(x, y, color="#bbbbbb", linewidth=0.5, alpha=0.6, zorder=1)
    for number, points in enumerate(panel.points):
        colour = COLOURS[number % len(COLOURS)]
        crowd = len(points.x) > 150
        ax.scatter(points.x, points.y, s=7 if crowd else 14, color=colour, alpha=0.4 if crowd else 0.65, linewidths=0,
                   marker=MARKERS[number % len(MARKERS)], zorder=2)  # fmt: skip
        for order, (label, fit) in enumerate(points.fits):
            x = np.linspace(*fit.span, _POINTS)
            line = colour if len(points.fits) == 1 else COLOURS[(number + order + 1) % len(COLOURS)]
            ax.plot(
                x, fit.at(x), color=line, linewidth=1.7, linestyle=DASHES[order % len(DASHES)], label=label, zorder=4
            )
            if fit.peak is not None and len(points.fits) == 1:
                ax.plot([fit.peak.day], [fit.peak.value], "o", markersize=6, markerfacecolor="white",
                        markeredgecolor=line, markeredgewidth=1.4, zorder=5)  # fmt: skip
    for order, curve in enumerate(panel.published):
        x = np.linspace(*curve.span, _POINTS)
        ax.plot(x, curve.at(x), color=FAINT, linewidth=0.9, linestyle=DASHES[(order + 1) % len(DASHES)], zorder=3,
                label=curve.label)  # fmt: skip
    ax.set_xlabel(panel.x_title)
    ax.set_ylabel(panel.y_title)
    lowest = min((float(p.y.min()) for p in panel.points if len(p.y)), default=0.0)
    highest = max((float(p.y.max()) for p in panel.points if len(p.y)), default=1.0)
    entries = len(ax.get_legend_handles_labels()[1])
    if lowest >= 0:
        # Room for the legend above the points.
        room = _LEGEND_EDGE + _LEGEND_LINE * entries
        ax.set_ylim(-0.02 * (highest or 1.0), (highest or 1.0) / (1 - room))
    spans = [float(value) for p in panel.points if len(p.x) for value in (p.x.min(), p.x.max())]
    if spans:
        margin = 0.04 * (max(spans) - min(spans) or 1.0)
        ax.set_xlim(min(spans) - margin, max(spans) + margin)
    if panel.head:
        ax.set_title(panel.head, fontsize=7, color=FAINT, loc="left")
    tidy(ax, grid="both")
    _whole_ticks(ax, panel.points)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(framealpha=0.8, edgecolor="none", handlelength=2.4, fontsize=6.8, loc=_corner(panel.points))
