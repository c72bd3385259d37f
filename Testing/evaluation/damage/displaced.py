"""Masks in a wrong place or the wrong way round."""

from __future__ import annotations

import numpy as np

from Testing.evaluation.damage.right_masks import Masks, Right, moved


def shifted_side(right: Right, rng: np.random.Generator) -> Masks:
    """Moved to a side by 1 to 3 cm."""
    return moved(right, (0, 0, rng.uniform(10, 30)))


def shifted_back(right: Right, rng: np.random.Generator) -> Masks:
    """Moved to the back by 1 to 3 cm."""
    return moved(right, (0, rng.uniform(10, 30), 0))


def shifted_up(right: Right, rng: np.random.Generator) -> Masks:
    """Moved to the head by 1 to 3 cm."""
    return moved(right, (rng.uniform(10, 30), 0, 0))


def mirrored(right: Right, rng: np.random.Generator) -> Masks:
    """Right and left exchanged."""
    return right.lobes[:, :, ::-1].copy(), right.lesions[:, :, ::-1].copy()


def front_to_back(right: Right, rng: np.random.Generator) -> Masks:
    """Front and back exchanged."""
    return right.lobes[:, ::-1].copy(), right.lesions[:, ::-1].copy()


def upside_down(right: Right, rng: np.random.Generator) -> Masks:
    """Head and feet exchanged."""
    return right.lobes[::-1].copy(), right.lesions[::-1].copy()
