"""Smooth random fields and small tools for painting implicit shapes, all in patient millimetres."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_array

FloatArray = np.ndarray
_TILE = 48
# Standard deviation that a cubic B-spline leaves of white lattice values, per axis averaged over the cell.
_SPLINE_STD = 0.479**1.5


class Table:
    """A smooth monotone-piecewise curve through tabulated points, clamped at the ends (float32)."""

    def __init__(self, points: tuple[tuple[float, float], ...]) -> None:
        at, values = np.array(points, dtype=float).T
        self._low, self._high = at[0], at[-1]
        self._curve = PchipInterpolator(at, values)

    def __call__(self, at: FloatArray | float) -> FloatArray:
        """Values at some positions."""
        return self._curve(np.clip(at, self._low, self._high)).astype(np.float32)


class GrainField:
    """A random field of unit standard deviation and given grain, the same whatever grid it is sampled on.

    White values on a periodic lattice, interpolated by cubic B-splines.

    Args:
        rng: where the values come from.
        grain_mm: distance between lattice points; details are about twice this size.
    """

    def __init__(self, rng: np.random.Generator, grain_mm: float) -> None:
        self.grain_mm = grain_mm
        self._matrices: dict[tuple[float, float, int], csr_array] = {}
        self._values = (rng.standard_normal((_TILE,) * 3) / _SPLINE_STD).astype(np.float32)

    def at(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Values at points.

        Args:
            x: LPS millimetres; a row ``[1, n]`` with ``y`` a column ``[m, 1]`` and ``z`` a number is a section,
                sampled separably and fast; other shapes are broadcast against each other.
            y: as ``x``.
            z: as ``x``.
        """
        if np.ndim(z) == 0 and x.ndim == 2 and x.shape[0] == 1 and y.shape[1:] == (1,):
            up, share = _basis(np.array([z]) / self.grain_mm)
            plane = (self._values[up[0]] * share[0][:, None, None]).sum(axis=0)
            return np.ascontiguousarray((self._matrix(x[0]) @ (self._matrix(y[:, 0]) @ plane).T).T)
        points = np.broadcast_arrays(np.float32(z), y, x)
        coordinates = np.stack([p.ravel() for p in points]) / self.grain_mm
        values = map_coordinates(self._values, coordinates, order=3, mode="grid-wrap", prefilter=False)
        return values.reshape(points[0].shape)

    def _matrix(self, line: FloatArray) -> csr_array:
        """Weights of the lattice for the positions of a grid's line; sparse, and free of BLAS and its rounding."""
        key = (float(line[0]), float(line[-1]), len(line))
        if key not in self._matrices:
            columns, weights = _basis(line / self.grain_mm)
            starts = np.arange(0, 4 * len(line) + 1, 4)
            self._matrices[key] = csr_array((weights.ravel(), columns.ravel(), starts), shape=(len(line), _TILE))
        return self._matrices[key]


def _basis(at: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The four lattice points about each position (lattice units) and their cubic B-spline weights, ``[n, 4]``."""
    first = np.floor(at).astype(np.intp)
    f = (at - first).astype(np.float32)[:, None]
    weights = np.concatenate([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3], axis=1)
    return (first[:, None] + np.arange(-1, 3)) % _TILE, weights / np.float32(6)


def cover(inside_mm: FloatArray, width_mm: float) -> FloatArray:
    """Share of a voxel of some width that lies inside a surface at a signed distance (positive inside)."""
    return np.clip(inside_mm / width_mm + 0.5, 0.0, 1.0)


def paint(hu: FloatArray, value: FloatArray | float, share: FloatArray) -> None:
    """Mix a tissue into a section by the share of each pixel that it fills, in place."""
    hu += share * (value - hu)


def smooth_step(at: FloatArray | float, low: float, high: float) -> FloatArray:
    """0 below ``low``, 1 above ``high``, an S between."""
    u = np.clip((np.asarray(at, np.float32) - low) / (high - low), 0.0, 1.0)
    return u * u * (3 - 2 * u)


def ellipse_distance(dx: FloatArray, dy: FloatArray, a: FloatArray | float, b: FloatArray | float) -> FloatArray:
    """Approximate signed distance (mm, positive inside) to an ellipse with half axes ``a``, ``b``."""
    q = np.sqrt((dx / a) ** 2 + (dy / b) ** 2) + 1e-6
    slope = np.sqrt((dx / a**2) ** 2 + (dy / b**2) ** 2) + 1e-6
    return (1 - q) * q / slope


def capsule_distance(
    x: FloatArray, y: FloatArray, start: tuple[float, float], stop: tuple[float, float], radius: float
) -> FloatArray:
    """Signed distance (mm, positive inside) to a rounded bar in the plane."""
    dx, dy = stop[0] - start[0], stop[1] - start[1]
    px, py = x - start[0], y - start[1]
    along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    return radius - np.hypot(px - along * dx, py - along * dy)
