"""ROC curves, and odds ratios as a forest plot (papers.md rows C3, Y5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from COVIDQuantLib.statistics.figures.style import COLOURS, COLUMN, DASHES, FAINT, PAGE, TEXT, new_figure, tidy
from COVIDQuantLib.statistics.methods.roc import ROC

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_roc(curves: Mapping[str, ROC]) -> Figure:
    """Every marker's curve on one square, the cut-off of the largest Youden index as a ring."""
    figure = new_figure(COLUMN * 1.15, COLUMN * 1.15)
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    for number, (name, roc) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        label = f"{name}: {roc.area:.3f} ({roc.lower:.3f}–{roc.upper:.3f})"
        ax.plot(100 * roc.false_positive, 100 * roc.true_positive, color=colour, linewidth=1.6, label=label,
                linestyle=DASHES[number % len(DASHES)], zorder=3 + number, drawstyle="default")  # fmt: skip
        ax.plot([100 * (1 - roc.specificity.value)], [100 * roc.sensitivity.value], "o", markerfacecolor="white",
                markeredgecolor=colour, markeredgewidth=1.4, markersize=5.5, zorder=9)  # fmt: skip
    ax.lines[0].set_data([0, 100], [0, 100])
    ax.set_xlim(-2, 102)
    ax.set_ylim(-2, 102)
    ax.set_aspect("equal")
    ax.set_xlabel("1 − specificity (%)")
    ax.set_ylabel("Sensitivity (%)")
    ax.legend(frameon=False, loc="lower right", title="AUC (95 % CI)", title_fontsize=7, fontsize=6.8)
    tidy(ax, grid="both")
    return figure


@dataclass(frozen=True)
class OddsRow:
    """One line of a forest plot; without a ratio, the words stand in its place."""

    name: str
    ratio: float | None = None
    lower: float | None = None
    upper: float | None = None
    words: str = ""


def draw_forest(blocks: Mapping[str, Sequence[OddsRow]]) -> Figure:
    """Odds ratios with 95 % intervals on a logarithmic axis, a block per model."""
    lines: list[tuple[str, OddsRow | None]] = []
    for title, rows in blocks.items():
        lines.append((title, None))
        lines += [(row.name, row) for row in rows]
    figure = new_figure(PAGE, 0.6 + 0.21 * len(lines))
    ax = figure.subplots()
    bounds = [v for _, r in lines if r and r.ratio is not None for v in (r.lower, r.upper) if v and 1e-4 < v < 1e4]
    low, high = min([0.5, *bounds]) / 1.4, max([2.0, *bounds]) * 1.4
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.axvline(1.0, color=FAINT, linewidth=0.8, zorder=1)
    for place, (_, row) in enumerate(lines):
        if row is None:
            continue
        if row.ratio is None:
            ax.text(1.02, place, row.words, va="center", fontsize=6.5, color=FAINT, transform=ax.get_yaxis_transform())
            continue
        ends = [max(low, row.lower or low), min(high, row.upper or high)]
        ax.plot(ends, [place, place], color=COLOURS[0], linewidth=1.2, zorder=2)
        ax.plot([row.ratio], [place], "s", color=COLOURS[0], markersize=4.5, zorder=3)
        ax.text(1.02, place, row.words, va="center", fontsize=6.8, transform=ax.get_yaxis_transform())
    ax.set_yticks(range(len(lines)), [text for text, _ in lines])
    for label, (_, row) in zip(ax.get_yticklabels(), lines, strict=True):
        if row is None:
            label.set_fontweight("bold")
        label.set_color(TEXT)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(lines) - 0.4, -0.6)
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if low <= t <= high]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel("Odds ratio (95 % CI), logarithmic axis")
    tidy(ax, grid="x")
    ax.spines["left"].set_visible(False)
    return figure
