"""The look of every figure: sizes, colours that the colour-blind can tell apart, axes without clutter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Paul Tol, bright; in the order of the groups.
COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#666666")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TEXT, FAINT, GRID = "#222222", "#666666", "#e3e3e3"
# Width of one column and of a page of a journal, inches.
COLUMN, PAGE = 3.5, 7.2
FONT = 8.0


@contextmanager
def look() -> Iterator[None]:
    """Matplotlib's settings for drawing and saving: the same numbers always give the same file."""
    import matplotlib as mpl

    settings = {
        "font.size": FONT,
        "axes.titlesize": FONT + 1,
        "axes.labelsize": FONT,
        "xtick.labelsize": FONT - 0.5,
        "ytick.labelsize": FONT - 0.5,
        "legend.fontsize": FONT - 0.5,
        "axes.edgecolor": TEXT,
        "axes.labelcolor": TEXT,
        "text.color": TEXT,
        "axes.linewidth": 0.8,
        "svg.hashsalt": "covidquant",
        "pdf.fonttype": 42,
        "axes.unicode_minus": True,
    }
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of its own, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def grid_of(count: int, columns: int, panel: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure with some panels, the places left over empty.

    Args:
        count: panels.
        columns: at most this many in a row.
        panel: width and height of each, inches.
    """
    across = min(columns, count)
    down = -(-count // across)
    figure = new_figure(across * panel[0], down * panel[1])
    axes = list(figure.subplots(down, across, squeeze=False).ravel())
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, axes[:count]


def tidy(ax: Axes, *, grid: Literal["", "x", "y", "both"] = "y") -> None:
    """Only the axes that are read, and a faint grid behind the data."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if grid:
        ax.grid(visible=True, axis=grid, linewidth=0.5, color=GRID, zorder=0)
        ax.set_axisbelow(True)
