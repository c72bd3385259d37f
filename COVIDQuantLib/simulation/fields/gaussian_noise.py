"""Smooth noise for painted chests: white noise on a grid, blurred by a Gaussian."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.simulation.fields.arrays import FloatArray


def gaussian_noise(
    rng: np.random.Generator, shape: tuple[int, ...], spacing: FloatArray, grain_mm: float
) -> FloatArray:
    """A random field of unit standard deviation over a grid whose details are about ``grain_mm`` apart (float32)."""
    sigma = 0.42 * grain_mm / np.asarray(spacing)
    pad = [int(np.ceil(2 * s)) for s in sigma]
    white = rng.standard_normal([n + 2 * p for n, p in zip(shape, pad, strict=True)], dtype=np.float32)
    field = ndimage.gaussian_filter(white, sigma, truncate=2.5)
    field = field[tuple(slice(p, p + n) for n, p in zip(shape, pad, strict=True))]
    return field / max(float(np.sqrt(np.mean(field**2))), 1e-6)
