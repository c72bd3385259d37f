"""Slices as training samples: all with disease, and as many without, drawn anew each epoch (papers.md, row Y1)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data.dataloader import DataLoader
from monai.data.dataset import Dataset
from monai.data.utils import pad_list_data_collate
from monai.transforms.compose import Compose
from monai.transforms.transform import Transform
from monai.transforms.utility.dictionary import EnsureTyped, SelectItemsd
from torch.utils.data import Sampler

from COVIDQuantLib.inference.slice_input import window
from COVIDQuantLib.training.augment import IMAGE, LUNGS, TARGET, build_augmentations
from COVIDQuantLib.training.recipe import Recipe
from COVIDQuantLib.training.site.prepare import CaseStore, slice_neighbours


@dataclass(frozen=True)
class Reference:
    """A slice of a prepared case, both by number (no tuple: MONAI maps transforms over tuples)."""

    case: int
    k: int


class TakeSlice(Transform):
    """From a reference to the slice with its neighbours as channels, windowed, and its target.

    Args:
        store: the prepared cases.
        window_hu: HU that become 0 and 1.
    """

    def __init__(self, store: CaseStore, window_hu: Sequence[float]) -> None:
        self._store, self._window = store, (window_hu[0], window_hu[1])
        self._rows: dict[int, torch.Tensor] = {}

    def __call__(self, reference: Reference) -> dict[str, torch.Tensor]:
        """``image`` float32 ``[c, j, i]`` 0..1, ``target`` float32 ``[1, j, i]``, ``lungs`` uint8 ``[c, j, i]``."""
        item = self._store[reference.case]
        if reference.case not in self._rows:
            self._rows[reference.case] = slice_neighbours(item, self._store.preparation)
        rows = self._rows[reference.case][reference.k]
        return {
            IMAGE: window(item["hu"][rows], *self._window),
            TARGET: item["target"][reference.k][None].float(),
            LUNGS: item["lungs"][rows],
        }


def used_slices(store: CaseStore, number: int, which: str) -> np.ndarray:
    """Numbers of a prepared case's slices that are used: ``with-lungs`` or ``all``."""
    lungs = store[number]["lungs"]
    return np.arange(len(lungs)) if which == "all" else np.flatnonzero(lungs.flatten(1).any(dim=1).numpy())


@dataclass
class SliceSampler(Sampler[int]):
    """Every positive and so many negatives, drawn anew and shuffled each epoch.

    Attributes:
        positive: whether each slice of the data set holds target.
        negatives_per_positive: None for every negative.
        seed: of the draws, with the epoch's number.
        epoch: whose draw it gives.
    """

    positive: np.ndarray
    negatives_per_positive: float | None
    seed: int
    epoch: int = 0

    @property
    def negatives(self) -> int:
        """Negatives in an epoch: never more than there are."""
        there = int(np.count_nonzero(~self.positive))
        if self.negatives_per_positive is None:
            return there
        return min(there, round(self.negatives_per_positive * int(np.count_nonzero(self.positive))))

    def __len__(self) -> int:
        return int(np.count_nonzero(self.positive)) + self.negatives

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        drawn = rng.choice(np.flatnonzero(~self.positive), self.negatives, replace=False)
        yield from rng.permutation(np.concatenate([np.flatnonzero(self.positive), drawn])).tolist()


class SliceBatches:
    """The batches of an epoch, for :func:`~COVIDQuantLib.training.engine.fit`.

    Args:
        store: the prepared cases to train on.
        recipe: how.
        pin: keep batches where a GPU fetches them quickly.
    """

    def __init__(self, store: CaseStore, recipe: Recipe, *, pin: bool = False) -> None:
        data, training = recipe["data"], recipe["training"]
        self.references = [
            Reference(number, int(k))
            for number in range(len(store))
            for k in used_slices(store, number, data["slices"])
        ]
        targets = [store[number]["target"].flatten(1).any(dim=1) for number in range(len(store))]
        positive = np.array([bool(targets[r.case][r.k]) for r in self.references], bool)
        self.sampler = SliceSampler(positive, data["negatives_per_positive"], training["seed"])
        self._transform = Compose(
            [
                TakeSlice(store, recipe["input"]["window_hu"]),
                *build_augmentations(recipe["augment"], masked=recipe.masked),
                SelectItemsd((IMAGE, TARGET)),
                EnsureTyped((IMAGE, TARGET), track_meta=False),
            ]
        )
        self._loader = DataLoader(
            Dataset(self.references, self._transform),
            batch_size=training["batch_size"],
            sampler=self.sampler,
            num_workers=training["workers"],
            collate_fn=pad_list_data_collate,
            pin_memory=pin,
        )
        self._seed = training["seed"]

    def __call__(self, epoch: int) -> _Epoch:
        """The batches of an epoch: ``(image [n, c, j, i], target [n, 1, j, i])``."""
        self.sampler.epoch = epoch
        # Without workers the transforms' own generators run on; an epoch's draws must not depend on those before it.
        self._transform.set_random_state(seed=zlib.crc32(f"{self._seed} {epoch}".encode()))
        return _Epoch(self._loader)


@dataclass(frozen=True)
class _Epoch:
    loader: DataLoader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in self.loader:
            yield batch[IMAGE], batch[TARGET]
