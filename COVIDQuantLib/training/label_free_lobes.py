"""Training batches for the lobes networks: whole chests at 5 mm, and patches at 2 mm with a doubtful coarse answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from COVIDQuantLib.inference.lobes import CLASSES, lobes_window
from COVIDQuantLib.training.label_free_warp import WarpRange, draw_warp, pull, smooth_noise

View = dict[str, np.ndarray]
Batch = tuple[torch.Tensor, torch.Tensor]
AIR_HU = -1024.0
# Disease denser than this is easily taken for chest wall.
DENSE_HU = -350
_AT_DISEASE, _DENSE_WEIGHT = 0.5, 5
COARSE_WARP = WarpRange(degrees=8, scale=0.14, elastic=1.4, control=11)
FINE_WARP = WarpRange(degrees=8, scale=0.12, elastic=2.2, control=22)


@dataclass(frozen=True)
class CoarseBatches:
    """Chests at 5 mm in random pose, fresh each epoch.

    Attributes:
        views: of :func:`~COVIDQuantLib.training.label_free_subjects.coarse_view`.
        shape: points ``[k, j, i]`` given to the network; a third of the batches see only part of the height.
        size: chests in a batch.
        count: batches in an epoch.
        seed: of all draws, with the epoch's number.
    """

    views: Sequence[View]
    shape: tuple[int, int, int] = (64, 56, 84)
    size: int = 2
    count: int = 100
    seed: int = 0

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch: input float ``[b, 1, k, j, i]``, labels int64 ``[b, 1, k, j, i]``."""
        rng = np.random.default_rng([self.seed, epoch])
        for _ in range(self.count):
            height = self.shape[0] if rng.random() < 0.67 else int(rng.integers(20, self.shape[0]))
            shape = (height, *self.shape[1:])
            pairs = [self._one(shape, rng) for _ in range(self.size)]
            yield torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])

    def _one(self, shape: tuple[int, int, int], rng: np.random.Generator) -> Batch:
        view = self.views[int(rng.integers(len(self.views)))]
        hu, lobes = (torch.from_numpy(view[name])[None].float() for name in ("hu", "lobes"))
        size = np.array(hu.shape[1:], float)
        slack = np.array([max(4.0, (size[0] - shape[0]) / 2), 5.0, 6.0])
        places = draw_warp(shape, (size - 1) / 2 + rng.uniform(-1, 1, 3) * slack, COARSE_WARP, rng)
        seen = pull(hu, places, outside=AIR_HU)
        labels = pull(lobes, places, nearest=True)
        return lobes_window(recoloured(seen, labels, rng)), labels.long()


@dataclass(frozen=True)
class FineBatches:
    """Patches at 2 mm in random pose with a coarse answer that is wrong as coarse answers are.

    Attributes:
        views: of :func:`~COVIDQuantLib.training.label_free_subjects.fine_view`.
        shape: points ``[k, j, i]`` of a patch.
        size: patches in a batch.
        count: batches in an epoch.
        seed: of all draws, with the epoch's number.
    """

    views: Sequence[View]
    shape: tuple[int, int, int] = (64, 72, 72)
    size: int = 2
    count: int = 100
    seed: int = 0

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch: input float ``[b, 7, k, j, i]``, labels and weights int64 ``[b, 2, k, j, i]``."""
        rng = np.random.default_rng([self.seed, epoch])
        for _ in range(self.count):
            pairs = [self._one(rng) for _ in range(self.size)]
            yield torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])

    def _one(self, rng: np.random.Generator) -> Batch:
        view = self.views[int(rng.integers(len(self.views)))]
        hu, lobes = (torch.from_numpy(view[name])[None].float() for name in ("hu", "lobes"))
        size = np.array(hu.shape[1:], float)
        reach = np.maximum((size - np.array(self.shape)) / 2 + 4, 2)
        centre = (size - 1) / 2 + rng.uniform(-1, 1, 3) * reach
        sick = np.argwhere(view["lesions"] & (view["hu"] > DENSE_HU)) if "lesions" in view else np.zeros((0, 3))
        if len(sick) and rng.random() < _AT_DISEASE:
            centre = sick[rng.integers(len(sick))] + rng.normal(0, 10, 3)
        places = draw_warp(self.shape, centre, FINE_WARP, rng)
        seen = pull(hu, places, outside=AIR_HU)
        labels = pull(lobes, places, nearest=True)
        lost = None
        if "lesions" in view and view["lesions"].any():
            lost = pull(torch.from_numpy(view["lesions"])[None].float(), places, nearest=True)
        weights = torch.ones_like(labels)
        if lost is not None:
            # Dense disease is a small part of the lungs, and looks like what lies around them.
            weights = weights + _DENSE_WEIGHT * ((lost > 0) & (seen > DENSE_HU))
        image = lobes_window(recoloured(seen, labels, rng))
        return torch.cat([image, doubtful(labels, lost, rng)]), torch.cat([labels, weights]).long()


def recoloured(hu: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """CT numbers as another scanner, breath or contrast would give them.

    Args:
        hu: ``[1, k, j, i]``.
        labels: lobes on the same points.
        rng: the draw.
    """
    shape = (hu.shape[1], hu.shape[2], hu.shape[3])
    lungs = labels > 0
    aerated = torch.clamp((-300 - hu) / 500, 0, 1) * lungs
    hu = hu + aerated * float(rng.normal(15, 50))
    if rng.random() < 0.5:
        hu = hu + smooth_noise(shape, 16, rng) * float(rng.uniform(0, 50))
    tissue = (hu > -10) & (hu < 150) & ~lungs
    hu = torch.where(tissue, hu + torch.abs(smooth_noise(shape, 12, rng)) * float(rng.uniform(0, 120)), hu)
    if rng.random() < 0.4:
        hu = blurred(hu, float(rng.uniform(0.3, 0.9)))
    noise = torch.from_numpy(rng.standard_normal(hu.shape, dtype=np.float32))
    if rng.random() < 0.5:
        noise = 2 * blurred(noise, 0.6)
    return hu + noise * float(rng.uniform(0, 35)) + float(rng.normal(0, 12))


def blurred(volume: torch.Tensor, sigma: float) -> torch.Tensor:
    """A volume ``[c, k, j, i]`` under a Gaussian of ``sigma`` voxels."""
    radius = max(1, round(2.5 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    line = line / line.sum()
    result = volume[:, None]
    for axis in range(3):
        kernel = line.reshape([1, 1, *(len(line) if n == axis else 1 for n in range(3))])
        pad = [0] * 6
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = radius
        result = functional.conv3d(functional.pad(result, pad, mode="replicate"), kernel)
    return result[:, 0]


def doubtful(labels: torch.Tensor, lost: torch.Tensor | None, rng: np.random.Generator) -> torch.Tensor:
    """A coarse network's answer as it may be: shifted, blurred, without part of the dense disease.

    Args:
        labels: lobes ``[1, k, j, i]``, 6 and 7 where only the lung is known.
        lost: lesions on the same points, which a coarse network may take for chest wall.
        rng: the draw.

    Returns:
        Probabilities ``[6, k, j, i]``.
    """
    shape = (labels.shape[1], labels.shape[2], labels.shape[3])
    # Where only the lung is known the network sees the upper and lower lobe equally likely.
    known = [(labels == n).float() for n in range(CLASSES)]
    for lung, lobes in ((6, (1, 2, 3)), (7, (4, 5))):
        whole = (labels == lung).float()
        if whole.any():
            for lobe in lobes:
                known[lobe] = known[lobe] + whole / len(lobes)
    chance = torch.cat(known)
    if lost is not None and rng.random() < 0.5:
        gone = (lost > 0) & (smooth_noise(shape, 14, rng) > 0.2)
        chance = torch.where(gone, torch.zeros_like(chance), chance)
        chance[:1] += gone
    half = [max(2, n // 2) for n in shape]
    small = functional.interpolate(chance[None], size=half, mode="trilinear")[0]
    size = np.array(half, float)
    amount = float(rng.choice([0.3, 0.8, 1.5, 2.5]))
    still = WarpRange(degrees=1.5 * amount, scale=0.0, elastic=amount, control=float(rng.uniform(7, 16)))
    places = draw_warp((half[0], half[1], half[2]), (size - 1) / 2 + rng.normal(0, 0.4 * amount, 3), still, rng)
    moved = pull(small, places.clamp(min=torch.zeros(3), max=torch.tensor(size - 1).float()))
    moved = blurred(moved, float(rng.uniform(0.4, 1.3)))
    sharp = functional.interpolate(moved[None], size=shape, mode="trilinear")[0].clamp(0, 1)
    if rng.random() < 0.5:
        sharp = functional.softmax(torch.log(sharp + 1e-3) * float(rng.uniform(1.0, 2.5)), dim=0)
    return sharp
