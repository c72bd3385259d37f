"""Drop connected pieces of lesion that the networks doubt; beside enough certain disease a doubt weighs less."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

# Log odds of what is dropped, and of slices without lung.
NOWHERE = -6.0
# A piece is dense if more than this share of it is denser than so many HU: consolidation, not dependent density.
_DENSE_SHARE, _DENSE_HU = 0.35, -300


@dataclass(frozen=True)
class PieceLimits:
    """What a connected piece needs to be kept, in log odds.

    Pneumonia seldom comes as one piece: the same faint opacity that is an artefact in a healthy lung is mostly disease
    in a diseased one. And the artefacts that are as large, dependent density above all, are fainter than consolidation.

    Attributes:
        level: a point above it is lesion.
        large: least mean of a large piece.
        small: least mean of a smaller one, in which every point is near the edge.
        core: a point above it counts in the mean; a piece without such points is dropped.
        diseased: milder limits for lungs with disease: share of the lungs from which they hold, by the pieces that
            the others keep, and the least means of large and of smaller pieces; shares ascending.
        dense: least mean of a large piece that is dense; by default ``large`` holds for it.
    """

    level: float
    large: float = -np.inf
    small: float = -np.inf
    core: float = -np.inf
    diseased: tuple[tuple[float, float, float], ...] = ()
    dense: float = np.inf

    @property
    def drop_any(self) -> bool:
        """Whether there can be a piece that does not meet them."""
        return max(self.large, self.small, self.core) > self.level


def drop_doubtful_pieces(
    logits: torch.Tensor, hu: torch.Tensor, lung: torch.Tensor, limits: PieceLimits, large_points: float
) -> None:
    """Drop connected components that are uncertain as a whole.

    Args:
        logits: ``[k, j, i]`` on the CPU, changed in place.
        hu: CT numbers of the same points.
        lung: bool, likewise.
        limits: what is kept.
        large_points: points from which a component is large.
    """
    pieces, count = ndimage.label(((logits > limits.level) & lung).numpy())
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    values = logits.numpy()
    cores = np.where(values > limits.core, pieces, 0).ravel()
    points = np.bincount(cores, minlength=count + 1)
    sums = np.bincount(cores, weights=values.ravel(), minlength=count + 1)
    means = np.where(points > 0, sums / np.maximum(points, 1), -np.inf)
    large = sizes >= large_points
    dense = np.bincount(pieces[(hu > _DENSE_HU).numpy()], minlength=count + 1) > _DENSE_SHARE * sizes
    least = np.where(dense, min(limits.dense, limits.large), limits.large)
    kept = (points > 0) & (means >= np.where(large, least, limits.small))
    kept[0] = True
    certain = sizes[1:][kept[1:]].sum() / max(1, np.count_nonzero(lung))
    for share, large_mean, small_mean in limits.diseased:
        if certain >= share:
            kept |= means >= np.where(large, large_mean, small_mean)
    logits.masked_fill_(torch.from_numpy(~kept[pieces]), NOWHERE)
