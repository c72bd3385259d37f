"""Blocks of whole voxels: sums, means and shares over them, where they lie, and the way back to the voxels.

The one coarse grid of the library: lungs, lesions, checks and review differ only in how large their blocks are and in
what they keep of them. All arrays are ``[k, j, i]`` and spacings ``(k, j, i)`` in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.geometry import Triple

Factors = tuple[int, int, int]


def block_factors(spacing: Triple, block_mm: float, *, at_most: bool = False) -> Factors:
    """Whole numbers of voxels per axis that make blocks of about a size, at least one voxel.

    Args:
        spacing: of the voxels.
        block_mm: wanted edge of a block.
        at_most: no edge may be longer than that, unless a single voxel is.
    """
    whole = floor if at_most else round
    k, j, i = (max(1, whole(block_mm / mm)) for mm in spacing)
    return k, j, i


def block_middles(
    shape: tuple[int, ...], factors: Factors, spacing: Triple
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions along ``k, j, i`` of the middles of blocks, millimetres from the first voxel.

    Args:
        shape: blocks per axis.
        factors: voxels in a block per axis.
        spacing: of the voxels.
    """
    k, j, i = ((np.arange(n) * f + (f - 1) / 2) * mm for n, f, mm in zip(shape, factors, spacing, strict=True))
    return k, j, i


def block_sums(values: np.ndarray, factors: Factors, dtype: type = np.int32) -> np.ndarray:
    """Sums over blocks; blocks cut by the far edge hold what there is.

    Args:
        values: numbers ``[k, j, i]``.
        factors: voxels per block.
        dtype: of the sums, wide enough for a whole block.
    """
    up, rows, columns = factors
    shape = [-(-size // factor) for size, factor in zip(values.shape, factors, strict=True)]
    sums: np.ndarray = np.zeros(shape, dtype)
    # A slab of blocks at a time, added in strides: several times as fast as reduceat or a sum over two axes.
    for n in range(shape[0]):
        slab = values[n * up : (n + 1) * up].sum(axis=0, dtype=dtype)
        in_rows = np.zeros((shape[1], slab.shape[1]), dtype)
        for j in range(min(rows, slab.shape[0])):
            part = slab[j::rows]
            in_rows[: len(part)] += part
        for i in range(min(columns, slab.shape[1])):
            part = in_rows[:, i::columns]
            sums[n, :, : part.shape[1]] += part
    return sums


def block_means(values: np.ndarray, factors: Factors) -> np.ndarray:
    """Mean (float64) of each block of whole numbers or bools; a block cut by the far edge counts what it has."""
    k, j, i = (np.minimum(f, n - np.arange(0, n, f)) for n, f in zip(values.shape, factors, strict=True))
    return block_sums(values, factors) / (k[:, None, None] * j[:, None] * i)


def block_shares(mask: np.ndarray, factors: Factors) -> np.ndarray:
    """Share (float32, 0..1) of each block that a bool mask fills; what lies beyond the array's end is empty."""
    return block_sums(mask, factors).astype(np.float32) / np.float32(np.prod(factors))


def shrink_mean(volume: np.ndarray, factors: Factors) -> np.ndarray:
    """Mean of each block rounded to int16, see :func:`block_means`."""
    return np.rint(block_means(volume, factors)).astype(np.int16)


def enlarge(coarse: np.ndarray, factors: Factors, shape: tuple[int, ...]) -> np.ndarray:
    """Each coarse value repeated over its block, cut to ``shape`` (the way back from :func:`shrink_mean`)."""
    fine = coarse
    for axis, factor in enumerate(factors):
        if factor > 1:
            fine = np.repeat(fine, factor, axis=axis)
    return fine[: shape[0], : shape[1], : shape[2]]


@dataclass(frozen=True)
class BlockGrid:
    """Blocks of whole voxels over a part of a CT.

    Attributes:
        first: voxel ``k, j, i`` where the first block begins.
        factors: voxels per block along ``k, j, i``.
        shape: number of blocks along ``k, j, i``; all lie within the CT.
        spacing: size of a block, mm.
    """

    first: tuple[int, int, int]
    factors: Factors
    shape: tuple[int, int, int]
    spacing: Triple

    @classmethod
    def around(
        cls, box: Slices, shape: tuple[int, ...], spacing_kji: Triple, block_mm: float, margins_mm: Triple
    ) -> BlockGrid:
        """Whole blocks over a box of a CT.

        Args:
            box: voxels to cover.
            shape: of the CT.
            spacing_kji: of the CT, mm.
            block_mm: about the edge of a block.
            margins_mm: room on either side of the box along ``k, j, i``, as far as the CT goes.
        """
        factors = block_factors(spacing_kji, block_mm)
        margins = [ceil(margin / mm) for margin, mm in zip(margins_mm, spacing_kji, strict=True)]
        first = [max(0, span.start - margin) for span, margin in zip(box, margins, strict=True)]
        stop = [min(size, span.stop + margin) for span, margin, size in zip(box, margins, shape, strict=True)]
        k, j, i = ((b - a) // f for a, b, f in zip(first, stop, factors, strict=True))
        size_k, size_j, size_i = (mm * f for mm, f in zip(spacing_kji, factors, strict=True))
        return cls((first[0], first[1], first[2]), factors, (k, j, i), (size_k, size_j, size_i))

    @property
    def all(self) -> Slices:
        """Slices over all blocks."""
        return slice(0, self.shape[0]), slice(0, self.shape[1]), slice(0, self.shape[2])

    def over(self, box: Slices, margin: int) -> Slices:
        """The blocks that a box of voxels touches, widened by a number of blocks, as far as there are any."""
        spans = []
        for span, first, factor, size in zip(box, self.first, self.factors, self.shape, strict=True):
            start = (span.start - first) // factor - margin
            stop = -((first - span.stop) // factor) + margin
            start = min(max(start, 0), size)
            spans.append(slice(start, max(start, min(stop, size))))
        return spans[0], spans[1], spans[2]

    def voxels(self, blocks: Slices) -> Slices:
        """The voxels of a box of blocks."""
        k, j, i = (
            slice(first + span.start * factor, first + span.stop * factor)
            for span, first, factor in zip(blocks, self.first, self.factors, strict=True)
        )
        return k, j, i

    def sums(self, voxels: np.ndarray) -> np.ndarray:
        """Sums (float32) over the blocks of an array of whole numbers that holds a whole number of them."""
        return block_sums(voxels, self.factors).astype(np.float32)

    def means(self, voxels: np.ndarray) -> np.ndarray:
        """Means (float32) over the blocks of an array that holds a whole number of them."""
        return self.sums(voxels) / np.float32(np.prod(self.factors))
