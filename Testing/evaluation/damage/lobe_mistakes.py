"""Lobes that are mistaken for each other."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import erode
from Testing.evaluation.damage.right_masks import Masks, Right, ball


def _renamed(right: Right, table: dict[int, int]) -> Masks:
    names = np.array([table.get(label, label) for label in range(6)], np.uint8)
    return names[right.lobes], right.lesions


def upper_and_lower_swapped(right: Right, rng: np.random.Generator) -> Masks:
    """Upper and lower lobe of a lung have each other's names."""
    return _renamed(right, {1: 3, 3: 1} if rng.random() < 0.5 else {4: 5, 5: 4})


def sides_swapped(right: Right, rng: np.random.Generator) -> Masks:
    """The lungs have each other's names."""
    return _renamed(right, {1: 4, 4: 1, 3: 5, 5: 3, 2: 4})


def lobe_swallowed(right: Right, rng: np.random.Generator) -> Masks:
    """A lobe is called by its neighbour's name."""
    pairs = ({2: 1}, {1: 3}, {3: 1}, {4: 5}, {5: 4})
    return _renamed(right, pairs[int(rng.integers(0, len(pairs)))])


def lobe_in_pieces(right: Right, rng: np.random.Generator) -> Masks:
    """A ball of a lobe lies apart within another of its lung."""
    pairs = ((1, 3), (3, 1), (4, 5), (5, 4))
    own, other = pairs[int(rng.integers(0, len(pairs)))]
    inner = np.argwhere(erode(right.lobes == other, 20.0, right.spacing))
    lobes = right.lobes.copy()
    if len(inner):
        lobes[ball(right, inner[int(rng.integers(0, len(inner)))], 14) & (lobes == other)] = own
    return lobes, right.lesions


def blade_of_a_lobe(right: Right, rng: np.random.Generator) -> Masks:
    """A ball of a lobe lies within another and hangs on by a thread."""
    lobes, lesions = lobe_in_pieces(right, rng)
    changed = (lobes != right.lobes) & right.lung
    if changed.any():
        own = int(lobes[changed][0])
        start = np.array(ndimage.center_of_mass(changed))
        body = np.argwhere(right.lobes == own)
        end = body[(((body - start) * right.spacing) ** 2).sum(axis=1).argmin()]
        for share in np.linspace(0, 1, 400):
            k, j, i = np.rint(start + share * (end - start)).astype(int)
            part = (slice(max(0, k), k + 2), slice(j - 1, j + 2), slice(i - 1, i + 2))
            lobes[part] = np.where(right.lung[part], own, lobes[part])
    return lobes, lesions
