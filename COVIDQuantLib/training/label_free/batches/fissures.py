"""Training batches for the fissure network: patches at 2 mm, with the borders between lobes as targets.

A network that is given the coarse lobes relies on them even where they are wrong; this one is given the CT alone, so
that it has to find the fissures themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from COVIDQuantLib.anatomy import FISSURES, HORIZONTAL, OBLIQUE
from COVIDQuantLib.inference.lobes import FISSURE_CLASS, lobes_window
from COVIDQuantLib.training.label_free.batches.lobes import Batch, HardPoints, PatchBatches, View, blanked, recoloured

# The network's classes: none, and these kinds of fissure.
CLASSES = 1 + len(FISSURE_CLASS)
# Lobes on either side of each kind.
_PARTED = {
    number: [pair for fissure in FISSURES if fissure.kind == kind for pair in fissure.pairs]
    for kind, number in FISSURE_CLASS.items()
}
# Shares of the patches centred on any fissure, and on the horizontal one, which is small; every n-th point is kept.
_AT, _FEW = {FISSURE_CLASS[OBLIQUE]: 0.4, FISSURE_CLASS[HORIZONTAL]: 0.35}, 7
# Weights of the cross-entropy: nearly all points are background.
CLASS_WEIGHTS = (0.5, 2.0, 2.5)


def fissure_labels(lobes: torch.Tensor) -> torch.Tensor:
    """Points at the border of two lobes of a lung, two points thick.

    Args:
        lobes: label values ``[k, j, i]``; those of unknown lobe have no border.

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
class FissureBatches(PatchBatches):
    """Patches, most of them at a fissure; inputs and targets have one channel."""

    def _hard(self, view: View) -> HardPoints:
        kinds = fissure_labels(torch.from_numpy(view["lobes"])).numpy()
        return tuple((share, np.argwhere(kinds == kind)[::_FEW]) for kind, share in _AT.items())

    def _shown(
        self, view: View, places: torch.Tensor, sampled: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator
    ) -> Batch:
        return lobes_window(blanked(recoloured(sampled, labels, rng), view, places, rng)), fissure_labels(labels[0])[
            None
        ]
