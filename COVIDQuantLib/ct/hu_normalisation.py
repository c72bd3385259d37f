"""Round, clip and mark padding slice by slice, so that a large CT needs no second copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from COVIDQuantLib.ct.padding import filler_mask
from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN, not_measured

# Filler is counted by its value up to this limit; anything beyond counts as one value.
_FARTHEST = 1 << 17


class HUBuffer:
    """An int16 volume that is filled slice by slice.

    Attributes:
        hu: int16 ``[k, j, i]``, clipped to −1024..3071, −1024 where nothing was put.
        clipped_below: voxels (padding apart) that lay below −1024.
        clipped_above: voxels (padding apart) that lay above 3071.
        lowest: lowest measured value; infinity if nothing was measured.
        highest: highest measured value; minus infinity if nothing was measured.
        filler: values that were taken as padding and how many voxels have each; NaN and infinity are left out.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.hu = np.full(shape, HU_MIN, np.int16)
        # One bit per voxel until all slices are in, because memory use peaks while files are read.
        self._padded: dict[int, np.ndarray] = {}
        self.clipped_below = 0
        self.clipped_above = 0
        self.lowest = np.inf
        self.highest = -np.inf
        self.filler: Counter[float] = Counter()

    def put(
        self,
        k: int,
        values: np.ndarray,
        corner: tuple[int, int] = (0, 0),
        named: Sequence[tuple[float, float]] = (),
    ) -> None:
        """Set a slice.

        Args:
            k: its number.
            values: Hounsfield units ``[j, i]``, any number type; NaN and infinity count as padding.
            corner: where its first voxel goes ``(j, i)``; the uncovered area becomes padding.
            named: ranges that the header calls padding, HU, see :func:`filler_mask`.
        """
        place = (k, slice(corner[0], corner[0] + values.shape[0]), slice(corner[1], corner[1] + values.shape[1]))
        lost = not_measured(values)
        if not np.issubdtype(values.dtype, np.integer):
            values = np.rint(np.where(np.isfinite(values), values, HU_MIN))
        padding = filler_mask(values, named)
        found, counts = np.unique(np.clip(values[padding], -_FARTHEST, _FARTHEST), return_counts=True)
        self.filler.update(dict(zip(found.astype(float).tolist(), counts.tolist(), strict=True)))
        padding |= lost
        self._note(values[~padding])
        self.hu[place] = np.where(padding, HU_MIN, np.clip(values, HU_MIN, HU_MAX))
        if padding.any() or padding.shape != self.hu.shape[1:]:
            whole = np.ones(self.hu.shape[1:], bool)
            whole[place[1:]] = padding
            self._padded[k] = np.packbits(whole)

    @cached_property
    def padding(self) -> np.ndarray | None:
        """Bool ``[k, j, i]``, true where the scanner measured nothing; None if nowhere; valid after the last slice."""
        if not self._padded:
            return None
        padding = np.zeros(self.hu.shape, bool)
        for k, bits in self._padded.items():
            padding[k] = np.unpackbits(bits, count=padding[k].size).reshape(padding[k].shape)
        return padding

    def _note(self, measured: np.ndarray) -> None:
        if not measured.size:
            return
        self.clipped_below += int(np.count_nonzero(measured < HU_MIN))
        self.clipped_above += int(np.count_nonzero(measured > HU_MAX))
        self.lowest = min(self.lowest, float(measured.min()))
        self.highest = max(self.highest, float(measured.max()))
