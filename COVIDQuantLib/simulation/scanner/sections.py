"""Thick sections from thin ones: mean CT numbers, and the labels that fill most of each thick voxel."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.simulation.fields.arrays import FloatArray


def in_blocks(thin: np.ndarray, count: int) -> np.ndarray:
    """Sections ``[k, j, i]`` by blocks, ``[k // count, count, j, i]``; those that fill no whole block are left out."""
    whole = len(thin) - len(thin) % count
    return thin[:whole].reshape(whole // count, count, *thin.shape[1:])


def thick_sections(hu: FloatArray, lobes: np.ndarray, count: int) -> tuple[FloatArray, np.ndarray]:
    """Every ``count`` sections averaged into one, with the labels of the middle one.

    The lobes of training chests are those of the middle section, the truth of phantoms the majority
    (:func:`majority_labels`): each must stay the same for the same seed.
    """
    return in_blocks(hu, count).mean(axis=1), in_blocks(lobes, count)[:, count // 2]


def majority(mask: np.ndarray, count: int) -> np.ndarray:
    """Whether more than half of each thick voxel is in a mask (exact halves count when the lower half is in)."""
    if count == 1:
        return mask
    sections = in_blocks(mask, count)
    twice = 2 * sections.sum(axis=1, dtype=np.uint8)
    return (twice > count) | ((twice == count) & sections[:, count // 2 - 1])


def majority_labels(lobes: np.ndarray, count: int) -> np.ndarray:
    """The lobe that fills most of each thick voxel, where at least half of it is lung."""
    if count == 1:
        return lobes
    lungs = majority(lobes > 0, count)
    labels = np.zeros(lungs.shape, np.uint8)
    most = np.zeros(lungs.shape, np.uint8)
    for lobe in LOBES:
        votes = in_blocks(lobes == lobe.label, count).sum(axis=1, dtype=np.uint8)
        labels[votes > most] = lobe.label
        np.maximum(most, votes, out=most)
    return np.where(lungs, labels, 0).astype(np.uint8)
