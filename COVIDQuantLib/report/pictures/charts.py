"""Charts of one exam: the lobes, and the lungs' CT numbers against normal lungs.

Hatches stand beside the colours, so that they can be read in print without colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG
from COVIDQuantLib.ct.volume import HU_MIN
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.reference import BIN_WIDTH_HU, distribution, lung_counts, shipped_reference
from COVIDQuantLib.quantification.table import MetricsTable
from COVIDQuantLib.report.pictures.image import (
    BELOW_COLOUR,
    CONSOLIDATION_COLOUR,
    FAINT,
    GGO_COLOUR,
    GRID,
    TEXT,
    Image,
    image_of,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDS = 6.2
# Per part of a lobe's lesion: the volume's column, name, colour, hatch.
PARTS = (
    ("below_ggo_volume_ml", "below GGO", BELOW_COLOUR, "...."),
    ("ggo_volume_ml", "ground glass", GGO_COLOUR, ""),
    ("consolidation_volume_ml", "consolidation", CONSOLIDATION_COLOUR, "//////"),
)
_FIRST_HU, _LAST_HU = -1024, 200


def plain(axes: Axes) -> None:
    """The look of the report's charts."""
    axes.tick_params(labelsize=WORDS, colors=TEXT, length=2, width=0.5, pad=1.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=FAINT, linewidth=0.5)


def lobe_chart(metrics: MetricsTable, width_mm: float, height_mm: float) -> Image:
    """Extent of each lobe in percent of its volume, split into ground glass and consolidation."""
    figure = new_figure(width_mm, height_mm)
    axes = figure.add_axes((0.115, 0.17, 0.845, 0.70))
    plain(axes)
    extents = [metrics.value(lobe.name, "extent_percent") for lobe in LOBES]
    # Room for the words at the end of the longest bar.
    right = max(10.0, 1.42 * max((extent or 0.0 for extent in extents), default=0.0))
    for place, (lobe, extent) in enumerate(zip(LOBES, extents, strict=True)):
        _draw_bar(axes, place, _shares(metrics, lobe.name))
        score = metrics.value(lobe.name, "ct_score")
        words = "no such lobe" if extent is None else f"{extent:.1f} %"
        if score is not None:
            words += f"  ({score:.0f})"
        axes.text((extent or 0.0) + right / 60, place, words, fontsize=WORDS, color=TEXT, va="center")
    axes.set_yticks(range(len(LOBES)), [lobe.short for lobe in LOBES])
    axes.set_ylim(len(LOBES) - 0.4, -0.6)
    axes.set_xlim(0, right)
    axes.set_xlabel("extent, % of the lobe (CT score 0–5)", fontsize=WORDS, color=TEXT, labelpad=1)
    _legend(figure, [(colour, hatch, name) for _, name, colour, hatch in PARTS])
    return image_of(figure, _lobes_in_words(extents, metrics), "Lobes")


def _shares(metrics: MetricsTable, lobe: str) -> list[float]:
    volume = metrics.value(lobe, "volume_ml") or 0.0
    return [100.0 * (metrics.value(lobe, name) or 0.0) / volume if volume else 0.0 for name, *_ in PARTS]


def _draw_bar(axes: Axes, place: int, shares: list[float]) -> None:
    left = 0.0
    for share, (_, _, colour, hatch) in zip(shares, PARTS, strict=True):
        axes.barh(place, share, left=left, height=0.62, color=colour, edgecolor=TEXT, linewidth=0.4, hatch=hatch)
        left += share


def _legend(figure: object, entries: list[tuple[str, str, str]]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, edgecolor=TEXT, linewidth=0.4, hatch=hatch, label=name)
        for colour, hatch, name in entries
    ]
    options = {"loc": "upper center", "ncols": len(handles), "frameon": False, "fontsize": WORDS - 0.4}
    figure.legend(handles=handles, handlelength=1.5, columnspacing=0.8, handletextpad=0.4, borderpad=0.1, **options)  # type: ignore[attr-defined]


def _lobes_in_words(extents: list[float | None], metrics: MetricsTable) -> str:
    told = []
    for lobe, extent in zip(LOBES, extents, strict=True):
        score = metrics.value(lobe.name, "ct_score")
        told.append(f"{lobe.name} absent" if extent is None else f"{lobe.name} {extent:.1f} %, score {score:.0f}")
    return f"Bar chart of the extent of pneumonia in each lobe: {'; '.join(told)}."


def histogram_chart(histogram: JointHistogram, metrics: MetricsTable, width_mm: float, height_mm: float) -> Image:
    """Share of the lungs' voxels by CT number, of this exam and of normal lungs."""
    figure = new_figure(width_mm, height_mm)
    axes = figure.add_axes((0.175, 0.17, 0.78, 0.70))
    plain(axes)
    middles = HU_MIN + BIN_WIDTH_HU * (np.arange(len(shipped_reference().frequency)) + 0.5)
    shown = (middles >= _FIRST_HU) & (middles <= _LAST_HU)
    normal = 100.0 * shipped_reference().frequency
    counts = lung_counts(histogram)
    axes.fill_between(
        middles[shown],
        normal[shown],
        step="mid",
        facecolor="#eeeeee",
        edgecolor="#8a8a8a",
        hatch="....",
        linewidth=0.4,
        label="normal lungs",
    )
    top = float(normal.max())
    if counts.any():
        own = 100.0 * distribution(counts)
        ill = 100.0 * histogram.region(WHOLE_LUNG.labels)[1].reshape(-1, BIN_WIDTH_HU).sum(axis=1) / counts.sum()
        axes.fill_between(middles[shown], ill[shown], step="mid", color=GGO_COLOUR, linewidth=0, label="pneumonia")
        axes.step(middles[shown], own[shown], where="mid", color=TEXT, linewidth=1.1, label="this exam")
        top = max(top, float(own[shown].max()))
    limits = metrics.thresholds
    for hu in (limits.ggo_hu, limits.consolidation_hu):
        axes.axvline(hu, color=FAINT, linewidth=0.6, linestyle=(0, (3, 2)))
        axes.text(hu + 8, 1.06 * top, f"{hu}".replace("-", "−"), fontsize=WORDS - 0.8, color=FAINT, va="top")
    axes.set_xlim(_FIRST_HU, _LAST_HU)
    axes.set_ylim(0, 1.08 * top)
    axes.set_xlabel("HU", fontsize=WORDS, color=TEXT, labelpad=1)
    axes.set_ylabel("% of lungs per 16 HU", fontsize=WORDS, color=TEXT, labelpad=2)
    axes.grid(visible=True, axis="y", linewidth=0.3, color=GRID)
    axes.set_axisbelow(True)
    options = {"loc": "upper center", "ncols": 3, "frameon": False, "fontsize": WORDS - 0.4}
    figure.legend(handlelength=1.5, columnspacing=0.8, handletextpad=0.4, borderpad=0.1, **options)
    return image_of(figure, _histogram_in_words(metrics), "CT numbers against normal lungs")


def _histogram_in_words(metrics: MetricsTable) -> str:
    mean = metrics.value(WHOLE_LUNG.name, "mean_lung_hu")
    if mean is None or metrics.hellinger_distance is None:
        return "Histogram of CT numbers of normal lungs; this exam has no lungs."
    return (
        f"Histogram of the lungs' CT numbers of this exam (mean {mean:.0f} HU) before that of normal lungs; "
        f"Hellinger distance {metrics.hellinger_distance:.2f}, overlap {metrics.histogram_iou:.2f}."
    ).replace("-", "−")
