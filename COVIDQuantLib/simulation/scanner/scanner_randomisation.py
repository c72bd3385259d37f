"""Another scanner, dose, kernel and protocol for the same chest: domain randomisation on whole CTs.

Every change keeps the grid, so that labels and lesion mask stay valid; :func:`thicken` alone makes a new one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from COVIDQuantLib.simulation.fields.tiled_fields import FloatArray

BoolArray = npt.NDArray[np.bool_]
LOWEST_HU, HIGHEST_HU = -1024.0, 3071.0
_WATER_TO_AIR_HU = 1000.0


@dataclass(frozen=True)
class Scan:
    """A CT and what a change of it must know.

    Attributes:
        hu: CT numbers, ``[k, j, i]``.
        spacing: mm along k, j, i.
        lungs: what must stay in view; nothing if not known.
    """

    hu: FloatArray
    spacing: FloatArray
    lungs: BoolArray | None


def _sections(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """Thicker sections that overlap: each is the mean of what lies within its thickness."""
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
        # Filtered back projection leaves no slow waves in noise.
        noise = noise - ndimage.gaussian_filter(noise, [0, *(3 * c for c in coarse[1:])])
        noise /= max(float(noise.std()), 1e-3)
    level = float(np.exp(rng.uniform(np.log(5), np.log(70))))
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in scan.hu.shape[1:])
    middle = 1.2 - 0.4 * np.sqrt(y[:, None] ** 2 + x[None, :] ** 2)
    return scan.hu + level * middle * noise


def _streaks(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """Too few photons across the shoulders or the arms: streaks from side to side, in part of the sections."""
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
    """Detector elements out of step: faint rings around the axis of rotation."""
    y, x = ((np.arange(n) - n / 2) * s for n, s in zip(scan.hu.shape[1:], scan.spacing[1:], strict=True))
    centre = rng.normal(0, 15, 2)
    radius = np.hypot(y[:, None] - centre[0], x[None, :] - centre[1])
    ring = np.zeros(radius.shape, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        ring += rng.normal(0, 15) * np.exp(-(((radius - rng.uniform(10, 150)) / rng.uniform(0.7, 1.5)) ** 2))
    return scan.hu + ring


def _drift(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """Air and water not quite where they belong."""
    scale = 1 + float(rng.uniform(-0.02, 0.02))
    return (scan.hu + _WATER_TO_AIR_HU) * scale - _WATER_TO_AIR_HU + float(rng.uniform(-20, 20))


def _field_of_view(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """Nothing outside a circle around the lungs."""
    y, x = (np.arange(n) * float(s) for n, s in zip(scan.hu.shape[1:], scan.spacing[1:], strict=True))
    seen = np.ones(scan.hu.shape[1:], bool) if scan.lungs is None else scan.lungs.any(axis=0)
    if not seen.any():
        return scan.hu
    j, i = np.nonzero(seen)
    cy, cx = (y[j].min() + y[j].max()) / 2, (x[i].min() + x[i].max()) / 2
    radius = float(np.hypot(y[j] - cy, x[i] - cx).max()) + float(rng.uniform(2, 40))
    outside = np.hypot(y[:, None] - cy, x[None, :] - cx) > radius
    return np.where(outside, np.float32(LOWEST_HU), scan.hu)


def _floor(scan: Scan, rng: np.random.Generator) -> FloatArray:
    """CT numbers cut off as some archives do."""
    return np.clip(scan.hu, float(rng.choice([-1000.0, -1024.0])), float(rng.choice([1000.0, 2000.0, HIGHEST_HU])))


@dataclass(frozen=True)
class Change:
    """What another scanner does differently.

    Attributes:
        name: its name.
        probability: how often it is applied.
        function: takes the scan and the source of chance and gives the changed CT numbers.
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
    Change("cut-off", 0.2, _floor),
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
        rng: source of chance.
        lungs: what the field of view must hold; the whole image by default.
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
    return np.clip(image, LOWEST_HU, HIGHEST_HU), done


def _majority(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The label that fills most of each block of sections, ``[blocks, thickness, j, i]``."""
    best, most = labels[:, 0].copy(), np.zeros(labels[:, 0].shape, np.int32)
    for label in np.unique(labels):
        votes = (labels == label).sum(axis=1, dtype=np.int32)
        # Half a section of lesion or lung counts: foreground wins a tie.
        better = (votes > most) | ((votes == most) & (label != 0))
        best[better], most[better] = label, votes[better]
    return best


def thicken(
    hu: npt.NDArray[np.generic],
    labels: tuple[npt.NDArray[np.generic], ...],
    spacing_kji: npt.ArrayLike,
    thickness_mm: float,
) -> tuple[FloatArray, tuple[npt.NDArray[np.generic], ...], FloatArray]:
    """The CT in thicker sections that do not overlap: mean CT numbers, most frequent labels.

    Args:
        hu: CT numbers, ``[k, j, i]``.
        labels: label maps and masks of the same grid.
        spacing_kji: mm.
        thickness_mm: wanted; the nearest multiple of the present thickness is taken.

    Returns:
        CT, label maps and spacing (mm) of the new grid; sections that fill no whole block are left out.
    """
    spacing = np.array(spacing_kji, np.float32)
    count = min(max(1, math.floor(thickness_mm / float(spacing[0]) + 0.5)), hu.shape[0])
    blocks = hu.shape[0] // count

    def blocked(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return array[: blocks * count].reshape(blocks, count, *array.shape[1:])

    spacing[0] *= count
    mean = blocked(np.asarray(hu, np.float32)).mean(axis=1, dtype=np.float32)
    return mean, tuple(_majority(blocked(label)) for label in labels), spacing
