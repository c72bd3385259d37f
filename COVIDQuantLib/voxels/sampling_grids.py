"""The grids that the checks work on: every few voxels for counting, and blocks of those for shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.voxels.block_grid import Factors
from COVIDQuantLib.voxels.geometry import Triple

# Samples this far apart see an edge that is off by less than a millimetre; blocks are as fine as a thin lobe needs.
SAMPLE_MM = 1.3
BLOCK_MM = 2.8


@dataclass(frozen=True)
class Grids:
    """Samples of a CT's voxels, and blocks of samples.

    Attributes:
        shape: voxels of the CT along ``k, j, i``, canonical.
        spacing: of the CT, mm along ``k, j, i``.
        steps: voxels from one sample to the next.
        factors: samples per block.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    steps: Factors
    factors: Factors

    @classmethod
    def of(cls, shape: tuple[int, int, int], spacing: Triple) -> Grids:
        """The grids of a CT with these voxels."""
        steps = _triple(max(1, round(SAMPLE_MM / mm)) for mm in spacing)
        factors = _triple(max(1, round(BLOCK_MM / (mm * n))) for mm, n in zip(spacing, steps, strict=True))
        return cls(shape, spacing, steps, factors)

    @property
    def sample_spacing(self) -> Triple:
        """Millimetres from sample to sample."""
        k, j, i = (mm * n for mm, n in zip(self.spacing, self.steps, strict=True))
        return k, j, i

    @property
    def block_spacing(self) -> Triple:
        """Millimetres from block to block."""
        k, j, i = (mm * n for mm, n in zip(self.sample_spacing, self.factors, strict=True))
        return k, j, i

    @property
    def sample_ml(self) -> float:
        """Volume that a sample stands for, millilitres."""
        return float(np.prod(self.sample_spacing)) / 1000.0

    def samples(self, array: np.ndarray) -> np.ndarray:
        """The samples of an array on the CT's voxels, contiguous."""
        k, j, i = self.steps
        return np.ascontiguousarray(array[k // 2 :: k, j // 2 :: j, i // 2 :: i])

    def middles(self, axis: int, count: int) -> np.ndarray:
        """The CT's voxels (not whole) in the middle of the first ``count`` blocks along an axis."""
        step, factor = self.steps[axis], self.factors[axis]
        return step // 2 + step * (np.arange(count) * factor + (factor - 1) / 2)

    def at_blocks(self, coarse: np.ndarray, factors: Factors) -> np.ndarray:
        """Nearest values of an array on blocks of ``factors`` voxels of the CT, brought to our blocks."""
        index = []
        for axis in range(3):
            middles = self.middles(axis, self.block_count(axis)).astype(int)
            index.append(np.minimum(middles // factors[axis], coarse.shape[axis] - 1))
        return coarse[np.ix_(*index)]

    def block_count(self, axis: int) -> int:
        """Number of blocks along an axis."""
        first, step = self.steps[axis] // 2, self.steps[axis]
        return -(-len(range(first, self.shape[axis], step)) // self.factors[axis])


def _triple(values: Iterable[int]) -> Factors:
    k, j, i = values
    return k, j, i
