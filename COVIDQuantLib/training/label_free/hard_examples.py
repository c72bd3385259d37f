"""What lesion networks should learn from most: lesions that present networks miss, and what they take for lesions.

Lesions too faint to be seen are marked too. The loss leaves them out: a network that has to find them learns noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from COVIDQuantLib.inference.device import Device
from COVIDQuantLib.inference.lesions import AXIAL, LesionsNetwork, find_lesions_by_network
from COVIDQuantLib.training.label_free.subjects import FALSE, MISSED, UNSEEN, Chest, plain_labels
from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.morphology import components, dilate

# A lesion smaller than this, and denser than the lung around it by less, is not visible.
_LARGE_ML, _VISIBLE_HU = 10.0, 75.0
_AROUND_MM, _FEWEST = 6.0, 20
# A lesion is missed if less of it is found; smaller ones do not count, nor do smaller false pieces.
_FOUND_SHARE, _LEAST_ML, _LEAST_FALSE_ML = 0.3, 0.25, 0.1


def mark_hard_examples(chest: Chest, networks: Mapping[str, LesionsNetwork], device: Device) -> None:
    """Mark the chest's hard examples in its ``hard``.

    Args:
        chest: with lungs and lesions; changed in place.
        networks: by plane, the present ones; empty marks the invisible lesions alone.
        device: where to compute.
    """
    ml = float(np.prod(chest.spacing)) / 1000.0
    lesions, counts = components(chest.lesions)
    found = _found(chest, networks, device)
    hard = np.zeros(chest.hu.shape, np.uint8)
    for number, box in enumerate(ndimage.find_objects(lesions), start=1):
        own = lesions[box] == number
        size = ml * counts[number]
        if size < _LARGE_ML and _contrast(chest, lesions, number, box) < _VISIBLE_HU:
            hard[box][own] = UNSEEN
        elif found is not None and size >= _LEAST_ML and found[box][own].mean() < _FOUND_SHARE:
            hard[box][own] = MISSED
    if found is not None:
        pieces, sizes = components(found)
        false = ml * sizes >= _LEAST_FALSE_ML
        false[np.unique(pieces[dilate(chest.lesions, max(chest.spacing), chest.spacing)])] = False
        false[0] = False
        hard[false[pieces]] = FALSE
    chest.hard = hard


def _found(chest: Chest, networks: Mapping[str, LesionsNetwork], device: Device) -> np.ndarray | None:
    """The networks' lesions, doubtful pieces included; None without networks."""
    if not networks:
        return None
    raw: dict[str, Any] = dict.fromkeys(("piece_cut", "dense_piece_cut", "small_piece_cut", "core_cut")) | {
        "diseased": (),
        "odds_per_hu": 0.0,
    }
    plain = {plane: replace(network, **raw, mirrored=False) for plane, network in networks.items()}
    return find_lesions_by_network(chest.ct, plain_labels(chest.lobes), plain.pop(AXIAL), device, [], beside=plain)


def _contrast(chest: Chest, lesions: np.ndarray, number: int, box: Slices) -> float:
    """How much denser a lesion is than the healthy lung around it, HU; without any, than all healthy lung."""
    pads = [int(np.ceil(_AROUND_MM / mm)) for mm in chest.spacing]
    wide = tuple(slice(max(0, part.start - pad), part.stop + pad) for part, pad in zip(box, pads, strict=True))
    own = lesions[wide] == number
    healthy = (plain_labels(chest.lobes[wide]) > 0) & ~chest.lesions[wide]
    around = healthy & dilate(own, _AROUND_MM, chest.spacing) & ~dilate(own, max(chest.spacing), chest.spacing)
    hu = chest.hu[wide]
    if np.count_nonzero(around) >= _FEWEST:
        return float(np.median(hu[own]) - np.median(hu[around]))
    rest = chest.hu[(plain_labels(chest.lobes) > 0) & ~chest.lesions]
    return float(np.median(hu[own]) - np.median(rest)) if len(rest) else np.inf
