"""An image of the report, and figures that become one without touching matplotlib's global state."""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MM_PER_INCH = 25.4
DPI = 220
# Where a PNG's header has its width and height.
_SIZE_AT = 16
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


def png_of(rgb: np.ndarray, alt: str, caption: str = "") -> Image:
    """Pixels as a PNG.

    Args:
        rgb: 0..1, ``[rows, columns, 3]``.
        alt: what it shows.
        caption: the line below it.
    """
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    options: dict[str, Any] = {"Software": None}
    imsave(buffer, np.ascontiguousarray(np.clip(rgb, 0.0, 1.0)), format="png", metadata=options)
    return Image("png", buffer.getvalue(), alt, caption, rgb.shape[1] / rgb.shape[0])


def image_of_sheet(data: bytes) -> Image:
    """The overview image of a finished result, as it is.

    Args:
        data: a PNG; its header says how wide and high it is.
    """
    width, height = struct.unpack(">II", data[_SIZE_AT : _SIZE_AT + 8])
    alt = "Overview of the exam: CT slices in three planes with lobes outlined and pneumonia coloured by density."
    return Image("png", data, alt, "", width / height if height else 1.0)
