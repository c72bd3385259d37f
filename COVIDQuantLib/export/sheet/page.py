"""The overview image of an exam: overlays in three planes and the headline figures (papers.md row P6)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.export.sheet.colours import LESION_OPACITY, lesion_rgb, windowed
from COVIDQuantLib.export.sheet.margin import MARGIN_HEIGHT_INCHES, MARGIN_INCHES, draw_margin
from COVIDQuantLib.export.sheet.style import BACKGROUND, DPI, FAINT, PLAIN, STRONG, TEXT_BACK, TEXT_SIZE, line_outline
from COVIDQuantLib.export.sheet.views import AXIAL, Page, Scene, View, render
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.quantification.table import MetricsTable
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.system.atomic_files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_WIDTH_INCHES = 14.5
_MAX_HEIGHT_INCHES = 7.2
_BORDER_INCHES = 0.3
_GAP_INCHES = 0.08
_CAPTION_INCHES = 0.2
_AXIALS_PER_ROW = 4
_SCALE_BAR_MM = 50.0
_OUTLINE = 0.55
_LEVEL_LINE: dict[str, Any] = {"color": STRONG, "linewidth": 0.5, "alpha": 0.45, "dashes": (4, 4)}
# Marks of neighbouring levels closer than this would overlap.
_MARK_INCHES = 0.11


@dataclass(frozen=True)
class _Tile:
    """A view with its place on the sheet, inches from the top left of the picture area."""

    view: View
    left: float
    top: float
    width: float
    height: float


def write_sheet(
    path: Path,
    ct: CTVolume,
    segmentation: Segmentation,
    metrics: MetricsTable,
    title: str = "",
    report: Report = silent,
) -> None:
    """Draw the sheet and write it as PNG.

    Args:
        path: the file; appears complete or not at all.
        ct: the CT, in any orientation.
        segmentation: lobes and lesions on its grid.
        metrics: the measurements shown in the margin.
        title: name of the exam, for the margin.
        report: progress; may raise ``Cancelled``.

    Raises:
        OutputError: the file cannot be written.
        UsageError: matplotlib is not installed.
    """
    figure = draw_sheet(ct, segmentation, metrics, title, report)
    # No software version in the PNG, so that equal sheets give equal files.
    write_atomically(path, lambda target: figure.savefig(target, format="png", dpi=DPI, metadata={"Software": None}))
    report(1.0)


def draw_sheet(
    ct: CTVolume, segmentation: Segmentation, metrics: MetricsTable, title: str = "", report: Report = silent
) -> Figure:
    """The sheet as a separate figure, without touching matplotlib's global state; see :func:`write_sheet`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UsageError(
            "the sheet of overlays needs matplotlib, which is not installed",
            remedy="Install matplotlib, or use --no-picture.",
        ) from error
    scene = Scene(ct, segmentation)
    tiles, width, height = _lay_out(scene, _choose(scene))
    report(0.2)
    wide = width + MARGIN_INCHES + 4 * _BORDER_INCHES
    tall = max(height, MARGIN_HEIGHT_INCHES) + 2 * _BORDER_INCHES
    figure = Figure(figsize=(wide, tall), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    levels = [tile.view for tile in tiles if tile.view.plane is AXIAL]
    for number, tile in enumerate(tiles):
        left, bottom = _BORDER_INCHES + tile.left, tall - _BORDER_INCHES - tile.top - tile.height
        axes = figure.add_axes((left / wide, bottom / tall, tile.width / wide, tile.height / tall))
        _draw_tile(axes, scene, tile, levels, metrics.thresholds)
        report(0.2 + 0.6 * (number + 1) / len(tiles))
    left = wide - _BORDER_INCHES - MARGIN_INCHES
    box = (left / wide, _BORDER_INCHES / tall, MARGIN_INCHES / wide, 1 - 2 * _BORDER_INCHES / tall)
    warnings = [warning.code for warning in (*ct.warnings, *segmentation.warnings)]
    draw_margin(figure, box, metrics, title, warnings, segmentation.checks)
    return figure


def _choose(scene: Scene) -> list[list[View]]:
    """Rows of views: axial slices above, in two rows if that fits the page, the two other planes below."""
    below = [*scene.coronal(2), *scene.sagittal()]
    rows: list[list[View]] = []
    for count in (2, 1):
        axials = scene.axial(count * _AXIALS_PER_ROW)
        rows = [axials[start : start + _AXIALS_PER_ROW] for start in range(0, len(axials), _AXIALS_PER_ROW)]
        rows.append(below)
        by_width, by_height = _scales([[scene.size_mm(view.plane) for view in row] for row in rows])
        if by_width <= by_height:
            break
    return rows


def _scales(rows: list[list[tuple[float, float]]]) -> tuple[float, float]:
    """Inches per millimetre at which rows of tiles (width and height in mm) fill the page's width and its height."""
    by_width = min(
        (_MAX_WIDTH_INCHES - (len(row) - 1) * _GAP_INCHES) / sum(across for across, _ in row) for row in rows
    )
    tall = sum(max(down for _, down in row) for row in rows)
    return by_width, (_MAX_HEIGHT_INCHES - len(rows) * (_CAPTION_INCHES + _GAP_INCHES)) / tall


def _lay_out(scene: Scene, rows: list[list[View]]) -> tuple[list[_Tile], float, float]:
    """Tiles of one scale, as large as fits the page, and the width and height they take in inches."""
    sizes = [[scene.size_mm(view.plane) for view in row] for row in rows]
    widths = [sum(across for across, _ in row) for row in sizes]
    heights = [max(down for _, down in row) for row in sizes]
    gaps = [(len(row) - 1) * _GAP_INCHES for row in rows]
    scale = min(_scales(sizes))
    total = max(width * scale + gap for width, gap in zip(widths, gaps, strict=True))
    tiles, top = [], 0.0
    for number, row in enumerate(rows):
        top += _CAPTION_INCHES
        left = (total - gaps[number] - widths[number] * scale) / 2
        for view, (across, down) in zip(row, sizes[number], strict=True):
            tiles.append(_Tile(view, left, top, across * scale, down * scale))
            left += across * scale + _GAP_INCHES
        top += heights[number] * scale + _GAP_INCHES
    return tiles, total, top - _GAP_INCHES


def _draw_tile(axes: Axes, scene: Scene, tile: _Tile, levels: list[View], thresholds: Thresholds) -> None:
    shape = (max(2, round(tile.height * DPI)), max(2, round(tile.width * DPI)))
    page = render(scene, tile.view, shape)
    axes.set_axis_off()
    axes.imshow(blend(page, thresholds), aspect="auto", interpolation="nearest")
    for lobe in LOBES:
        if lobe.label in page.lobes:
            axes.contour(page.lobes[lobe.label], levels=[_OUTLINE], colors=[lobe.colour], linewidths=0.9)
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)
    if tile.view.plane is AXIAL:
        _draw_scale_bar(axes, scene.size_mm(AXIAL)[0])
    else:
        _draw_levels(axes, scene, levels, tile.height)
    _draw_caption(axes, scene, tile, levels)


def blend(page: Page, thresholds: Thresholds) -> np.ndarray:
    """The CT in grey with the lesion over it in its density's colour."""
    grey = windowed(page.hu)[..., np.newaxis]
    share = LESION_OPACITY * np.clip((page.lesion[..., np.newaxis] - 0.25) * 2, 0.0, 1.0)
    return grey * (1 - share) + lesion_rgb(page.hu, thresholds) * share


def _draw_scale_bar(axes: Axes, width_mm: float) -> None:
    length = _SCALE_BAR_MM / width_mm
    (bar,) = axes.plot((0.97 - length, 0.97), (0.045, 0.045), color=STRONG, linewidth=1.6, transform=axes.transAxes)
    bar.set_path_effects(line_outline())
    label = axes.text(0.97 - length / 2, 0.075, f"{_SCALE_BAR_MM / 10:.0f} cm", transform=axes.transAxes)
    label.set(color=STRONG, fontsize=TEXT_SIZE - 1.5, ha="center", va="bottom", bbox=TEXT_BACK)


def _draw_levels(axes: Axes, scene: Scene, levels: list[View], height: float) -> None:
    """Mark the positions of the axial slices, if there is room to distinguish them."""
    inside = scene.box[0]
    # From the bottom of the tile, 0..1.
    places = [(view.index - inside.start + 0.5) / (inside.stop - inside.start) for view in levels]
    if any(abs(one - other) * height < _MARK_INCHES for one, other in pairwise(places)):
        return
    for number, place in enumerate(places, start=1):
        axes.plot((0, 0.965), (place, place), **_LEVEL_LINE, transform=axes.transAxes)
        mark = axes.text(0.982, place, str(number), transform=axes.transAxes)
        mark.set(color=STRONG, fontsize=TEXT_SIZE - 2, ha="center", va="center", bbox=TEXT_BACK)


def _draw_caption(axes: Axes, scene: Scene, tile: _Tile, levels: list[View]) -> None:
    """Draw the caption above the tile: the slice position between the side letters."""
    view = tile.view
    number = f"{levels.index(view) + 1}   " if view in levels else ""
    words = ((0.5, f"{number}{view.plane.name}  {scene.position(view)}", PLAIN, "center"),)
    sides = ((0.0, view.plane.letters[0], FAINT, "left"), (1.0, view.plane.letters[1], FAINT, "right"))
    above = 1 + 0.055 / tile.height
    for x, text, colour, align in (*words, *sides):
        caption = axes.text(x, above, text, transform=axes.transAxes)
        caption.set(color=colour, fontsize=TEXT_SIZE, ha=align, va="baseline")
