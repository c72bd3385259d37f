"""Box plots of a measure by group, every exam as a point (papers.md rows H4, C3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.statistics.figures.style import COLOURS, FAINT, PAGE, TEXT, grid_of, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_HEIGHT = 2.7
_SEED = 5
_MOST_BRACKETS = 6


@dataclass(frozen=True)
class BoxPanel:
    """One measure's boxes.

    Attributes:
        title: the measure with its unit.
        groups: defined values by group.
        brackets: pairs of groups that differ, with the mark to set over them.
        head: set over the panel, e.g. the test and its P.
    """

    title: str
    groups: Mapping[str, np.ndarray]
    brackets: Sequence[tuple[str, str, str]] = ()
    head: str = ""


def box_records(panels: Sequence[BoxPanel]) -> list[dict[str, Cell]]:
    """What the panels show, a record per value."""
    return [
        {"measure": panel.title, "group": name, "value": float(value)}
        for panel in panels
        for name, values in panel.groups.items()
        for value in values
    ]


def draw_boxes(panels: Sequence[BoxPanel]) -> Figure:
    """Boxes from the first to the third quartile, whiskers to the furthest value within 1.5 of their distance."""
    width = PAGE / (2 if len(panels) > 1 else 1.5)
    figure, axes = grid_of(len(panels), 2, (width, _PANEL_HEIGHT))
    for ax, panel in zip(axes, panels, strict=True):
        _draw(ax, panel)
    return figure


def _draw(ax: Axes, panel: BoxPanel) -> None:
    rng = np.random.default_rng(_SEED)
    names = list(panel.groups)
    top = max((float(v.max()) for v in panel.groups.values() if len(v)), default=1.0)
    bottom = min((float(v.min()) for v in panel.groups.values() if len(v)), default=0.0)
    for number, name in enumerate(names):
        values, colour = panel.groups[name], COLOURS[number % len(COLOURS)]
        if not len(values):
            continue
        ax.boxplot(
            values,
            positions=[number],
            widths=0.5,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": colour, "alpha": 0.25, "edgecolor": colour, "linewidth": 1.0},
            medianprops={"color": TEXT, "linewidth": 1.4},
            whiskerprops={"color": colour},
            capprops={"color": colour},
        )
        across = number + rng.uniform(-0.16, 0.16, len(values))
        size = 10 if len(values) < 60 else 5
        ax.scatter(across, values, s=size, color=colour, alpha=0.65, linewidths=0, zorder=3)
    ax.set_xticks(range(len(names)), [f"{name}\nn = {len(panel.groups[name])}" for name in names])
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_ylabel(panel.title)
    if panel.head:
        ax.set_title(panel.head, fontsize=7, color=FAINT, loc="left")
    _draw_brackets(ax, panel, names, bottom, top)
    tidy(ax)


def _draw_brackets(ax: Axes, panel: BoxPanel, names: list[str], bottom: float, top: float) -> None:
    span = (top - bottom) or 1.0
    shown = sorted(panel.brackets, key=lambda b: abs(names.index(b[0]) - names.index(b[1])))[:_MOST_BRACKETS]
    for level, (one, other, mark) in enumerate(shown):
        left, right = sorted((names.index(one), names.index(other)))
        height = top + span * (0.07 + 0.12 * level)
        ax.plot([left, left, right, right], [height - span * 0.02, height, height, height - span * 0.02],
                color=TEXT, linewidth=0.8)  # fmt: skip
        ax.text((left + right) / 2, height - span * 0.012, mark, ha="center", va="bottom", fontsize=8)
    # No ticks above the data, where the brackets are.
    ax.set_yticks([tick for tick in ax.get_yticks() if bottom - 0.05 * span <= tick <= top + 0.08 * span])
    ax.set_ylim(bottom - span * 0.05, top + span * (0.08 + 0.12 * len(shown) + (0.04 if shown else 0)))
