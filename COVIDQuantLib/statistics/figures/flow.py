"""Patient flow: what was listed, what was left out and why, what was analysed (as Huang 2020, Fig. 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from COVIDQuantLib.statistics.figures.style import PAGE, TEXT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.17
_GAP = 0.34


@dataclass(frozen=True)
class Flow:
    """Numbers of a study.

    Attributes:
        exams, patients: listed.
        reasons: exams left out, by reason.
        kept_exams, kept_patients: analysed.
        groups: patients and exams of each group; empty without groups.
    """

    exams: int
    patients: int
    reasons: Mapping[str, int]
    kept_exams: int
    kept_patients: int
    groups: Mapping[str, tuple[int, int]]


def draw_flow(flow: Flow) -> Figure:
    """Boxes from top to bottom, with what was left out beside."""
    out = sum(flow.reasons.values())
    side = [f"Left out (n = {out} exams)", *(f"•  {reason} (n = {count})" for reason, count in flow.reasons.items())]
    side_height = _LINE * len(side) + 0.16
    box = 2 * _LINE + 0.18
    middle = max(side_height if flow.reasons else 0.0, 0.2) + _GAP
    bottom = (_GAP + box) if flow.groups else 0.0
    height = 0.1 + box + middle + box + bottom + 0.1
    figure = new_figure(PAGE, height)
    ax = figure.subplots()
    ax.set_xlim(0, PAGE)
    ax.set_ylim(height, 0)
    ax.set_axis_off()
    centre = PAGE * 0.32
    top = 0.1
    _box(ax, centre, top, box, ["Listed", f"{flow.exams} exams of {flow.patients} patients"], 2.4)
    kept_top = top + box + middle
    _arrow(ax, (centre, top + box), (centre, kept_top))
    if flow.reasons:
        between = top + box + middle / 2
        _arrow(ax, (centre, between), (PAGE * 0.52, between))
        _box(ax, PAGE * 0.755, between - side_height / 2, side_height, side, PAGE * 0.47, left=True)
    _box(ax, centre, kept_top, box, ["Analysed", f"{flow.kept_exams} exams of {flow.kept_patients} patients"], 2.4)
    if flow.groups:
        _draw_groups(ax, flow, centre, kept_top + box, box)
    return figure


def _draw_groups(ax: Axes, flow: Flow, centre: float, top: float, box: float) -> None:
    count = len(flow.groups)
    width = min(1.6, (PAGE - 0.2) / count - 0.12)
    step = width + 0.12
    first = min(max(centre - step * (count - 1) / 2, width / 2 + 0.05), PAGE - 0.05 - step * (count - 1) - width / 2)
    for number, (name, (patients, exams)) in enumerate(flow.groups.items()):
        place = first + step * number
        ax.plot(
            [centre, centre, place, place], [top, top + _GAP / 2, top + _GAP / 2, top + _GAP], color=TEXT, linewidth=0.9
        )
        _box(ax, place, top + _GAP, box, [name, f"{patients} patients, {exams} exams"], width, size=7)


def _box(
    ax: Axes,
    centre: float,
    top: float,
    height: float,
    lines: list[str],
    width: float,
    *,
    left: bool = False,
    size: float = 8,
) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((centre - width / 2, top), width, height, facecolor="white", edgecolor=TEXT, linewidth=0.9))
    x = centre - width / 2 + 0.1 if left else centre
    step = (height - 0.12) / len(lines)
    for number, line in enumerate(lines):
        weight = "bold" if number == 0 else "normal"
        y = top + 0.06 + step * (number + 0.5)
        ax.text(x, y, line, ha="left" if left else "center", va="center", fontsize=size, fontweight=weight)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": TEXT, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    )
