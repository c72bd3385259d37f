"""Random fields in millimetres: periodic tiles of noise and of cells, read on any regular grid."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

FloatArray = npt.NDArray[np.floating[Any]]
Axes = tuple[FloatArray, FloatArray, FloatArray]

_TILE = 40
_CELLS_ACROSS = 7


def lerp(field: FloatArray, coordinates: Sequence[FloatArray], *, wrap: bool = False) -> FloatArray:
    """Linear interpolation of a field ``[k, j, i]`` at the grid spanned by three axes of voxel coordinates.

    Args:
        field: values.
        coordinates: positions along k, j and i in voxels of the field.
        wrap: whether the field repeats; otherwise its border goes on.

    Returns:
        Values of shape ``(len(k), len(j), len(i))``.
    """
    result = field
    # Backwards: while the field is small the last axis, whose values lie scattered; the first moves whole sections.
    for axis, positions in reversed(list(enumerate(coordinates))):
        size = field.shape[axis]
        place = np.mod(positions, size) if wrap else np.clip(positions, 0, size - 1)
        low = np.minimum(place.astype(np.intp), size - 1)
        high = (low + 1) % size if wrap else np.minimum(low + 1, size - 1)
        shape = [1, 1, 1]
        shape[axis] = len(place)
        share = (place - low).astype(np.float32).reshape(shape)
        first = np.take(result, low, axis=axis)
        step = np.take(result, high, axis=axis)
        step -= first
        step *= share
        result = np.add(first, step, out=step)
    return result


def smooth_step(values: FloatArray) -> FloatArray:
    """0 below 0, 1 above 1, without kinks between."""
    t = np.clip(values, 0, 1)
    return t * t * (3 - 2 * t)


class Tile:
    """A cube of values that repeats without seams.

    Args:
        values: ``[n, n, n]``.
        wave: what one wave or cell measures, in voxels of the tile.
    """

    def __init__(self, values: FloatArray, wave: float) -> None:
        self._values = values
        self._wave = wave

    def at(self, axes: Axes, wave_mm: float, shift: float) -> FloatArray:
        """The values on a grid.

        Args:
            axes: positions along z, y, x in mm.
            wave_mm: length of a wave or cell.
            shift: moves the grid through the tile, so that each use has a noise of its own, in waves.

        Returns:
            Array ``[z, y, x]``.
        """
        scale = self._wave / wave_mm
        moved = [
            axis * scale + shift * self._wave * factor for axis, factor in zip(axes, (1.0, 1.37, 1.91), strict=True)
        ]
        return lerp(self._values, moved, wrap=True)


def noise_tile(rng: np.random.Generator, slope: float) -> Tile:
    """Noise of mean 0 and standard deviation 1.

    Args:
        rng: source of chance.
        slope: how fast the finer waves fade (amplitude goes with frequency to the −slope); 0 takes one octave alone.
    """
    frequency = np.fft.fftfreq(_TILE)[:, None, None] ** 2 + np.fft.fftfreq(_TILE)[None, :, None] ** 2
    frequency = np.sqrt(frequency + np.fft.rfftfreq(_TILE)[None, None, :] ** 2)
    wave = 8.0 if slope else 4.0
    if slope:
        gain = np.where(frequency * wave < 0.5, 0.0, np.maximum(frequency, 1e-6) ** -slope)
    else:
        gain = np.exp(-(((frequency * wave - 0.75) / 0.5) ** 2))
    spectrum = np.fft.rfftn(rng.standard_normal((_TILE,) * 3)) * gain
    values = np.fft.irfftn(spectrum, s=(_TILE,) * 3, axes=(0, 1, 2)).astype(np.float32)
    return Tile(values / values.std(), wave)


def cell_tile(rng: np.random.Generator) -> Tile:
    """Distance to the walls of irregular cells (Worley's F2 − F1), in cell widths: 0 on a wall."""
    cell = _TILE / _CELLS_ACROSS
    corners = np.stack(np.meshgrid(*(np.arange(_CELLS_ACROSS),) * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    seeds = np.mod((corners + rng.random(corners.shape)) * cell, _TILE)
    tree = cKDTree(seeds, boxsize=_TILE)
    points = np.stack(np.meshgrid(*(np.arange(_TILE),) * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    distance, _ = tree.query(points.astype(float), k=2)
    walls = (distance[:, 1] - distance[:, 0]) / cell
    return Tile(walls.reshape((_TILE,) * 3).astype(np.float32), cell)


class Fields:
    """The tiles of one case, each made when it is first wanted.

    Args:
        rng: source of chance.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        # A source of its own for each, so that which are made does not change the others.
        self._rough_rng, self._smooth_rng, self._cells_rng = rng.spawn(3)

    @cached_property
    def rough(self) -> Tile:
        """Noise of all wave lengths, the longer the stronger."""
        return noise_tile(self._rough_rng, 2.2)

    @cached_property
    def smooth(self) -> Tile:
        """Noise of one wave length."""
        return noise_tile(self._smooth_rng, 0.0)

    @cached_property
    def cells(self) -> Tile:
        """Walls of cells."""
        return cell_tile(self._cells_rng)
