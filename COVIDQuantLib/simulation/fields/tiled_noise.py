"""Noise for the training's lesions: periodic tiles of noise and of cells, sampled on any regular grid."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from COVIDQuantLib.simulation.fields.arrays import Axes, FloatArray
from COVIDQuantLib.simulation.fields.interpolation import lerp

_TILE = 40
_CELLS_ACROSS = 7


class Tile:
    """A cube of values that repeats without seams.

    Args:
        values: ``[n, n, n]``.
        wave: length of one wave or cell, in voxels of the tile.
    """

    def __init__(self, values: FloatArray, wave: float) -> None:
        self._values = values
        self._wave = wave

    def at(self, axes: Axes, wave_mm: float, shift: float) -> FloatArray:
        """The values on a grid.

        Args:
            axes: positions along z, y, x in mm.
            wave_mm: length of a wave or cell.
            shift: moves the grid through the tile, so that each use has different noise, in waves.

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
        rng: random generator.
        slope: exponent of the fall of amplitude with frequency; 0 gives a single octave.
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


class NoiseTiles:
    """The tiles of one case, each made on first use.

    Args:
        rng: random generator.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        # One generator each, so that making one does not change the others.
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
