"""Rounding, clipping and padding, slice by slice, so that a large CT needs no second copy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN, PADDING_BELOW_HU

# A value that the header calls padding may also be measured air (−1024 often is); above this it is surely no filler.
_PADDING_MAY_BE_HU = -900.0
_EDGE_CONNECTED = np.ones((3, 3), bool)


class HUBuffer:
    """An int16 volume that is filled slice by slice.

    Attributes:
        hu: int16 ``[k, j, i]``, clipped to −1024..3071, −1024 where nothing was put.
        padding: bool ``[k, j, i]``, true where the scanner measured nothing; None if nowhere.
        clipped_below: voxels (padding apart) that lay below −1024.
        clipped_above: voxels that lay above 3071.
        lowest: lowest value met, padding included.
        highest: highest value met.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.hu = np.full(shape, HU_MIN, np.int16)
        self.padding: np.ndarray | None = None
        self.clipped_below = 0
        self.clipped_above = 0
        self.lowest = np.inf
        self.highest = -np.inf

    def put(
        self,
        k: int,
        values: np.ndarray,
        corner: tuple[int, int] = (0, 0),
        padding_hu: tuple[float, float] | None = None,
    ) -> None:
        """Set a slice.

        Args:
            k: its number.
            values: Hounsfield units ``[j, i]``, any number type; NaN and infinity count as padding.
            corner: where its first voxel goes ``(j, i)``; what it leaves free becomes padding.
            padding_hu: range that the header calls padding, beside everything below −1500. Above −1500 it counts
                only where it touches the picture's edge: the same value deep in the lung is air.
        """
        place = (k, slice(corner[0], corner[0] + values.shape[0]), slice(corner[1], corner[1] + values.shape[1]))
        padding = values < PADDING_BELOW_HU
        if not np.issubdtype(values.dtype, np.integer):
            padding |= ~np.isfinite(values)
            values = np.rint(np.where(np.isfinite(values), values, HU_MIN))
        if padding_hu is not None:
            padding |= self._named_padding(values, padding_hu)
        self._note(values, padding)
        self.hu[place] = np.where(padding, HU_MIN, np.clip(values, HU_MIN, HU_MAX))
        if padding.any() or padding.shape != self.hu.shape[1:]:
            if self.padding is None:
                self.padding = np.zeros(self.hu.shape, bool)
            self.padding[k] = True
            self.padding[place] = padding

    @staticmethod
    def _named_padding(values: np.ndarray, padding_hu: tuple[float, float]) -> np.ndarray:
        low, high = padding_hu
        named = (values >= low - 0.5) & (values <= min(high + 0.5, _PADDING_MAY_BE_HU))
        if not named.any():
            return named
        regions, _ = ndimage.label(named, _EDGE_CONNECTED)
        edge = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
        return np.isin(regions, edge[edge > 0])

    def _note(self, values: np.ndarray, padding: np.ndarray) -> None:
        self.clipped_below += int(np.count_nonzero((values < HU_MIN) & ~padding))
        self.clipped_above += int(np.count_nonzero(values > HU_MAX))
        self.lowest = min(self.lowest, float(values.min()))
        self.highest = max(self.highest, float(values.max()))
