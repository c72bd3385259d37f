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
from COVIDQuantLib.training.label_free.subjects import FALSE, MISSED, UNSEEN

View = dict[str, np.ndarray]
Batch = tuple[torch.Tensor, torch.Tensor]
WINDOW_HU = (-1350.0, 150.0)
NEIGHBOUR_MM = 5.0
# Pixels of a patch, rows and columns, in each plane.
SHAPES = {"slices": (144, 208), "coronal": (160, 200), "sagittal": (160, 152)}
# Lesions smaller than this weigh more in the loss: a lesion of 0.3 mL as much as one four times as large.
_FULL_ML, _MOST_WEIGHT, WEIGHT_STEPS = 5.0, 4.0, 32
# Crumbs below this do not.
_LEAST_ML = 0.1
# Hard examples: how much more a missed lesion weighs, the most that the steps can hold, how much more often it is
# drawn; what something taken for a lesion weighs, and its share of the slices that are not chosen for a lesion.
_MISSED_WEIGHT, _LIMIT, _MISSED_DRAWS = 2.0, 7.5, 4.0
_FALSE_WEIGHT, _FALSE_SHARE = 3, 0.5
# Random pose of a patch.
_DEGREES, _SCALE, _SHIFT = 12.0, (-0.15, 0.18), 0.06
# Share of slices with a lesion, in chests that have any.
_SICK = 0.6
# Share of slices whose intensities are not changed.
_AS_IT_IS = 0.4
_DENSE_LOST, _DENSE_HU = 0.15, -300
# Mask and weights of healthy lung.
_HEALTHY = [[[0.0]], [[0.0]], [[1.0]]]
# Axes of a network's input that can run from right to left.
_CHANNELS, _COLUMNS = 1, 3


@dataclass(frozen=True)
class Lesions:
    """The connected lesions of a chest, and what is taken for some.

    Attributes:
        weight: uint8 ``[k, j, i]``, what a voxel weighs in the loss, in steps of 1/32; 0 outside visible lesions.
        rest: uint8 ``[k, j, i]``, what it weighs outside them: 1, 0 in lesions too faint to see, 3 in false ones.
        spans: first slice of each lesion of at least 0.1 mL, and the one after its last.
        draws: how often each of them is looked for, relative to the others.
        false_spans: the same slices of what is taken for lesions.
    """

    weight: np.ndarray
    rest: np.ndarray
    spans: tuple[tuple[int, int], ...]
    draws: tuple[float, ...]
    false_spans: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, lesions: np.ndarray, spacing: np.ndarray, hard: np.ndarray | None = None) -> Lesions:
        """From a mask ``[k, j, i]`` with the distance of its points along ``k, j, i``, mm, and the hard examples."""
        marks = np.zeros(lesions.shape, np.uint8) if hard is None else hard
        seen = lesions & (marks != UNSEEN)
        pieces, count = ndimage.label(seen)
        ml = np.bincount(pieces.ravel(), minlength=count + 1) * float(np.prod(spacing)) / 1000.0
        missed = np.bincount(pieces[marks == MISSED], minlength=count + 1) > 0
        weights = np.where(ml < _LEAST_ML, 1.0, np.sqrt(_FULL_ML / ml.clip(min=_LEAST_ML)).clip(1.0, _MOST_WEIGHT))
        weights = np.where(missed, _MISSED_WEIGHT * weights, weights).clip(max=_LIMIT)
        weights[0] = 0.0
        boxes = ndimage.find_objects(pieces)
        large = [number for number in range(1, count + 1) if ml[number] >= _LEAST_ML]
        rest = np.where(marks == FALSE, _FALSE_WEIGHT, np.where(lesions & ~seen, 0, 1)).astype(np.uint8)
        false = ndimage.find_objects(ndimage.label(marks == FALSE)[0])
        return cls(
            (weights * WEIGHT_STEPS).astype(np.uint8)[pieces],
            rest,
            tuple((boxes[number - 1][0].start, boxes[number - 1][0].stop) for number in large),
            tuple(_MISSED_DRAWS if missed[number] else 1.0 for number in large),
            tuple((box[0].start, box[0].stop) for box in false),
        )

    def draw_slice(self, rng: np.random.Generator) -> int:
        """A slice through one of the lesions; each of them is as likely, those that are missed more so."""
        chance = np.asarray(self.draws) / np.sum(self.draws)
        return int(rng.integers(*self.spans[int(rng.choice(len(self.spans), p=chance))]))

    def draw_false_slice(self, rng: np.random.Generator) -> int:
        """A slice through something that is taken for a lesion."""
        return int(rng.integers(*self.false_spans[int(rng.integers(len(self.false_spans)))]))

    def mask_and_weights(self, k: int) -> np.ndarray:
        """A slice's lesions, 0 or 1, their weights, and those of the rest, float32 ``[3, j, i]``."""
        weight = self.weight[k].astype(np.float32)
        return np.stack([weight > 0, weight / WEIGHT_STEPS, self.rest[k]]).astype(np.float32)


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
        made = [Lesions.of(v["lesions"], v["spacing"], v.get("hard")) for v in self.views]
        object.__setattr__(self, "_lesions", made)
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
        k = self._drawn(number, rng)
        distance = max(1, round(NEIGHBOUR_MM / float(view["spacing"][0])))
        mirror = bool(rng.random() < 0.5)
        beside = (-distance, 0, distance) if self.channels == 3 else (0,)
        if mirror and PLANES[self.plane].sideways == _CHANNELS:
            beside = beside[::-1]
        rows = [min(max(k + step, 0), len(view["hu"]) - 1) for step in beside]
        hu = torch.from_numpy(view["hu"][rows]).float()
        lungs = torch.from_numpy((view["lobes"][rows] > 0).astype(np.float32))
        lesion = torch.from_numpy(lesions.mask_and_weights(k))
        hu, lungs, lesion = self._posed(hu, lungs, lesion, rng)
        if mirror and PLANES[self.plane].sideways == _COLUMNS:
            hu, lungs, lesion = (image.flip(2) for image in (hu, lungs, lesion))
        if rng.random() < _DENSE_LOST:
            # A lung mask may miss dense disease; the rest must be found nevertheless.
            middle = len(hu) // 2
            gone = (lesion[:1] > 0.5) & (hu[middle : middle + 1] > _DENSE_HU)
            lungs, lesion = torch.where(gone, 0.0, lungs), torch.where(gone, torch.tensor(_HEALTHY), lesion)
        inside = lesion[:1] > 0.5
        # Where the pose shows nothing of the chest, weights were padded with 0.
        rest = torch.where(lungs[len(lungs) // 2][None] > 0.5, lesion[2:], 1.0)
        weight = torch.where(inside, lesion[1:2].clamp(min=1), rest)
        lungs = misjudged(lungs, rng)
        image = window(recoloured(hu, lungs, self._back(hu, rows, view), rng), *WINDOW_HU, lungs > 0.5)
        return image, torch.cat([inside.float(), weight])

    def _drawn(self, number: int, rng: np.random.Generator) -> int:
        """The slice of a chest to show."""
        lesions = self._lesions[number]
        if lesions.spans and rng.random() < _SICK:
            return lesions.draw_slice(rng)
        if lesions.false_spans and rng.random() < _FALSE_SHARE:
            return lesions.draw_false_slice(rng)
        return int(rng.choice(self._lung[number]))

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
