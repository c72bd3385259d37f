"""Dense disease that is as dense as the chest wall: consolidation at the pleura, of a whole lobe; and effusion.

A network that saw little of it leaves it out of the lungs, or finds it and goes on through the wall. Consolidation
stays lung; effusion, the fluid behind the lung, does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.simulation.fields.tiled_fields import Axes, Fields, FloatArray, smooth_step

_COARSE_MM = 4.0
_BESIDE_MM = 4.0


@dataclass(frozen=True)
class Dense:
    """What was put into a CT.

    Attributes:
        hu: float32 ``[k, j, i]``.
        lobes: labels, without what effusion has displaced.
        disease: bool, consolidation.
    """

    hu: FloatArray
    lobes: np.ndarray
    disease: np.ndarray


class _Lungs:
    """Distances and places in the lungs' box, at coarse steps."""

    def __init__(self, lobes: np.ndarray, spacing: np.ndarray, rng: np.random.Generator) -> None:
        self.steps = np.maximum(1, np.round(_COARSE_MM / spacing)).astype(int)
        self.labels = lobes[tuple(slice(None, None, int(step)) for step in self.steps)]
        self.step = self.steps * spacing
        inside = self.labels > 0
        padded = np.pad(inside, 1)
        depth = ndimage.distance_transform_edt(padded, sampling=self.step)[1:-1, 1:-1, 1:-1]
        self.depth = (depth - 0.5 * float(self.step.min())).astype(np.float32)
        self.axes: Axes = tuple(
            (np.arange(n) * mm).astype(np.float32) for n, mm in zip(self.labels.shape, self.step, strict=True)
        )
        self.edge = np.argwhere(inside & (self.depth < 1.5 * self.step.max()))
        self.fields = Fields(rng)

    def fine(self, weight: FloatArray, shape: tuple[int, ...]) -> FloatArray:
        """A coarse field drawn out to the grid."""
        lines = [np.arange(n) / step for n, step in zip(shape, self.steps, strict=True)]
        for axis, line in enumerate(lines):
            low = np.minimum(line.astype(int), max(weight.shape[axis] - 2, 0))
            high = np.minimum(low + 1, weight.shape[axis] - 1)
            share = np.clip(line - low, 0, 1).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
            weight = np.take(weight, low, axis) * (1 - share) + np.take(weight, high, axis) * share
        return weight


def add_dense(
    hu: np.ndarray,
    lobes: np.ndarray,
    spacing_kji: tuple[float, float, float],
    rng: np.random.Generator,
    effusion: float = 0.12,
) -> Dense:
    """Dense disease in one to four places.

    Args:
        hu: CT numbers ``[k, j, i]``, canonical.
        lobes: 1..5, or 1 and 2 for the lungs alone; 0 outside.
        spacing_kji: millimetres.
        rng: the draws.
        effusion: how often there is fluid behind a lung; a patch does not show where that is.
    """
    image, labels = np.asarray(hu, np.float32).copy(), lobes.copy()
    disease = np.zeros(lobes.shape, bool)
    boxes = ndimage.find_objects((lobes > 0).astype(np.uint8))
    if not boxes:
        return Dense(image, labels, disease)
    # With a margin, for the soft edge reaches into the wall's partial volume.
    box = tuple(slice(max(part.start - 3, 0), part.stop + 3) for part in boxes[0])
    lungs = _Lungs(lobes[box], np.asarray(spacing_kji), rng)
    if not len(lungs.edge):
        return Dense(image, labels, disease)
    inside = lobes[box] > 0
    weights = [_whole_lobe(lungs, rng)] if rng.random() < 0.2 else []
    weights += [_at_pleura(lungs, rng) for _ in range(int(rng.integers(0 if weights else 1, 4)))]
    for weight in weights:
        share = lungs.fine(weight, inside.shape) * smooth_step(
            (300 + ndimage.uniform_filter(image[box], 3)) / -500 + 1.4
        )
        _fill(image[box], share, inside, lungs, rng)
        disease[box] |= (share > 0.5) & inside
    if rng.random() < effusion:
        fluid = lungs.fine(_effusion(lungs, rng), inside.shape) * inside
        noise = image[box] - ndimage.gaussian_filter(image[box], 1.0)
        image[box] += smooth_step(fluid) * (float(rng.uniform(-5, 25)) + np.clip(noise, -40, 40) - image[box])
        labels[box][fluid > 0.5] = 0
        disease[box] &= labels[box] > 0
    return Dense(image, labels, disease)


def _at_pleura(lungs: _Lungs, rng: np.random.Generator) -> FloatArray:
    """Weight of consolidation that sits on the pleura, anywhere: wall, diaphragm, mediastinum, fissure or not."""
    low = lungs.edge[:, 0] < np.quantile(lungs.edge[:, 0], 0.5)
    back = lungs.edge[:, 1] > np.quantile(lungs.edge[:, 1], 0.5)
    chance = 1.0 + 2.0 * low * back
    k, j, i = lungs.edge[rng.choice(len(lungs.edge), p=chance / chance.sum())]
    radius = float(rng.uniform(14, 60))
    stretch = np.exp(rng.normal(0, 0.3, 3))
    z, y, x = (
        ((axis - axis[n]) / (radius * s)).reshape([-1 if a == number else 1 for a in range(3)])
        for number, (axis, n, s) in enumerate(zip(lungs.axes, (k, j, i), stretch, strict=True))
    )
    wave = lungs.fields.rough.at(lungs.axes, float(rng.uniform(15, 50)), float(rng.uniform(0, 40)))
    inside = (1 - np.sqrt(z**2 + y**2 + x**2) + 0.25 * wave) * radius
    if rng.random() < 0.5:
        # A layer along the pleura.
        inside = np.minimum(inside, float(rng.uniform(5, 25)) * (1 + 0.4 * wave) - lungs.depth)
    side = lungs.labels[k, j, i]
    same = (lungs.labels > 0) & ((lungs.labels < 4) == (side < 4)) if lungs.labels.max() > 2 else lungs.labels == side
    if rng.random() < 0.4:
        same = lungs.labels == side
    near = ndimage.binary_dilation(same, iterations=1) & (same | (lungs.labels == 0))
    return np.asarray(smooth_step(0.5 + inside / float(rng.uniform(2, 8))) * near, np.float32)


def _whole_lobe(lungs: _Lungs, rng: np.random.Generator) -> FloatArray:
    """Weight of a consolidated lobe, or of the lower part of a lung of unknown lobes, with patches spared."""
    label = int(rng.choice(np.unique(lungs.labels[lungs.labels > 0])))
    own = lungs.labels == label
    inside = np.where(own, 20.0, -20.0).astype(np.float32)
    if lungs.labels.max() <= 2:
        k, j, _ = np.nonzero(own)
        height = lungs.axes[0][:, None, None] - float(rng.uniform(-0.4, 0.6)) * lungs.axes[1][None, :, None]
        level = np.quantile(height[k, j, 0], float(rng.uniform(0.2, 0.6)))
        inside = np.minimum(inside, level - height)
    wave = lungs.fields.rough.at(lungs.axes, float(rng.uniform(20, 60)), float(rng.uniform(0, 40)))
    spared = (wave - float(rng.uniform(0.4, 2.0))) * 10
    weight = smooth_step(0.5 + np.minimum(inside, -spared) / 6.0)
    near = ndimage.binary_dilation(own, iterations=1) & (own | (lungs.labels == 0))
    return np.asarray(weight * near, np.float32)


def _effusion(lungs: _Lungs, rng: np.random.Generator) -> FloatArray:
    """Weight of fluid behind a lung, its surface a meniscus."""
    right = rng.random() < 0.5
    own = (lungs.labels > 0) & ((lungs.labels < 4) if lungs.labels.max() > 2 else (lungs.labels == 1))
    own = own if right else (lungs.labels > 0) & ~own
    if not own.any():
        return np.zeros(own.shape, np.float32)
    _, j, _ = np.nonzero(own)
    back, front = lungs.axes[1][j.max()], lungs.axes[1][j.min()]
    height = np.linspace(0, 1, len(lungs.axes[0]), dtype=np.float32)[:, None, None]
    deep = float(rng.uniform(0.08, 0.35)) * (back - front) * (1.1 - float(rng.uniform(0.6, 1.1)) * height)
    rise = 12 * np.exp(-lungs.depth / 8)
    inside = lungs.axes[1][None, :, None] - back + deep + rise
    return np.asarray(smooth_step(0.5 + inside / 4) * own, np.float32)


def _fill(image: FloatArray, share: FloatArray, inside: np.ndarray, lungs: _Lungs, rng: np.random.Generator) -> None:
    """Replace air by tissue in place; some bronchi stay open, the noise stays."""
    base = ndimage.gaussian_filter(image, 0.7)
    target = float(rng.uniform(-60, 75))
    axes: Axes = tuple(
        (np.arange(n) * mm / step).astype(np.float32)
        for n, mm, step in zip(image.shape, lungs.step, lungs.steps, strict=True)
    )
    texture = lungs.fields.rough.at(axes, float(rng.uniform(10, 40)), float(rng.uniform(0, 40)))
    filled = target + float(rng.uniform(0, 45)) * texture
    if rng.random() < 0.5:
        bent = lungs.fields.smooth.at(axes, float(rng.uniform(18, 35)), float(rng.uniform(0, 40)))
        other = lungs.fields.smooth.at(axes, float(rng.uniform(18, 35)), float(rng.uniform(0, 40)))
        # Where two waves cross zero there are curved tubes.
        tubes = smooth_step(1.2 - np.hypot(bent, other) / 0.22)
        filled = filled - tubes * float(rng.uniform(300, 900))
    # Outside the labels only the edge's own partial volume may change.
    weight = share * (inside | (base < -250))
    detail = np.clip(image - base, -60, 60)
    image += weight * (np.maximum(filled, base) + 0.6 * detail - image)
