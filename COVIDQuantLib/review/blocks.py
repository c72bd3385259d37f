"""The lungs in blocks of about 2 mm, on which components are looked at: quick, calm, and the same at any resolution."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from COVIDQuantLib.review.components import Box
from COVIDQuantLib.voxels.geometry import Triple

# Fine enough for a doubled edge 4 mm thick, coarse enough to average the noise.
BLOCK_MM = 1.9
# Room around the lungs along k, j, i: for what lies under the diaphragm, and for a neighbour on every side.
MARGINS_MM = (34.0, 6.0, 6.0)


@dataclass(frozen=True)
class Blocks:
    """A grid of blocks of whole voxels over a part of the CT.

    Attributes:
        first: voxel ``k, j, i`` where the first block begins.
        factors: voxels per block along ``k, j, i``.
        shape: number of blocks along ``k, j, i``; all lie within the CT.
        spacing: size of a block, mm.
    """

    first: tuple[int, int, int]
    factors: tuple[int, int, int]
    shape: tuple[int, int, int]
    spacing: Triple

    @classmethod
    def around(cls, box: Box, shape: tuple[int, ...], spacing_kji: Triple) -> Blocks:
        """Blocks over a box of a CT of some shape, with a margin."""
        factors = [max(1, round(BLOCK_MM / mm)) for mm in spacing_kji]
        margins = [ceil(margin / mm) for margin, mm in zip(MARGINS_MM, spacing_kji, strict=True)]
        first = [max(0, span.start - margin) for span, margin in zip(box, margins, strict=True)]
        stop = [min(size, span.stop + margin) for span, margin, size in zip(box, margins, shape, strict=True)]
        k, j, i = ((b - a) // f for a, b, f in zip(first, stop, factors, strict=True))
        sizes = [mm * f for mm, f in zip(spacing_kji, factors, strict=True)]
        return cls(
            (first[0], first[1], first[2]),
            (factors[0], factors[1], factors[2]),
            (k, j, i),
            (sizes[0], sizes[1], sizes[2]),
        )

    @property
    def all(self) -> Box:
        """Slices over all blocks."""
        return slice(0, self.shape[0]), slice(0, self.shape[1]), slice(0, self.shape[2])

    def over(self, box: Box, margin: int) -> Box:
        """The blocks that a box of voxels touches, widened by a number of blocks, as far as there are any."""
        spans = []
        for span, first, factor, size in zip(box, self.first, self.factors, self.shape, strict=True):
            start = (span.start - first) // factor - margin
            stop = -((first - span.stop) // factor) + margin
            start = min(max(start, 0), size)
            spans.append(slice(start, max(start, min(stop, size))))
        return spans[0], spans[1], spans[2]

    def voxels(self, blocks: Box) -> Box:
        """The voxels of a box of blocks."""
        k, j, i = (
            slice(first + span.start * factor, first + span.stop * factor)
            for span, first, factor in zip(blocks, self.first, self.factors, strict=True)
        )
        return k, j, i

    def sums(self, voxels: np.ndarray) -> np.ndarray:
        """Sums (float32) over the blocks of an array that holds a whole number of them."""
        k, j, i = self.factors
        shape = tuple(size // factor for size, factor in zip(voxels.shape, self.factors, strict=True))
        result = np.empty(shape, np.float32)
        for number in range(shape[0]):
            plane = voxels[number * k : (number + 1) * k].sum(axis=0, dtype=np.int32)
            result[number] = plane.reshape(shape[1], j, shape[2], i).sum(axis=(1, 3))
        return result

    def means(self, voxels: np.ndarray) -> np.ndarray:
        """Means (float32) over the blocks of an array that holds a whole number of them."""
        return self.sums(voxels) / np.float32(np.prod(self.factors))
