"""What the scanner makes of a body: section thickness, blur of the kernel, noise with its texture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray

_LEVELS = 256


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel.

    Attributes:
        blur_mm: standard deviation of its point spread.
        edge: how much it exaggerates edges.
        cutoff: where its noise spectrum falls off, cycles per mm.
        gain: noise against the standard kernel.
    """

    blur_mm: float
    edge: float
    cutoff: float
    gain: float


KERNEL_OF = {
    "soft": Kernel(0.75, 0.0, 0.28, 0.7),
    "standard": Kernel(0.55, 0.0, 0.38, 1.0),
    "sharp": Kernel(0.4, 0.5, 0.62, 2.1),
}


class Scanner:
    """Turns rendered sections into what a scanner would show.

    Args:
        grid: the grid.
        kernel: name of the kernel.
        noise_hu: standard deviation of the noise in the middle of the chest.
        seed: of the noise.
    """

    def __init__(self, grid: Grid, kernel: str, noise_hu: float, seed: int) -> None:
        self._grid = grid
        self._kernel = KERNEL_OF[kernel]
        self._noise_hu = noise_hu
        self._seed = seed
        fy = np.fft.fftfreq(len(grid.y), grid.pixel_mm)[:, None]
        fx = np.fft.rfftfreq(len(grid.x), grid.pixel_mm)[None, :]
        frequency = np.hypot(fy, fx)
        spectrum = np.sqrt(frequency + 0.02) * np.exp(-((frequency / self._kernel.cutoff) ** 2))
        self._spectrum = (spectrum / np.sqrt(np.mean(spectrum**2))).astype(np.float32)

    def section(self, hu: FloatArray, number: int) -> FloatArray:
        """A final section (int16) from the average of the fine ones (float32 ``[j, i]``)."""
        kernel = self._kernel
        blurred = gaussian_filter(hu, kernel.blur_mm / self._grid.pixel_mm, mode="nearest", truncate=3)
        if kernel.edge:
            blurred += kernel.edge * (blurred - gaussian_filter(blurred, 1.2 / self._grid.pixel_mm, truncate=3))
        if self._noise_hu:
            blurred += self._noise(hu, number)
        return np.clip(np.rint(blurred), HU_MIN, HU_MAX).astype(np.int16)

    def _noise(self, hu: FloatArray, number: int) -> FloatArray:
        rng = np.random.default_rng([self._seed, 7, number])
        white = rng.standard_normal(hu.shape, dtype=np.float32)
        noise = np.fft.irfft2(np.fft.rfft2(white) * self._spectrum, s=hu.shape).astype(np.float32)
        # Photons lost along the rows and columns: water-equivalent centimetres.
        water = np.clip(hu + 1000, 0, 2500) * (self._grid.pixel_mm / 1e4)
        across, along = water.sum(axis=1, keepdims=True), water.sum(axis=0, keepdims=True)
        row = np.exp(0.075 * (across - 24))
        column = np.exp(0.075 * (along - 16))
        amplitude = np.clip(0.5 * (row + column), 0.45, 3.0)
        starved = np.clip(row - 1.2, 0, 2)
        noise *= amplitude
        if starved.any():
            rows = np.flatnonzero(starved)
            band = np.s_[rows[0] : rows[-1] + 1]
            white = rng.standard_normal((rows[-1] + 1 - rows[0], hu.shape[1]), dtype=np.float32)
            noise[band] += starved[band] * 5.5 * gaussian_filter(white, (0.6, 14))
        return self._noise_hu * noise


def section_noise(rng: np.random.Generator, kernel: str, thickness_mm: float) -> float:
    """A likely noise (HU) for a chest CT of this thickness and kernel: thinner is noisier."""
    return float(rng.uniform(11, 19) * KERNEL_OF[kernel].gain * math.sqrt(1.25 / max(thickness_mm, 0.5)))
