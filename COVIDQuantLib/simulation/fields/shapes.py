"""Signed distances to simple shapes and the painting of tissues by the share of each pixel, all in millimetres."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.interpolate import PchipInterpolator

from COVIDQuantLib.simulation.fields.arrays import FloatArray


class Table:
    """A smooth monotone-piecewise curve through tabulated points, clamped at the ends (float32)."""

    def __init__(self, points: tuple[tuple[float, float], ...]) -> None:
        at, values = np.array(points, dtype=float).T
        self._low, self._high = at[0], at[-1]
        self._curve = PchipInterpolator(at, values)

    def __call__(self, at: FloatArray | float) -> FloatArray:
        """Values at some positions."""
        return self._curve(np.clip(at, self._low, self._high)).astype(np.float32)


def cover(inside_mm: FloatArray, width_mm: float) -> FloatArray:
    """Share of a voxel of some width inside a surface at a signed distance (positive inside)."""
    return np.clip(inside_mm / width_mm + 0.5, 0.0, 1.0)


def paint(hu: FloatArray, value: FloatArray | float, share: FloatArray) -> None:
    """Mix a tissue into a section by the share of each pixel that it fills, in place."""
    hu += share * (value - hu)


def paint_layers(
    hu: FloatArray,
    depth: FloatArray,
    layers: Iterable[tuple[float, FloatArray | float]],
    width_mm: float,
    within: FloatArray | float = 1.0,
) -> None:
    """Paint nested tissues into a section, in place.

    Args:
        hu: float32 ``[j, i]``.
        depth: signed distance to the outermost surface, mm, positive inside.
        layers: at what depth each begins (mm) and its CT numbers, outermost first.
        width_mm: of a pixel.
        within: share of each pixel in which anything is painted.
    """
    for begin_mm, value in layers:
        paint(hu, value, cover(depth - begin_mm, width_mm) * within)


def smooth_step(at: FloatArray | float, low: float = 0.0, high: float = 1.0) -> FloatArray:
    """0 below ``low``, 1 above ``high``, an S between, float32."""
    u = np.clip((np.asarray(at, np.float32) - low) / (high - low), 0.0, 1.0)
    return u * u * (3 - 2 * u)


def ellipse_distance(dx: FloatArray, dy: FloatArray, a: FloatArray | float, b: FloatArray | float) -> FloatArray:
    """Approximate signed distance (mm, positive inside) to an ellipse with half axes ``a``, ``b``."""
    q = np.sqrt((dx / a) ** 2 + (dy / b) ** 2) + 1e-6
    slope = np.sqrt((dx / a**2) ** 2 + (dy / b**2) ** 2) + 1e-6
    return (1 - q) * q / slope


def slab_distance(at: FloatArray, low: FloatArray | float, high: FloatArray | float) -> FloatArray:
    """Signed distance (mm, positive inside) to a slab between two surfaces."""
    return np.minimum(at - low, high - at)


def capsule_distance(
    x: FloatArray, y: FloatArray, start: tuple[float, float], stop: tuple[float, float], radius: float
) -> FloatArray:
    """Signed distance (mm, positive inside) to a rounded bar in the plane."""
    dx, dy = stop[0] - start[0], stop[1] - start[1]
    px, py = x - start[0], y - start[1]
    along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    return radius - np.hypot(px - along * dx, py - along * dy)
