"""Training batches for the lesion networks: slices of chests whose lesions are known because they were simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from monai.transforms import RandAffine
from scipy import ndimage
from torch.nn import functional

from COVIDQuantLib.ct.volume import HU_MIN
from COVIDQuantLib.inference.lesions import PLANES
from COVIDQuantLib.inference.slice_input import window

View = dict[str, np.ndarray]
Batch = tuple[torch.Tensor, torch.Tensor]
WINDOW_HU = (-1350.0, 150.0)
NEIGHBOUR_MM = 5.0
# Pixels of a patch, rows and columns, in each plane.
SHAPES = {"slices": (144, 208), "coronal": (160, 200), "sagittal": (160, 152)}
# Lesions smaller than this weigh more in the loss: a lesion of 0.3 mL as much as one four times as large.
_FULL_ML, _MOST_WEIGHT, _WEIGHT_STEPS = 5.0, 4.0, 32
# Crumbs below this do not.
_LEAST_ML = 0.1
# Random pose of a patch.
_DEGREES, _SCALE, _SHIFT = 12.0, (-0.15, 0.18), 0.06
# Share of slices with a lesion, in chests that have any.
_SICK = 0.6
# Share of slices whose intensities are not changed.
_AS_IT_IS = 0.4
_DENSE_LOST, _DENSE_HU = 0.15, -300
# Axes of a network's input that can run from right to left.
_CHANNELS, _COLUMNS = 1, 3


@dataclass(frozen=True)
class Lesions:
    """The connected lesions of a chest.

    Attributes:
        weight: uint8 ``[k, j, i]``, what a voxel weighs in the loss, in steps of 1/32; 0 outside lesions.
        spans: first slice of each lesion of at least 0.1 mL, and the one after its last.
    """

    weight: np.ndarray
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, lesions: np.ndarray, spacing: np.ndarray) -> Lesions:
        """From a mask ``[k, j, i]`` with the distance of its points along ``k, j, i``, mm."""
        pieces, count = ndimage.label(lesions)
        ml = np.bincount(pieces.ravel(), minlength=count + 1) * float(np.prod(spacing)) / 1000.0
        weights = np.where(ml < _LEAST_ML, 1.0, np.sqrt(_FULL_ML / ml.clip(min=_LEAST_ML)).clip(1.0, _MOST_WEIGHT))
        weights[0] = 0.0
        boxes = enumerate(ndimage.find_objects(pieces), start=1)
        spans = tuple((box[0].start, box[0].stop) for number, box in boxes if ml[number] >= _LEAST_ML)
        return cls((weights * _WEIGHT_STEPS).astype(np.uint8)[pieces], spans)

    def draw_slice(self, rng: np.random.Generator) -> int:
        """A slice through one of the lesions; each of them is as likely."""
        return int(rng.integers(*self.spans[int(rng.integers(len(self.spans)))]))

    def mask_and_weight(self, k: int) -> np.ndarray:
        """A slice's lesions, 0 or 1, and their weights, float32 ``[2, j, i]``."""
        weight = self.weight[k].astype(np.float32)
        return np.stack([weight > 0, weight / _WEIGHT_STEPS]).astype(np.float32)


@dataclass(frozen=True)
class SliceBatches:
    """Slices with random pose and intensity, drawn again each epoch; half of them have lesions.

    A lesion is drawn before the slice, so that a chest's small lesions are seen as often as its large ones, which cross
    far more slices.

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
    _lesions: list[Lesions] = field(init=False, repr=False)
    _lung: list[np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find the lesions and the slices with lung."""
        object.__setattr__(self, "_lesions", [Lesions.of(v["lesions"], v["spacing"]) for v in self.views])
        object.__setattr__(self, "_lung", [np.flatnonzero(v["lobes"].any(axis=(1, 2))) for v in self.views])

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch: input ``[b, channels, j, i]`` 0..1, target ``[b, 2, j, i]``.

        The target's first channel is 1 in lesions, else 0; its second the weight of the pixel in the loss.
        """
        rng = np.random.default_rng([self.seed, epoch])
        chance = None if self.weights is None else np.asarray(self.weights) / np.sum(self.weights)
        for _ in range(self.count):
            chosen = rng.choice(len(self.views), self.size, p=chance)
            pairs = [self._one(int(number), rng) for number in chosen]
            yield torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])

    def _one(self, number: int, rng: np.random.Generator) -> Batch:
        view = self.views[number]
        lesions = self._lesions[number]
        k = lesions.draw_slice(rng) if lesions.spans and rng.random() < _SICK else int(rng.choice(self._lung[number]))
        distance = max(1, round(NEIGHBOUR_MM / float(view["spacing"][0])))
        mirror = bool(rng.random() < 0.5)
        beside = (-distance, 0, distance) if self.channels == 3 else (0,)
        if mirror and PLANES[self.plane].sideways == _CHANNELS:
            beside = beside[::-1]
        rows = [min(max(k + step, 0), len(view["hu"]) - 1) for step in beside]
        hu = torch.from_numpy(view["hu"][rows]).float()
        lungs = torch.from_numpy((view["lobes"][rows] > 0).astype(np.float32))
        lesion = torch.from_numpy(lesions.mask_and_weight(k))
        hu, lungs, lesion = self._posed(hu, lungs, lesion, rng)
        if mirror and PLANES[self.plane].sideways == _COLUMNS:
            hu, lungs, lesion = (image.flip(2) for image in (hu, lungs, lesion))
        if rng.random() < _DENSE_LOST:
            # A lung mask may miss dense disease; the rest must be found nevertheless.
            middle = len(hu) // 2
            gone = (lesion[:1] > 0.5) & (hu[middle : middle + 1] > _DENSE_HU)
            lungs, lesion = torch.where(gone, 0.0, lungs), torch.where(gone, 0.0, lesion)
        lungs = misjudged(lungs, rng)
        inside, weight = (lesion[:1] > 0.5).float(), lesion[1:].clamp(min=1)
        image = window(recoloured(hu, lungs, self._back(hu, rows, view), rng), *WINDOW_HU, lungs > 0.5)
        return image, torch.cat([inside, torch.where(inside > 0, weight, 1.0)])

    def _back(self, hu: torch.Tensor, rows: Sequence[int], view: View) -> torch.Tensor:
        """Position from front to back of the pixels of a patch, 0..1; broadcast against ``[c, rows, columns]``."""
        # The patient's front-to-back axis in a patch: its slices, its rows or its columns.
        axis = PLANES[self.plane].order.index(1)
        along = torch.tensor(rows) / len(view["hu"]) if axis == 0 else torch.linspace(0, 1, hu.shape[axis])
        return along.reshape([-1 if a == axis else 1 for a in range(3)])

    def _posed(
        self, hu: torch.Tensor, lungs: torch.Tensor, lesion: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        shift = [_SHIFT * length for length in hu.shape[1:]]
        pose = RandAffine(
            1.0, np.deg2rad(_DEGREES), None, shift, (_SCALE, _SCALE), SHAPES[self.plane], padding_mode="zeros"
        )
        pose.set_random_state(int(rng.integers(2**32)))
        count = len(hu)
        sampled = pose(torch.cat([hu - HU_MIN, lungs, lesion]), mode="bilinear").as_tensor()
        return sampled[:count] + HU_MIN, sampled[count : 2 * count], sampled[2 * count :]


def misjudged(lungs: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Lungs with the errors of a network: sometimes a pixel or two too wide or too narrow."""
    chance = rng.random()
    if chance < 0.5:
        return lungs
    width = int(rng.integers(1, 3))
    if chance < 0.8:
        return functional.max_pool2d(lungs[None], 2 * width + 1, 1, width)[0]
    return -functional.max_pool2d(-lungs[None], 3, 1, 1)[0]


def recoloured(hu: torch.Tensor, lungs: torch.Tensor, back: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """CT numbers as with another scanner, kernel, dose, inspiration or posture: ``[c, j, i]``.

    Args:
        hu: slices of one patch.
        lungs: 0..1 on the same pixels.
        back: their position from front to back, 0..1; broadcast against ``hu``.
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
    """Dependent density: HU to add, in the shape of the positions from front to back."""
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
