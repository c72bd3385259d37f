"""Bland-Altman plots: differences against means, with the limits of agreement (papers.md row Y4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.system.atomic_files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 150
_COLUMNS = 2
_PANEL_INCHES = (4.6, 3.6)
_CURVE_POINTS = 200
# Colours that the colour-blind can distinguish (Paul Tol, bright).
_POINTS, _MEAN, _LIMITS, _CURVES = "#4477AA", "#222222", "#666666", "#EE6677"


@dataclass(frozen=True)
class BlandAltmanPanel:
    """One quantity's plot.

    Attributes:
        title: what it is.
        unit: its unit.
        predicted: one value per scan.
        reference: the same scans' other values.
        mean: mean difference predicted − reference.
        limits: 95 % limits of agreement on the original values.
        limits_at: the limits at a level of the mean, from the square roots; None if undefined.
    """

    title: str
    unit: str
    predicted: np.ndarray
    reference: np.ndarray
    mean: float
    limits: tuple[float, float]
    limits_at: Callable[[float], tuple[float, float] | None] | None = None


def write_bland_altman(path: Path, panels: Sequence[BlandAltmanPanel]) -> None:
    """Draw every panel on one sheet.

    Args:
        path: a PNG file; appears complete or not at all.
        panels: at least one.

    Raises:
        OutputError: the file cannot be written.
        UsageError: matplotlib is not installed.
    """
    figure = draw_bland_altman(panels)
    write_atomically(path, figure.savefig)


def draw_bland_altman(panels: Sequence[BlandAltmanPanel]) -> Figure:
    """Every panel on one figure, without touching matplotlib's global state; see :func:`write_bland_altman`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("the plots need matplotlib, which is not installed", remedy="Install matplotlib.") from error
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(columns * _PANEL_INCHES[0], rows * _PANEL_INCHES[1]), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, panel in zip(axes, panels, strict=False):
        _draw(ax, panel)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    return figure


def _draw(ax: Axes, panel: BlandAltmanPanel) -> None:
    means = (panel.predicted + panel.reference) / 2
    ax.scatter(means, panel.predicted - panel.reference, s=18, color=_POINTS, alpha=0.8, linewidths=0, zorder=3)
    ax.axhline(0.0, color=_LIMITS, linewidth=0.5)
    ax.axhline(panel.mean, color=_MEAN, linewidth=1.0, label=f"mean {panel.mean:.3g}")
    lower, upper = panel.limits
    for number, limit in enumerate((lower, upper)):
        label = f"95 % limits {lower:.3g} to {upper:.3g}" if number else None
        ax.axhline(limit, color=_LIMITS, linewidth=1.0, linestyle="--", label=label)
    _draw_curves(ax, panel, float(means.max()))
    ax.set_title(panel.title, fontsize=10)
    ax.set_xlabel(f"mean of predicted and reference, {panel.unit}", fontsize=8)
    ax.set_ylabel(f"predicted − reference, {panel.unit}", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=7, framealpha=0.8)


def _draw_curves(ax: Axes, panel: BlandAltmanPanel, highest: float) -> None:
    if panel.limits_at is None:
        return
    levels = np.linspace(0.0, max(highest, 0.0), _CURVE_POINTS)
    found = [limits for level in levels if (limits := panel.limits_at(float(level))) is not None]
    if len(found) < len(levels):
        return
    for number, side in enumerate(zip(*found, strict=True)):
        label = "95 % limits from square roots" if number else None
        ax.plot(levels, side, color=_CURVES, linewidth=1.0, label=label)
