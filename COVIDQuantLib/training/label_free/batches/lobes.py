"""Training batches for the lobes networks: chests at 5 mm, and patches at 2 mm with an imperfect coarse result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from COVIDQuantLib.ct.volume import HU_MIN
from COVIDQuantLib.inference.lobes import CLASSES, SOFT_WINDOW_HU, coarse_input, lobes_window
from COVIDQuantLib.simulation.fields.deformation import WarpRange, draw_warp, pull, smooth_noise
from COVIDQuantLib.simulation.lesions.training_consolidation import add_dense
from COVIDQuantLib.training.label_free.loss import LOBES_OF
from COVIDQuantLib.training.label_free.subjects import FINE_MM, LEFT_LUNG, RIGHT_LUNG, UNKNOWN, plain_labels

View = dict[str, np.ndarray]
Batch = tuple[torch.Tensor, torch.Tensor]
HardPoints = tuple[tuple[float, np.ndarray], ...]
# Disease denser than this is easily mistaken for chest wall.
DENSE_HU = -350
# What it weighs more than the rest, and the wall beside it, into which lungs would leak otherwise; points to that wall.
_FINE_DENSE, _COARSE_DENSE = (8, 3, 5), (3, 2, 2)
# What a dilated aorta weighs, which looks like consolidation beside the mediastinum.
_AORTA = 7
# Shares of the patches centred on dense disease, at fissures and at the lungs' edge; every n-th such point is kept.
_AT, _FEW = (0.35, 0.3, 0.2), 7
# The second window of a coarse network by its channels.
SOFT_WINDOW_OF = {1: None, 2: SOFT_WINDOW_HU}
# Share of the chests whose surroundings are blanked as in use, and how often that is done badly.
_BLANKED, _BADLY, _BLANK_HU = 0.5, 0.3, -1000.0
# Share of the chests whose dense disease takes up contrast medium.
_ENHANCED = 0.5
# Share of the coarse results with lung where there is none.
_LEAKING = 0.4
# Share of the patches that get additional dense disease, drawn again in every epoch.
_SICKER = 0.5
# Share of the chests with left and right exchanged, and what each label then is: a lung of unknown lobes.
_MIRRORED = 0.15
_OTHER_SIDE = torch.tensor([0, *3 * (LEFT_LUNG,), *2 * (RIGHT_LUNG,), LEFT_LUNG, RIGHT_LUNG, UNKNOWN])
# Share of the patches whose coarse result has no information on the lobes.
_BLIND = 0.1
COARSE_WARP = WarpRange(degrees=8, scale=0.14, elastic=1.4, control=11)
FINE_WARP = WarpRange(degrees=8, scale=0.12, elastic=2.2, control=22)


@dataclass(frozen=True)
class CoarseBatches:
    """Chests at 5 mm in random pose, drawn again each epoch.

    Attributes:
        views: of :func:`~COVIDQuantLib.training.label_free.subjects.coarse_view`.
        shape: points ``[k, j, i]`` given to the network; a third of the batches see only part of the height.
        size: chests in a batch.
        count: batches in an epoch.
        seed: of all draws, with the epoch's number.
        channels: 1 for the CT alone, 2 with the soft tissues' window beside it.
    """

    views: Sequence[View]
    shape: tuple[int, int, int] = (64, 64, 88)
    size: int = 2
    count: int = 100
    seed: int = 0
    channels: int = 1

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch: input float ``[b, channels, k, j, i]``, labels and weights int64 ``[b, 2, …]``."""
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
        slack = np.maximum((size - np.array(shape)) / 2, (4.0, 5.0, 6.0))
        places = draw_warp(shape, (size - 1) / 2 + rng.uniform(-1, 1, 3) * slack, COARSE_WARP, rng)
        sampled, labels = _pulled(hu, lobes, places, mirrored=rng.random() < _MIRRORED)
        weights = _weights(sampled, labels, _mask(view, "lesions", places), _COARSE_DENSE)
        aorta = _mask(view, "aorta", places)
        if aorta is not None:
            weights = torch.where((aorta > 0) & (labels == 0), _AORTA, weights)
        shown = blanked(recoloured(sampled, labels, rng), view, places, rng)[0]
        image = coarse_input(shown, soft_window_hu=SOFT_WINDOW_OF[self.channels])
        return image, torch.cat([labels, weights]).long()


@dataclass(frozen=True)
class DrawnPatches(ABC):
    """Patches in random pose, drawn again each epoch.

    Attributes:
        views: of the chests.
        shape: points ``[k, j, i]`` of a patch.
        size: patches in a batch.
        count: batches in an epoch.
        seed: of all draws, with the epoch's number.
    """

    views: Sequence[View]
    shape: tuple[int, int, int] = (64, 64, 64)
    size: int = 2
    count: int = 100
    seed: int = 0

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch: inputs and targets, both ``[b, c, k, j, i]``."""
        rng = np.random.default_rng([self.seed, epoch])
        for _ in range(self.count):
            pairs = [self._one(rng) for _ in range(self.size)]
            yield torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])

    @abstractmethod
    def _one(self, rng: np.random.Generator) -> Batch:
        """Input and target of a patch."""


@dataclass(frozen=True)
class PatchBatches(DrawnPatches):
    """Patches at 2 mm, many of them centred on difficult points; inputs float, targets int64.

    The views are of :func:`~COVIDQuantLib.training.label_free.subjects.fine_view`.
    """

    _mirrored: ClassVar[float] = 0.0

    def _one(self, rng: np.random.Generator) -> Batch:
        number = int(rng.integers(len(self.views)))
        view = self.views[number]
        hu, lobes = (torch.from_numpy(view[name])[None].float() for name in ("hu", "lobes"))
        size = np.array(hu.shape[1:], float)
        reach = np.maximum((size - np.array(self.shape)) / 2 + 4, 2)
        centre = (size - 1) / 2 + rng.uniform(-1, 1, 3) * reach
        wanted = rng.random()
        if number not in self._found:
            self._found[number] = self._hard(view)
        for share, points in self._found[number]:
            if 0 <= wanted < share and len(points):
                centre = points[rng.integers(len(points))] + rng.normal(0, 10, 3)
            wanted -= share
        places = draw_warp(self.shape, centre, FINE_WARP, rng)
        sampled, labels = _pulled(hu, lobes, places, mirrored=rng.random() < self._mirrored)
        return self._shown(view, places, sampled, labels, rng)

    @cached_property
    def _found(self) -> dict[int, HardPoints]:
        return {}

    @abstractmethod
    def _hard(self, view: View) -> HardPoints:
        """Shares of the patches, and the points of a chest that they are centred on."""

    @abstractmethod
    def _shown(
        self, view: View, places: torch.Tensor, sampled: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator
    ) -> Batch:
        """Input and target of a patch, from its places in the view and the CT and lobes sampled there."""


@dataclass(frozen=True)
class FineBatches(PatchBatches):
    """Patches with a coarse result that has the errors of a coarse network.

    Inputs have 7 channels, the CT and the coarse result; targets 2, labels and weights.
    """

    _mirrored: ClassVar[float] = _MIRRORED

    def _hard(self, view: View) -> HardPoints:
        none = np.zeros(view["hu"].shape, bool)
        dense = view.get("lesions", none) & (view["hu"] > DENSE_HU)
        lungs = view["lobes"] > 0
        edge = lungs & ~ndimage.binary_erosion(lungs, border_value=1)
        hard = (dense, _fissures(view["lobes"]), edge)
        return tuple((share, np.argwhere(p)[::_FEW]) for share, p in zip(_AT, hard, strict=True))

    def _shown(
        self, view: View, places: torch.Tensor, sampled: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator
    ) -> Batch:
        lost = _mask(view, "lesions", places)
        if rng.random() < _SICKER:
            sampled, lost = _sicker(sampled, labels, lost, rng)
        weights = _weights(sampled, labels, lost, _FINE_DENSE)
        image = lobes_window(blanked(recoloured(sampled, labels, rng), view, places, rng))
        return torch.cat([image, doubtful(labels, lost, rng)]), torch.cat([labels, weights]).long()


def _pulled(
    hu: torch.Tensor, lobes: torch.Tensor, places: torch.Tensor, *, mirrored: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """CT and labels sampled at the places; if left and right are exchanged, the places are changed in place."""
    if mirrored:
        places[..., 2] = hu.shape[3] - 1 - places[..., 2]
    labels = pull(lobes, places, nearest=True)
    return pull(hu, places, outside=HU_MIN), _OTHER_SIDE[labels.long()].float() if mirrored else labels


def _mask(view: View, name: str, places: torch.Tensor) -> torch.Tensor | None:
    """One of the view's masks at the places, ``[1, k, j, i]``; None if it is missing or empty."""
    if name not in view or not view[name].any():
        return None
    return pull(torch.from_numpy(view[name])[None].float(), places, nearest=True)


def _weights(
    sampled: torch.Tensor, labels: torch.Tensor, lesions: torch.Tensor | None, more: tuple[int, int, int]
) -> torch.Tensor:
    """Weights in the loss, ``[1, k, j, i]``: dense disease is a small part of the lungs and looks like the wall.

    Args:
        sampled: CT numbers.
        labels: lobes.
        lesions: above 0 in them; None without.
        more: weight of dense disease and of dense tissue beside it above 1, and how many points away that may be.
    """
    weights = torch.ones_like(labels)
    if lesions is None:
        return weights
    solid = sampled > DENSE_HU
    dense = (lesions > 0) & solid
    near = _greatest_near(dense.float(), more[2]) > 0
    return weights + more[0] * dense + more[1] * (near & (labels == 0) & solid)


def _sicker(
    sampled: torch.Tensor, labels: torch.Tensor, lost: torch.Tensor | None, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A patch ``[1, k, j, i]`` and its lesions with dense disease added."""
    made = add_dense(sampled[0].numpy(), plain_labels(labels[0].numpy()), (FINE_MM,) * 3, rng, effusion=0.0)
    disease = torch.from_numpy(made.disease)[None].float()
    return torch.from_numpy(made.hu)[None], disease if lost is None else torch.maximum(lost, disease)


def _fissures(lobes: np.ndarray) -> np.ndarray:
    """Points whose next one belongs to another lobe, bool ``[k, j, i]``."""
    lobes = np.where(lobes < CLASSES, lobes, 0)
    result = np.zeros(lobes.shape, bool)
    for axis in range(3):
        here, there = (np.moveaxis(lobes, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
        np.moveaxis(result, axis, 0)[:-1] |= (here != there) & (here > 0) & (there > 0)
    return result


def recoloured(hu: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """CT numbers as with another scanner, inspiration or contrast medium.

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
    if rng.random() < _ENHANCED:
        # Consolidation takes up contrast medium too, or whatever is bright would never be lung.
        solid = (hu > -150) & (hu < 150) & lungs
        hu = torch.where(solid, hu + torch.abs(smooth_noise(shape, 12, rng)) * float(rng.uniform(0, 120)), hu)
    if rng.random() < 0.4:
        hu = blurred(hu, float(rng.uniform(0.3, 0.9)))
    noise = torch.from_numpy(rng.standard_normal(hu.shape, dtype=np.float32))
    if rng.random() < 0.5:
        noise = 2 * blurred(noise, 0.6)
    return hu + noise * float(rng.uniform(0, 35)) + float(rng.normal(0, 12))


def blanked(hu: torch.Tensor, view: View, places: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """CT numbers ``[1, k, j, i]``, in half of the draws with air outside the patient, sometimes imperfectly."""
    if "body" not in view or rng.random() > _BLANKED:
        return hu
    body = pull(torch.from_numpy(view["body"])[None].float(), places)
    cut = 0.5
    if rng.random() < _BADLY:
        # In some places a rim of the surroundings stays, or some skin is removed.
        shape = (hu.shape[1], hu.shape[2], hu.shape[3])
        body = blurred(body, float(rng.uniform(0.8, 2.5))) + 0.15 * smooth_noise(shape, 10, rng)
        cut = float(rng.uniform(0.15, 0.6))
    return torch.where(body > cut, hu, _BLANK_HU)


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
    """A simulated coarse result: lungs about right except at dense disease, lobes only roughly in place.

    Args:
        labels: lobes ``[1, k, j, i]``, 6 and 7 where only the lung is known.
        lost: lesions on the same points, which a coarse network may mistake for chest wall.
        rng: the draw.

    Returns:
        Probabilities ``[6, k, j, i]``.
    """
    shape = (labels.shape[1], labels.shape[2], labels.shape[3])
    whole = torch.cat([(labels == n).float() for n in range(CLASSES)])
    for lung, lobes in LOBES_OF.items():
        # Where only the lung is known, its lobes are equally likely.
        whole[list(lobes)] += (labels[0] == lung) / len(lobes)
    whole[0] += labels[0] >= UNKNOWN
    small = functional.avg_pool3d(whole, 2, ceil_mode=True)
    partial = small
    if lost is not None and rng.random() < 0.5:
        gone = functional.avg_pool3d(((lost > 0) & (smooth_noise(shape, 14, rng) > 0.2)).float(), 2, ceil_mode=True)
        partial = small * (1 - gone)
        partial[:1] += gone
    if rng.random() < _LEAKING:
        partial = _leaking(partial, rng)
    lungs = _displaced(partial, float(rng.choice([0.3, 0.8, 1.5])), rng)
    # Coarse lobes are wrong by far more than coarse lungs are.
    lobes = _displaced(small, float(rng.choice([0.3, 0.8, 1.5, 3.0, 5.0, 7.0])), rng)
    sampled = lungs.clone()
    blind = rng.random() < _BLIND
    for members in LOBES_OF.values():
        of_lung = list(members)
        near = lobes[of_lung]
        near = near + 0.05 * blurred(near, 2.0) + 0.001 * blurred(near, 6.0) + 1e-6
        if blind:
            near = torch.ones_like(near)
        sampled[of_lung] = near / near.sum(dim=0) * lungs[of_lung].sum(dim=0)
    sharp = functional.interpolate(sampled[None], size=shape, mode="trilinear")[0].clamp(0, 1)
    if rng.random() < 0.5:
        sharp = functional.softmax(torch.log(sharp + 1e-3) * float(rng.uniform(1.0, 2.5)), dim=0)
    return sharp


def _leaking(small: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Probabilities ``[6, k, j, i]`` with lung leaking into its surroundings in some places."""
    reach = int(rng.integers(1, 6))
    near = _greatest_near(small[1:], reach)
    shape = (small.shape[1], small.shape[2], small.shape[3])
    gain = ((smooth_noise(shape, float(rng.uniform(5, 10)), rng) - 0.9) * 3).clamp(0, 1) * float(rng.uniform(0.4, 1.0))
    leaked = near * (small[:1] * gain) / near.sum(dim=0, keepdim=True).clamp(min=1e-6)
    leaked = leaked * (near.sum(dim=0, keepdim=True) > 0.1)
    return torch.cat([small[:1] - leaked.sum(dim=0, keepdim=True), small[1:] + leaked])


def _greatest_near(volume: torch.Tensor, reach: int) -> torch.Tensor:
    """The greatest value up to ``reach`` points away along each axis, of ``[c, k, j, i]``."""
    result = volume[None]
    # Separable: one axis at a time gives the same result far faster.
    for axis in range(3):
        kernel, pad = (
            [one if n == axis else other for n in range(3)] for one, other in ((2 * reach + 1, 1), (reach, 0))
        )
        result = functional.max_pool3d(result, kernel, 1, pad)
    return result[0]


def _displaced(small: torch.Tensor, amount: float, rng: np.random.Generator) -> torch.Tensor:
    """Probabilities ``[6, k, j, i]`` bent by ``amount`` points and blurred."""
    shape = (small.shape[1], small.shape[2], small.shape[3])
    size = np.array(shape, float)
    still = WarpRange(degrees=1.5 * amount, scale=0.0, elastic=amount, control=float(rng.uniform(7, 16)))
    places = draw_warp(shape, (size - 1) / 2 + rng.normal(0, 0.4 * amount, 3), still, rng)
    moved = pull(small, places.clamp(min=torch.zeros(3), max=torch.tensor(size - 1).float()))
    return blurred(moved, float(rng.uniform(0.4, 1.3)))
