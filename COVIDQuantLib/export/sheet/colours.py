"""Colours of the sheet: lung window, and lesions from cold to warm with density (papers.md row P6)."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.quantification.thresholds import Thresholds

WINDOW_LEVEL_HU = -600.0
WINDOW_WIDTH_HU = 1500.0
LESION_OPACITY = 0.70
# Ground glass runs from deep to pale blue, consolidation from amber to red; the step is the threshold.
_GGO = ((0.00, "#2440b3"), (0.45, "#2f7be0"), (1.00, "#7cc7ef"))
_CONSOLIDATION = ((0.00, "#fbc04d"), (0.45, "#f58a18"), (1.00, "#dd3f05"))
# As dense as muscle: consolidation is at its warmest from here on.
_WARMEST_HU = 50


def windowed(hu: np.ndarray) -> np.ndarray:
    """Grey 0..1 of Hounsfield units in the lung window."""
    return np.clip((hu - WINDOW_LEVEL_HU) / WINDOW_WIDTH_HU + 0.5, 0.0, 1.0)


def colour_range(thresholds: Thresholds) -> tuple[float, float]:
    """HU of the coldest and of the warmest colour."""
    return float(thresholds.ggo_hu), float(max(_WARMEST_HU, thresholds.consolidation_hu + 100))


def lesion_rgb(hu: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Colours of lesion pixels by density.

    Args:
        hu: Hounsfield units, any shape; values below the GGO threshold take the coldest colour.
        thresholds: where ground glass and consolidation begin.

    Returns:
        RGB 0..1, shape of ``hu`` and 3.
    """
    coldest, warmest = colour_range(thresholds)
    step = float(thresholds.consolidation_hu)
    points = [(coldest + share * (step - coldest), colour) for share, colour in _GGO]
    points += [(step + share * (warmest - step), colour) for share, colour in _CONSOLIDATION]
    nodes = np.array([position for position, _ in points])
    # Interpolation needs increasing nodes, so the step is one HU wide.
    nodes[len(_GGO) - 1] -= 1.0
    rgb = np.array([_hex_rgb(colour) for _, colour in points])
    return np.stack([np.interp(hu, nodes, rgb[:, channel]) for channel in range(3)], axis=-1)


def _hex_rgb(text: str) -> tuple[float, ...]:
    return tuple(int(text[start : start + 2], 16) / 255 for start in (1, 3, 5))
