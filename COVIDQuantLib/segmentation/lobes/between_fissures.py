"""Which lobe a place belongs to, from the fissures that it lies above."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from COVIDQuantLib.anatomy import FISSURES, Fissure, labels_of_side


def fissures_of_side(side: str) -> list[Fissure]:
    """The fissures of the ``right`` or ``left`` lung; one that ends at another comes after it."""
    return sorted((fissure for fissure in FISSURES if fissure.side == side), key=lambda fissure: bool(fissure.ends_at))


def labels_between(side: str, above: Mapping[str, np.ndarray]) -> np.ndarray:
    """Lobe labels (uint8) of places in one lung.

    Args:
        side: ``right`` or ``left``.
        above: by fissure of that lung, which places lie above it, bool of any one shape.

    Raises:
        ValueError: no fissure of that lung is given.
    """
    known = [fissure for fissure in fissures_of_side(side) if fissure.name in above]
    if not known:
        raise ValueError(f"no fissure of the {side} lung is given")
    labels = np.full(above[known[0].name].shape, labels_of_side(side)[0], np.uint8)
    for fissure in known:
        beneath = ~above[fissure.name]
        for upper in fissure.above:
            labels[beneath & (labels == upper)] = fissure.below[0]
    return labels


def shares_between(side: str, above: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
    """By lobe how far places of one lung belong to it, 0..1.

    Args:
        side: ``right`` or ``left``.
        above: by fissure of that lung, how far places lie above it, 0..1; every fissure.
    """
    shares: dict[int, np.ndarray] = {}
    for fissure in fissures_of_side(side):
        own = shares.get(fissure.above[0], np.float64(1.0))
        upper = own * above[fissure.name]
        shares[fissure.above[0]], shares[fissure.below[0]] = upper, own - upper
    return shares
