"""Another scanner, dose, kernel and protocol for the same chest: domain randomisation on whole CTs.

It takes CTs of any origin, real ones too, so it changes CT numbers that already carry a scanner's blur and noise;
:mod:`COVIDQuantLib.simulation.scanner.reconstruction` makes those out of a body that has neither. Every change keeps
the grid, so that labels and lesion mask stay valid.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN
from COVIDQuantLib.simulation.fields.arrays import FloatArray

BoolArray = npt.NDArray[np.bool_]
_WATER_TO_AIR_HU = 1000.0


@dataclass(frozen=True)
class Scan:
    """A CT, as the changes take it.

    Attributes:
        hu: CT numbers, ``[k, j, i]``.
        spacing: mm along k, j, i.
        lungs: what must stay in the field of view; None if not known.
    """

    hu: FloatArray
    spacing: FloatArray
    lungs: BoolArray | None


def _sections(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """Thicker sections that overlap: each is the mean over its thickness."""
    size = max(2, round(float(rng.uniform(2, 6)) / float(scan.spacing[0])))
    averaged: FloatArray = ndimage.uniform_filter1d(scan.hu, size, axis=0, mode="nearest")
    return averaged


def _soft_kernel(scan: Scan, rng: np.random.Generator) -> FloatArray:
    sigma = float(rng.uniform(0.4, 1.3)) / scan.spacing
    soft: FloatArray = ndimage.gaussian_filter(scan.hu, (0, sigma[1], sigma[2]))
    return soft


def _sharp_kernel(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """A lung kernel: edges overshoot."""
    sigma = float(rng.uniform(0.7, 1.6)) / scan.spacing
    soft = ndimage.gaussian_filter(scan.hu, (0, sigma[1], sigma[2]))
    sharp: FloatArray = scan.hu + float(rng.uniform(0.3, 1.4)) * (scan.hu - soft)
    return sharp


def _noise(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """White to coarse-grained noise of random dose, stronger in the middle of the body."""
    noise = rng.standard_normal(scan.hu.shape, dtype=np.float32)
    grain = float(rng.choice([0.0, rng.uniform(0.3, 1.0)]))
    if grain:
        coarse = (min(0.4, grain / scan.spacing[0]), grain / scan.spacing[1], grain / scan.spacing[2])
        noise = ndimage.gaussian_filter(noise, coarse)
        # Noise of filtered back projection has no low frequencies.
        noise = noise - ndimage.gaussian_filter(noise, [0, *(3 * c for c in coarse[1:])])
        noise /= max(float(noise.std()), 1e-3)
    level = float(np.exp(rng.uniform(np.log(5), np.log(70))))
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in scan.hu.shape[1:])
    middle = 1.2 - 0.4 * np.sqrt(y[:, None] ** 2 + x[None, :] ** 2)
    return scan.hu + level * middle * noise


def _streaks(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """Photon starvation at shoulders or arms: horizontal streaks in part of the sections."""
    count, rows, _ = scan.hu.shape
    lines = rng.standard_normal((count, rows, 1), dtype=np.float32)
    lines = ndimage.gaussian_filter1d(lines, float(rng.uniform(0.4, 1.2)) / float(scan.spacing[1]), axis=1)
    lines /= max(float(lines.std()), 1e-3)
    where = np.linspace(0, 1, count, dtype=np.float32) - float(rng.uniform(0, 1))
    strength = float(rng.uniform(5, 30)) * np.exp(-((where / float(rng.uniform(0.1, 0.4))) ** 2))
    slow = ndimage.gaussian_filter1d(rng.standard_normal((count, 1, 16), dtype=np.float32), 1.0, axis=2)
    along = ndimage.zoom(slow, (1, 1, scan.hu.shape[2] / 16), order=1)
    return scan.hu + strength[:, None, None] * lines * (0.6 + along)


def _rings(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """Miscalibrated detector elements: faint rings around the axis of rotation."""
    y, x = ((np.arange(n) - n / 2) * s for n, s in zip(scan.hu.shape[1:], scan.spacing[1:], strict=True))
    centre = rng.normal(0, 15, 2)
    radius = np.hypot(y[:, None] - centre[0], x[None, :] - centre[1])
    ring = np.zeros(radius.shape, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        ring += rng.normal(0, 15) * np.exp(-(((radius - rng.uniform(10, 150)) / rng.uniform(0.7, 1.5)) ** 2))
    return scan.hu + ring


def _drift(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """Imperfect calibration of air and water."""
    scale = 1 + float(rng.uniform(-0.02, 0.02))
    return (scan.hu + _WATER_TO_AIR_HU) * scale - _WATER_TO_AIR_HU + float(rng.uniform(-20, 20))


def _field_of_view(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """Nothing outside a circle around the lungs."""
    y, x = (np.arange(n) * float(s) for n, s in zip(scan.hu.shape[1:], scan.spacing[1:], strict=True))
    visible = np.ones(scan.hu.shape[1:], bool) if scan.lungs is None else scan.lungs.any(axis=0)
    if not visible.any():
        return scan.hu
    j, i = np.nonzero(visible)
    cy, cx = (y[j].min() + y[j].max()) / 2, (x[i].min() + x[i].max()) / 2
    radius = float(np.hypot(y[j] - cy, x[i] - cx).max()) + float(rng.uniform(2, 40))
    outside = np.hypot(y[:, None] - cy, x[None, :] - cx) > radius
    return np.where(outside, np.float32(HU_MIN), scan.hu)


def _clipped(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """CT numbers clipped as by some archives."""
    return np.clip(scan.hu, float(rng.choice([-1000.0, -1024.0])), float(rng.choice([1000.0, 2000.0, HU_MAX])))


@dataclass(frozen=True)
class Change:
    """A difference between scanners.

    Attributes:
        name: its name.
        probability: how often it is applied.
        function: takes the scan and the random generator and returns the changed CT numbers.
    """

    name: str
    probability: float
    function: Callable[[Scan, np.random.Generator], FloatArray]


# In the order of the imaging chain: detector, reconstruction, archive.
CHANGES = (
    Change("thicker sections", 0.2, _sections),
    Change("streaks", 0.2, _streaks),
    Change("rings", 0.07, _rings),
    Change("noise", 0.7, _noise),
    Change("soft kernel", 0.25, _soft_kernel),
    Change("sharp kernel", 0.25, _sharp_kernel),
    Change("drift", 0.5, _drift),
    Change("field of view", 0.2, _field_of_view),
    Change("cut-off", 0.2, _clipped),
)


def randomise(
    hu: npt.NDArray[np.generic],
    spacing_kji: npt.ArrayLike,
    rng: np.random.Generator,
    lungs: BoolArray | None = None,
    names: Collection[str] | None = None,
) -> tuple[FloatArray, list[str]]:
    """The same chest as another scanner would show it, on the same grid.

    Args:
        hu: CT numbers, ``[k, j, i]``.
        spacing_kji: mm.
        rng: random generator.
        lungs: what the field of view must cover; the whole image by default.
        names: exactly these changes; by default each with its probability.

    Returns:
        The changed CT (float32, within −1024..3071) and the names of what was done.
    """
    spacing = np.asarray(spacing_kji, np.float32)
    image = np.asarray(hu, np.float32)
    done = []
    for change in CHANGES:
        drawn = rng.random() < change.probability
        if drawn if names is None else change.name in names:
            image = np.asarray(change.function(Scan(image, spacing, lungs), rng), np.float32)
            done.append(change.name)
    return np.clip(image, HU_MIN, HU_MAX), done
