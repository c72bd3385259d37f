"""Training batches for the network of the fissures: patches at 2 mm, and where one lobe ends and the next begins.

A network that is given the coarse lobes trusts them, however far off; this one sees the CT alone, so that it must look
for the fissures themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from COVIDQuantLib.inference.lobes import lobes_window
from COVIDQuantLib.training.label_free_lobes import AIR_HU, FINE_WARP, Batch, View, recoloured
from COVIDQuantLib.training.label_free_warp import draw_warp, pull

OBLIQUE, HORIZONTAL = 1, 2
CLASSES = 3
# Lobes on either side of each kind.
_PARTED = {OBLIQUE: ((1, 3), (2, 3), (4, 5)), HORIZONTAL: ((1, 2),)}
# Shares of the patches laid at any fissure, and at the horizontal one, which is small; every n-th point is kept.
_AT, _FEW = {OBLIQUE: 0.4, HORIZONTAL: 0.35}, 7
# Weights of the cross-entropy: nearly all points are none.
CLASS_WEIGHTS = (0.5, 2.0, 2.5)


def fissure_labels(lobes: torch.Tensor) -> torch.Tensor:
    """Points at the border of two lobes of a lung, two points thick.

    Args:
        lobes: label values ``[k, j, i]``; those of unknown lobe border on nothing.

    Returns:
        int64 ``[k, j, i]``, 0 none, 1 oblique, 2 horizontal fissure.
    """
    result = torch.zeros(lobes.shape, dtype=torch.long)
    for axis, count in enumerate(lobes.shape):
        low, high = lobes.narrow(axis, 0, count - 1), lobes.narrow(axis, 1, count - 1)
        for kind, pairs in _PARTED.items():
            meets = torch.zeros(low.shape, dtype=torch.bool)
            for a, b in pairs:
                meets |= ((low == a) & (high == b)) | ((low == b) & (high == a))
            for start in (0, 1):
                side = result.narrow(axis, start, count - 1)
                side[meets] = side[meets].clamp(min=kind)
    return result


@dataclass(frozen=True)
class FissureBatches:
    """Patches in random pose and colour, most of them at a fissure.

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
        """The batches of an epoch: input float ``[b, 1, k, j, i]``, labels int64 ``[b, 1, k, j, i]``."""
        rng = np.random.default_rng([self.seed, epoch])
        for _ in range(self.count):
            pairs = [self._one(rng) for _ in range(self.size)]
            yield torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])

    def _one(self, rng: np.random.Generator) -> Batch:
        number = int(rng.integers(len(self.views)))
        hu, lobes = (torch.from_numpy(self.views[number][name])[None].float() for name in ("hu", "lobes"))
        size = np.array(hu.shape[1:], float)
        reach = np.maximum((size - np.array(self.shape)) / 2 + 4, 2)
        centre = (size - 1) / 2 + rng.uniform(-1, 1, 3) * reach
        wanted = rng.random()
        for kind, share in _AT.items():
            points = self._points(number)[kind]
            if 0 <= wanted < share and len(points):
                centre = points[rng.integers(len(points))] + rng.normal(0, 10, 3)
            wanted -= share
        places = draw_warp(self.shape, centre, FINE_WARP, rng)
        seen = pull(hu, places, outside=AIR_HU)
        labels = pull(lobes, places, nearest=True)
        return lobes_window(recoloured(seen, labels, rng)), fissure_labels(labels[0])[None]

    def _points(self, number: int) -> dict[int, np.ndarray]:
        """Points at the fissures of a chest, by kind."""
        if number not in self._found:
            kinds = fissure_labels(torch.from_numpy(self.views[number]["lobes"])).numpy()
            self._found[number] = {kind: np.argwhere(kinds == kind)[::_FEW] for kind in _PARTED}
        return self._found[number]

    @cached_property
    def _found(self) -> dict[int, dict[int, np.ndarray]]:
        return {}
