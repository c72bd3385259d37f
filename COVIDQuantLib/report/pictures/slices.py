"""The slices that show the disease best: one of each plane, with lobes and lesions, readable without colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.export.sheet.colours import WINDOW_LEVEL_HU, WINDOW_WIDTH_HU
from COVIDQuantLib.export.sheet.page import blend
from COVIDQuantLib.export.sheet.views import AXIAL, CORONAL, SAGITTAL, Page, Scene, View, render
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.report.pictures.image import DPI, MM_PER_INCH, Image, image_of, new_figure
from COVIDQuantLib.segmentation.result import Segmentation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLANES = (AXIAL, CORONAL, SAGITTAL)
_OUTLINE = 0.55
_SCALE_BAR_MM = 50.0
# A lobe's name needs so much of the picture.
_LEAST_SHARE = 0.01
_SMOOTH_PIXELS = 2.5
_LEAST_MM, _MOST_MM = 14.0, 58.0


def slice_images(ct: CTVolume, segmentation: Segmentation, thresholds: Thresholds, width_mm: float) -> list[Image]:
    """The most diseased axial, coronal and sagittal slice, at one height so that they fill a row.

    Args:
        ct: the CT, in any orientation.
        segmentation: lobes and lesions on its grid.
        thresholds: for the colours of density.
        width_mm: width of the row on the page.
    """
    scene = Scene(ct, segmentation)
    sizes = [scene.size_mm(plane) for plane in PLANES]
    across = sum(width / height for width, height in sizes)
    height_mm = float(np.clip(width_mm / across, _LEAST_MM, _MOST_MM))
    return [
        _slice_image(scene, scene.most_diseased(plane), thresholds, height_mm, width / height)
        for plane, (width, height) in zip(PLANES, sizes, strict=True)
    ]


def _slice_image(scene: Scene, view: View, thresholds: Thresholds, height_mm: float, aspect: float) -> Image:
    # A stack of few slices would be wider than the row.
    width_mm = height_mm * aspect
    figure = new_figure(width_mm, height_mm)
    shape = (max(2, round(height_mm / MM_PER_INCH * DPI)), max(2, round(width_mm / MM_PER_INCH * DPI)))
    page = render(scene, view, shape)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.imshow(blend(page, thresholds), aspect="auto", interpolation="nearest")
    _draw_outlines(axes, page, thresholds)
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)
    _draw_marks(axes, view, scene.size_mm(view.plane)[0])
    where = f"{view.plane.name}, {scene.position(view)}"
    return image_of(figure, _alt(page, view, scene.position(view)), where)


def _draw_outlines(axes: Axes, page: Page, thresholds: Thresholds) -> None:
    """Lobes in their colours with their abbreviations, a white line around the lesions, dots around consolidation."""
    from matplotlib.patheffects import withStroke

    for lobe in LOBES:
        share = page.lobes.get(lobe.label)
        if share is None or share.max() <= _OUTLINE:
            continue
        axes.contour(share, levels=[_OUTLINE], colors=[lobe.colour], linewidths=0.8)
        inside = share > _OUTLINE
        if inside.mean() >= _LEAST_SHARE:
            row, column = _deepest(inside)
            name = axes.text(column, row, lobe.short, color="white", fontsize=5.5, ha="center", va="center")
            name.set_path_effects([withStroke(linewidth=1.4, foreground="black")])
    if page.lesion.max() > 0.5:
        axes.contour(page.lesion, levels=[0.5], colors=["white"], linewidths=0.45)
        _draw_consolidation(axes, page, thresholds)


def _draw_consolidation(axes: Axes, page: Page, thresholds: Thresholds) -> None:
    """A dotted line around consolidation, which without colour looks much like ground glass."""
    dense = (page.lesion > 0.5) & (page.hu >= thresholds.consolidation_hu)
    smooth = ndimage.gaussian_filter(dense.astype(np.float32), _SMOOTH_PIXELS)
    if smooth.max() > 0.5:
        axes.contour(smooth, levels=[0.5], colors=["black"], linewidths=0.7, linestyles=[(0, (1, 1.2))])


def _deepest(inside: np.ndarray) -> tuple[int, int]:
    """The pixel farthest from the border of a shape."""
    row, column = np.unravel_index(
        int(np.argmax(ndimage.distance_transform_edt(np.pad(inside, 1)))), np.add(inside.shape, 2)
    )
    return int(row) - 1, int(column) - 1


def _draw_marks(axes: Axes, view: View, width_mm: float) -> None:
    """Sides of the patient left and right, and a scale bar."""
    from matplotlib.patheffects import withStroke

    halo: list[Any] = [withStroke(linewidth=1.6, foreground="black")]
    for x, letter, align in ((0.02, view.plane.letters[0], "left"), (0.98, view.plane.letters[1], "right")):
        text = axes.text(x, 0.97, letter, transform=axes.transAxes, color="white", fontsize=7, ha=align, va="top")
        text.set_path_effects(halo)
    length = _SCALE_BAR_MM / width_mm
    if length < 0.6:
        (bar,) = axes.plot((0.97 - length, 0.97), (0.03, 0.03), color="white", linewidth=1.4, transform=axes.transAxes)
        bar.set_path_effects([withStroke(linewidth=2.6, foreground="black")])
        words = axes.text(0.97 - length / 2, 0.045, f"{_SCALE_BAR_MM / 10:.0f} cm", transform=axes.transAxes)
        words.set(color="white", fontsize=5.5, ha="center", va="bottom", path_effects=halo)


def _alt(page: Page, view: View, position: str) -> str:
    lungs = sum(page.lobes.values(), np.zeros(page.hu.shape, np.float32))
    filled = float(lungs.sum())
    ill = 100.0 * float((page.lesion * np.clip(lungs, 0, 1)).sum()) / filled if filled else 0.0
    what = f"pneumonia fills {ill:.0f} % of the lung in this slice" if page.lesion.max() > 0.5 else "no pneumonia"
    return f"{view.plane.name} CT slice at {position} in the lung window, lobes outlined; {what}."


def window_text() -> str:
    """The window of the slices, for a caption."""
    return f"window {WINDOW_WIDTH_HU:.0f}, level {WINDOW_LEVEL_HU:.0f} HU".replace("-", "−")
