"""Resample between a CT's voxels and the evenly spaced lattices that networks use.

Positions are millimetres along the canonical axes from the centre of the CT's first voxel. Resampling is separable:
one small matrix per axis, a tent filter as wide as the coarser of both steps, so that thin structures fade instead of
being hit or missed when the lattice is coarser than the CT. CPU and GPU use the same matrices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.geometry import Triple


@dataclass(frozen=True)
class Lattice:
    """A lattice along the CT's canonical axes.

    Attributes:
        start: position of its first point along ``k, j, i``, millimetres from the CT's first voxel.
        step: distance of its points along ``k, j, i``, millimetres.
        shape: points along ``k, j, i``.
    """

    start: Triple
    step: Triple
    shape: tuple[int, int, int]

    @classmethod
    def over(cls, shape: tuple[int, ...], spacing: Triple, step: Triple, box: Slices | None = None) -> Lattice:
        """The lattice that covers a box of voxels (the whole CT by default), centred on it.

        Args:
            shape: of the CT, ``[k, j, i]``.
            spacing: of the CT along ``k, j, i``, millimetres.
            step: wanted distance of points, millimetres.
            box: slices of voxels to cover.
        """
        axes = []
        for axis in range(3):
            first, last = (0, shape[axis]) if box is None else (box[axis].start, box[axis].stop)
            extent = (last - first) * spacing[axis]
            count = max(1, math.ceil(extent / step[axis] - 1e-6))
            middle = (first + last - 1) / 2 * spacing[axis]
            axes.append((middle - (count - 1) / 2 * step[axis], count))
        (k, nk), (j, nj), (i, ni) = axes
        return cls((k, j, i), step, (nk, nj, ni))

    def positions(self, axis: int) -> np.ndarray:
        """Positions of the points along one axis, millimetres."""
        return self.start[axis] + self.step[axis] * np.arange(self.shape[axis])

    def box_in(self, shape: tuple[int, ...], spacing: Triple) -> Slices:
        """The voxels of the CT that the lattice covers."""
        edges = []
        for axis in range(3):
            half = self.step[axis] / 2
            low = math.floor((self.start[axis] - half) / spacing[axis] + 0.5)
            high = math.ceil((self.positions(axis)[-1] + half) / spacing[axis] - 0.5) + 1
            edges.append(slice(max(0, low), min(shape[axis], high)))
        return edges[0], edges[1], edges[2]


def tent_matrix(places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Matrix ``(len(wanted), len(places))`` that resamples a line by a tent filter.

    Args:
        places: positions of the values, evenly spaced and increasing.
        wanted: target positions, evenly spaced and increasing; beyond the ends the last value is repeated.

    Returns:
        float32 weights, each row sums to one.
    """
    if len(places) == 1:
        return np.ones((len(wanted), 1), np.float32)
    step = places[1] - places[0]
    coarse = wanted[1] - wanted[0] if len(wanted) > 1 else step
    inside = np.clip(wanted, places[0], places[-1])
    weights = np.maximum(0.0, 1.0 - np.abs(inside[:, None] - places[None, :]) / max(step, coarse))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def sample(hu: np.ndarray, spacing: Triple, lattice: Lattice, device: str | torch.device = "cpu") -> torch.Tensor:
    """Sample a CT on a lattice.

    Args:
        hu: numbers ``[k, j, i]``.
        spacing: of the CT along ``k, j, i``, millimetres.
        lattice: the target lattice.
        device: device of the result; sections are moved there one at a time.

    Returns:
        float32 tensor ``[k, j, i]``.
    """
    box = _reach(hu.shape, spacing, lattice)
    matrices = []
    for axis in range(3):
        places = np.arange(box[axis].start, box[axis].stop) * spacing[axis]
        matrices.append(torch.from_numpy(tent_matrix(places, lattice.positions(axis))).to(device))
    up, rows, columns = matrices
    result = torch.zeros(lattice.shape, device=device)
    crop = hu[box]
    columns_t = columns.T.contiguous()
    for first in range(0, len(crop), _SECTIONS):
        part = torch.from_numpy(np.ascontiguousarray(crop[first : first + _SECTIONS])).to(device)
        flat = torch.matmul(rows, torch.matmul(part.float(), columns_t))
        weights = up[:, first : first + _SECTIONS]
        used = torch.nonzero(weights.any(dim=1)).ravel()
        if len(used):
            low, high = int(used[0]), int(used[-1]) + 1
            result[low:high] += torch.tensordot(weights[low:high], flat, dims=1)
    return result


def sections_back(
    values: torch.Tensor, lattice: Lattice, spacing: Triple, box: Slices
) -> Iterator[tuple[int, torch.Tensor]]:
    """Interpolate values from a lattice to a CT's voxels, a few sections at a time.

    Args:
        values: float tensor ``[c, k, j, i]`` on the lattice.
        lattice: their lattice.
        spacing: of the CT along ``k, j, i``, millimetres.
        box: requested voxels of the CT.

    Yields:
        First section of the CT and a tensor ``[c, sections, rows, columns]`` over the box.
    """
    matrices = [
        torch.from_numpy(
            tent_matrix(lattice.positions(axis), np.arange(box[axis].start, box[axis].stop) * spacing[axis])
        )
        for axis in range(3)
    ]
    up, rows, columns = (matrix.to(values.device, values.dtype) for matrix in matrices)
    columns_t = columns.T.contiguous()
    for first in range(0, len(up), _SECTIONS):
        weights = up[first : first + _SECTIONS]
        used = torch.nonzero(weights.any(dim=0)).ravel()
        low, high = int(used[0]), int(used[-1]) + 1
        coarse = torch.einsum("sk,ckji->csji", weights[:, low:high], values[:, low:high])
        yield box[0].start + first, torch.matmul(rows, torch.matmul(coarse, columns_t))


def between(values: torch.Tensor, source: Lattice, target: Lattice) -> torch.Tensor:
    """Resample values ``[c, k, j, i]`` from one lattice to another."""
    up, rows, columns = (
        torch.from_numpy(tent_matrix(source.positions(axis), target.positions(axis))).to(values) for axis in range(3)
    )
    flat = torch.matmul(rows, torch.matmul(values, columns.T))
    return torch.einsum("sk,ckji->csji", up, flat)


def _reach(shape: tuple[int, ...], spacing: Triple, lattice: Lattice) -> Slices:
    """The voxels that contribute to any point of the lattice."""
    edges = []
    for axis in range(3):
        reach = max(spacing[axis], lattice.step[axis])
        places = lattice.positions(axis)
        low = math.floor((places[0] - reach) / spacing[axis])
        high = math.ceil((places[-1] + reach) / spacing[axis]) + 1
        first = min(max(0, low), shape[axis] - 1)
        edges.append(slice(first, max(first + 1, min(shape[axis], high))))
    return edges[0], edges[1], edges[2]


_SECTIONS = 8
