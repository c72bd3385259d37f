"""Training batches for the lesion networks: slices of chests whose lesions are true because they were made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from COVIDQuantLib.inference.lesions import PLANES
from COVIDQuantLib.inference.slice_input import window

View = dict[str, np.ndarray]
Batch = tuple[torch.Tensor, torch.Tensor]
AIR_HU = -1024.0
WINDOW_HU = (-1350.0, 150.0)
NEIGHBOUR_MM = 5.0
# Pixels of a patch, rows and columns, in each plane.
SHAPES = {"slices": (144, 208), "coronal": (160, 200), "sagittal": (160, 152)}
# Share of slices that keep their own colours.
_AS_IT_IS = 0.4
_DENSE_LOST, _DENSE_HU = 0.15, -300
# Axes of a network's input along which right and left may lie.
_CHANNELS, _COLUMNS = 1, 3


@dataclass(frozen=True)
class SliceBatches:
    """Slices in random pose and colour, fresh each epoch; half of them show lesions.

    Attributes:
        views: of :func:`~COVIDQuantLib.training.label_free.subjects.slices_view` or ``coronal_view``.
        channels: 1 for the slice alone, 3 with its neighbours.
        plane: how the views are cut; one of :data:`~COVIDQuantLib.inference.lesions.PLANES`.
        size: slices in a batch.
        count: batches in an epoch.
        seed: of all draws, with the epoch's number.
        weights: how often each view is drawn, relative to the others; all alike by default.
    """

    views: Sequence[View]
    channels: int = 1
    plane: str = "slices"
    size: int = 8
    count: int = 100
    seed: int = 0
    weights: Sequence[float] | None = None
    _sick: list[np.ndarray] = field(init=False, repr=False)
    _lung: list[np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Note which slices show lesions and which show lung."""
        object.__setattr__(self, "_sick", [np.flatnonzero(v["lesions"].any(axis=(1, 2))) for v in self.views])
        object.__setattr__(self, "_lung", [np.flatnonzero(v["lobes"].any(axis=(1, 2))) for v in self.views])

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch: input ``[b, channels, j, i]`` 0..1, lesion ``[b, 1, j, i]`` 0 or 1."""
        rng = np.random.default_rng([self.seed, epoch])
        chance = None if self.weights is None else np.asarray(self.weights) / np.sum(self.weights)
        for _ in range(self.count):
            chosen = rng.choice(len(self.views), self.size, p=chance)
            pairs = [self._one(int(number), rng) for number in chosen]
            yield torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])

    def _one(self, number: int, rng: np.random.Generator) -> Batch:
        view = self.views[number]
        candidates = self._sick[number] if len(self._sick[number]) and rng.random() < 0.6 else self._lung[number]
        k = int(rng.choice(candidates))
        distance = max(1, round(NEIGHBOUR_MM / float(view["spacing"][0])))
        mirror = bool(rng.random() < 0.5)
        beside = (-distance, 0, distance) if self.channels == 3 else (0,)
        if mirror and PLANES[self.plane].sideways == _CHANNELS:
            beside = beside[::-1]
        rows = [min(max(k + step, 0), len(view["hu"]) - 1) for step in beside]
        hu = torch.from_numpy(view["hu"][rows]).float()
        lungs = torch.from_numpy((view["lobes"][rows] > 0).astype(np.float32))
        lesion = torch.from_numpy(view["lesions"][k : k + 1].astype(np.float32))
        across = mirror and PLANES[self.plane].sideways == _COLUMNS
        hu, lungs, lesion = self._posed(hu, lungs, lesion, -1.0 if across else 1.0, rng)
        if rng.random() < _DENSE_LOST:
            # A lung mask may lack dense disease; what is left around it must be found all the same.
            middle = len(hu) // 2
            gone = (lesion > 0.5) & (hu[middle : middle + 1] > _DENSE_HU)
            lungs, lesion = torch.where(gone, 0.0, lungs), torch.where(gone, 0.0, lesion)
        lungs = misjudged(lungs, rng)
        return window(recoloured(hu, lungs, self._back(hu, rows, view), rng), *WINDOW_HU, lungs > 0.5), (
            lesion > 0.5
        ).float()

    def _back(self, hu: torch.Tensor, rows: Sequence[int], view: View) -> torch.Tensor:
        """How far back the pixels of a patch lie, 0..1; goes with ``[c, rows, columns]`` by broadcasting."""
        # Where the patient's front-to-back axis lies in a patch: its slices, its rows or its columns.
        axis = PLANES[self.plane].order.index(1)
        along = torch.tensor(rows) / len(view["hu"]) if axis == 0 else torch.linspace(0, 1, hu.shape[axis])
        return along.reshape([-1 if a == axis else 1 for a in range(3)])

    def _posed(
        self, hu: torch.Tensor, lungs: torch.Tensor, lesion: torch.Tensor, mirror: float, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        height, width = hu.shape[1:]
        angle, scale = np.deg2rad(rng.uniform(-12, 12)), rng.uniform(0.85, 1.18, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag(scale)
        turn = turn @ np.diag([mirror, 1.0])
        # From the patch's pixels to grid_sample's −1..1 over the source.
        rows, columns = SHAPES[self.plane]
        to_pixels = np.diag([columns / 2, rows / 2])
        theta = np.diag([2 / width, 2 / height]) @ turn @ to_pixels
        shift = rng.uniform(-0.12, 0.12, 2)
        matrix = torch.from_numpy(np.concatenate([theta, shift[:, None]], axis=1).astype(np.float32))[None]
        together = torch.cat([hu - AIR_HU, lungs, lesion])[None]
        grid = functional.affine_grid(matrix, [1, len(together[0]), rows, columns], align_corners=False)
        seen = functional.grid_sample(together, grid, align_corners=False)[0]
        count = len(hu)
        return seen[:count] + AIR_HU, seen[count : 2 * count], seen[2 * count :]


def misjudged(lungs: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The lungs as a network may find them: a pixel or two too wide or too narrow, now and then."""
    chance = rng.random()
    if chance < 0.5:
        return lungs
    width = int(rng.integers(1, 3))
    if chance < 0.8:
        return functional.max_pool2d(lungs[None], 2 * width + 1, 1, width)[0]
    return -functional.max_pool2d(-lungs[None], 3, 1, 1)[0]


def recoloured(hu: torch.Tensor, lungs: torch.Tensor, back: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """CT numbers as another scanner, kernel, dose, breath or posture would give them: ``[c, j, i]``.

    Args:
        hu: slices of one patch.
        lungs: 0..1 on the same pixels.
        back: how far back they lie, 0..1; goes with ``hu`` by broadcasting.
        rng: of the draws.
    """
    if rng.random() < _AS_IT_IS:
        return hu + float(rng.normal(0, 5))
    aerated = torch.clamp((-250 - hu) / 500, 0, 1) * lungs
    hu = hu + aerated * float(rng.normal(10, 45))
    if rng.random() < 0.5:
        hu = hu + aerated * _gravity(back, rng)
    if rng.random() < 0.4:
        hu = hu + aerated * _clouds(hu.shape, rng) * float(rng.uniform(5, 30))
    if rng.random() < 0.5:
        hu = _kernel(hu, float(rng.uniform(-0.8, 1.0)))
    noise = torch.from_numpy(rng.standard_normal(hu.shape, dtype=np.float32))
    if rng.random() < 0.6:
        noise = 2.2 * functional.avg_pool2d(noise, 3, 1, 1)
    return hu + noise * float(rng.choice([0, 10, 20, 40]) * rng.random()) + float(rng.normal(0, 10))


def _gravity(back: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Density that gathers at the back: HU to add, shaped as what says how far back a pixel lies."""
    start = float(rng.uniform(0.3, 0.85))
    rise = torch.clamp((back - start) / (1 - start), 0, 1) ** float(rng.uniform(0.7, 2.5))
    return rise * float(rng.uniform(0, 170))


def _clouds(shape: torch.Size, rng: np.random.Generator) -> torch.Tensor:
    points = torch.from_numpy(rng.standard_normal((1, 1, 5, 7)).astype(np.float32))
    clouds: torch.Tensor = functional.interpolate(points, size=shape[1:], mode="bicubic", align_corners=True)[0]
    return clouds


def _kernel(hu: torch.Tensor, softness: float) -> torch.Tensor:
    """Softer for positive, sharper for negative ``softness`` (−1..1)."""
    soft = functional.avg_pool2d(functional.pad(hu[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    return hu + softness * (soft - hu)
