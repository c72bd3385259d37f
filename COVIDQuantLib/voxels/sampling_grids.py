"""The grids that the checks work on: every few voxels for counting, and blocks of those for shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Factors = tuple[int, int, int]
Spacing = tuple[float, float, float]

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
    spacing: Spacing
    steps: Factors
    factors: Factors

    @classmethod
    def of(cls, shape: tuple[int, int, int], spacing: Spacing) -> Grids:
        """The grids of a CT with these voxels."""
        steps = _triple(max(1, round(SAMPLE_MM / mm)) for mm in spacing)
        factors = _triple(max(1, round(BLOCK_MM / (mm * n))) for mm, n in zip(spacing, steps, strict=True))
        return cls(shape, spacing, steps, factors)

    @property
    def sample_spacing(self) -> Spacing:
        """Millimetres from sample to sample."""
        k, j, i = (mm * n for mm, n in zip(self.spacing, self.steps, strict=True))
        return k, j, i

    @property
    def block_spacing(self) -> Spacing:
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


def block_share(mask: np.ndarray, factors: Factors) -> np.ndarray:
    """Which part of each block of samples a mask fills, float32 0..1; what lies beyond the array's end is empty.

    Args:
        mask: bool ``[k, j, i]`` on the samples.
        factors: samples per block.
    """
    return _block_sum(mask.view(np.uint8), factors, np.uint8).astype(np.float32) / np.float32(np.prod(factors))


def block_mean(values: np.ndarray, factors: Factors) -> np.ndarray:
    """Mean of each block of samples, float32; a block at the far end counts what it has."""
    sums = _block_sum(values, factors, np.int32)
    held = [np.minimum(f, n - np.arange(0, n, f)) for n, f in zip(values.shape, factors, strict=True)]
    return sums / (held[0][:, None, None] * held[1][:, None] * held[2]).astype(np.float32)


def _block_sum(values: np.ndarray, factors: Factors, dtype: type) -> np.ndarray:
    sums = np.zeros(tuple(-(-n // f) for n, f in zip(values.shape, factors, strict=True)), dtype)
    for k in range(factors[0]):
        for j in range(factors[1]):
            for i in range(factors[2]):
                part = values[k :: factors[0], j :: factors[1], i :: factors[2]]
                sums[: part.shape[0], : part.shape[1], : part.shape[2]] += part
    return sums
