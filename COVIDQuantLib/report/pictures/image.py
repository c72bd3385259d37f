"""An image of the report, and figures that become one without touching matplotlib's global state."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from COVIDQuantLib.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MM_PER_INCH = 25.4
DPI = 220
TEXT = "#1c2226"
FAINT = "#59636b"
GRID = "#d5dade"
# Ground glass and consolidation in charts: two colours, two hatches and two lightnesses, for colour-blind readers
# and for printing without colour.
GGO_COLOUR, CONSOLIDATION_COLOUR, BELOW_COLOUR = "#7fb2e5", "#b5460f", "#e6e6e6"


@dataclass(frozen=True)
class Image:
    """A picture for the page.

    Attributes:
        kind: ``png`` or ``svg+xml``.
        data: the bytes of the file.
        alt: what it shows, in words, for those who cannot see it.
        caption: the line below it; empty if it needs none.
        aspect: its width divided by its height.
    """

    kind: str
    data: bytes
    alt: str
    caption: str = ""
    aspect: float = 1.0

    @property
    def url(self) -> str:
        """The picture itself as a data URL."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.data).decode('ascii')}"


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """An empty figure with a canvas of its own.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UsageError(
            "the report needs matplotlib, which is not installed",
            remedy="Install matplotlib.",
            code="report-no-matplotlib",
        ) from error
    figure = Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def image_of(figure: Figure, alt: str, caption: str = "") -> Image:
    """The figure as a PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    # No software version in the PNG, so that equal reports are equal files.
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return Image("png", buffer.getvalue(), alt, caption, figure.get_figwidth() / figure.get_figheight())
