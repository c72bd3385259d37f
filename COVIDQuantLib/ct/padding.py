"""Detect filler, the values written where the scanner measured nothing, in one slice at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import HU_MAX, not_measured

# A value that the header calls padding may also be measured air (−1024 often is); above this it is certainly not
# filler, unless it lies above all tissue.
_PADDING_MAY_BE_HU = -900.0
# Air that a scanner clips lies above this; a single value below it along the edge is filler even if the header does
# not name it.
_AIR_FROM_HU = -1100.0
# Filler that the header does not name covers at least this share of the image's edge.
_EDGE_SHARE = 0.02
# Neighbouring voxels of measured tissue are rarely equal; where they are, the image was computed and may be uniform
# anywhere.
_EQUAL_NEIGHBOURS = 0.5
_CONNECTED = np.ones((3, 3), bool)


def filler_mask(values: np.ndarray, named: Sequence[tuple[float, float]] = ()) -> np.ndarray:
    """Where a slice holds filler.

    What is surely not measured (:func:`~COVIDQuantLib.ct.volume.not_measured`) is filler wherever it lies. Other values
    count only where they touch the picture's edge
    (the outside of a round field of view, a whole blank slice): those that the header names, if no tissue has them;
    and without a name one single value far above or below any tissue, or one that fills the corners of a picture
    whose measured part is noisy.

    Args:
        values: whole Hounsfield units ``[j, i]``, finite.
        named: ranges that the header calls padding, HU.

    Returns:
        bool ``[j, i]``.
    """
    filler = not_measured(values)
    for low, high in _believed(named):
        filler |= _at_edge((values >= low - 0.5) & (values <= high + 0.5))
    for value in _common_at_edge(values):
        region = _at_edge(values == value)
        if value > HU_MAX or value < _AIR_FROM_HU or _fills_corners(region, values):
            filler |= region
    return filler


def _believed(named: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The parts of named ranges outside the range of tissue."""
    for low, high in named:
        if low <= _PADDING_MAY_BE_HU:
            yield low, min(high, _PADDING_MAY_BE_HU - 0.5)
        if high > HU_MAX:
            yield max(low, HU_MAX + 1.0), high


def _common_at_edge(values: np.ndarray) -> list[float]:
    """Single values that cover a large part of the image's edge, except the usual air."""
    edge = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
    found, counts = np.unique(edge, return_counts=True)
    enough = counts >= max(8.0, _EDGE_SHARE * edge.size)
    air = (found >= _AIR_FROM_HU) & (found <= _PADDING_MAY_BE_HU)
    return [float(value) for value in found[enough & ~air & ~not_measured(found)]]


def _at_edge(region: np.ndarray) -> np.ndarray:
    if not region.any():
        return region
    parts, _ = ndimage.label(region, _CONNECTED)
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    kept = np.zeros(int(parts.max()) + 1, bool)
    kept[edge] = True
    kept[0] = False
    return kept[parts]


def _fills_corners(region: np.ndarray, values: np.ndarray) -> bool:
    corners = region[[0, 0, -1, -1], [0, -1, 0, -1]]
    if np.count_nonzero(corners) < 3:
        return False
    tissue = ~region & (values > _PADDING_MAY_BE_HU) & (values <= HU_MAX)
    both = tissue[:, 1:] & tissue[:, :-1]
    pairs = np.count_nonzero(both)
    equal = np.count_nonzero((values[:, 1:] == values[:, :-1]) & both)
    return bool(pairs >= 100 and equal < _EQUAL_NEIGHBOURS * pairs)
