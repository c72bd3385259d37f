"""A line above the overview image of a result that readers have rated, since the image cannot be drawn again."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.export.sheet.style import ALARM, BACKGROUND, DPI, PLAIN
from COVIDQuantLib.readers.rating import Rating
from COVIDQuantLib.readers.words import verdict_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Key of the PNG's own text that says how high the line is, so that it can be taken away again.
_KEY = b"COVIDQuant quality gate"
_PIXELS = 56
_PNG = b"\x89PNG\r\n\x1a\n"


def mark_picture(source: Path, target: Path, rating: Rating) -> None:
    """Copy an image with the verdict above it, in the place of an earlier one; without, if there is none yet.

    Args:
        source: the PNG as it is.
        target: the copy.
        rating: the readers' rating.

    Raises:
        ImportError: matplotlib is not installed.
        OSError, ValueError: the image cannot be read.
    """
    from matplotlib.image import imread, imsave

    height = _height_of_line(source.read_bytes())
    pixels = np.round(np.atleast_3d(imread(source)) * 255.0).astype(np.uint8)[height:]
    if pixels.ndim != 3 or pixels.shape[2] not in {3, 4} or not pixels.size:
        raise ValueError("not an image of ours")
    metadata: dict[str, Any] = {"Software": None}
    if rating.mean is not None:
        line = _line(rating, pixels.shape[1])[..., : pixels.shape[2]]
        pixels = np.concatenate([line, pixels])
        metadata[_KEY.decode("ascii")] = str(len(line))
    imsave(target, pixels, format="png", metadata=metadata, dpi=DPI)


def _line(rating: Rating, width: int) -> np.ndarray:
    """The verdict as pixels, uint8 ``[row, column, 4]``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Figure = Figure(figsize=(width / DPI, _PIXELS / DPI), dpi=DPI, facecolor=BACKGROUND)
    canvas = FigureCanvasAgg(figure)
    text = f"Two readers: {verdict_text(rating)}"
    figure.text(0.5, 0.42, text, color=ALARM if rating.excludes else PLAIN, fontsize=13, ha="center", va="center")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def _height_of_line(data: bytes) -> int:
    """Rows that an earlier line takes; 0 without one.

    Raises:
        ValueError: it is no PNG.
    """
    if not data.startswith(_PNG):
        raise ValueError("not a PNG")
    place = len(_PNG)
    while place + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        content = data[place + 8 : place + 8 + size]
        if kind == b"tEXt" and content.startswith(_KEY + b"\0"):
            return min(int(content[len(_KEY) + 1 :]), 10 * _PIXELS)
        place += 12 + size
    return 0
