"""Separate right and left lung, even where they touch in front of the heart."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.anatomy import SIDE_VALUE, labels_of_side
from COVIDQuantLib.voxels.morphology import Spacing, bounding_box, components, distance_to

RIGHT, LEFT = SIDE_VALUE["right"], SIDE_VALUE["left"]
# The bridge between two touching lungs is thinner than this, and each lung holds at least this share of both.
BRIDGE_MM = (0.0, 2.0, 3.0, 4.5, 6.0, 8.0, 10.0, 13.0)
LEAST_SHARE = 0.1


def sides_of_lobes(lobes: np.ndarray) -> np.ndarray:
    """The lungs that lobes (label values of the contract) belong to: uint8, 1 right, 2 left, 0 neither."""
    table = np.zeros(256, np.uint8)
    for side, value in SIDE_VALUE.items():
        table[list(labels_of_side(side))] = value
    return table[lobes]


def part_sides(lung: np.ndarray, midline: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Label lung voxels 1 right, 2 left.

    Args:
        lung: aerated lung ``[k, j, i]``, airways out.
        midline: per slice the column ``i`` of the patient's midline.
        spacing: mm per axis.

    Returns:
        uint8 labels.
    """
    depth = distance_to(~lung, spacing)
    for bridge in BRIDGE_MM:
        cores, counts = components(depth > bridge)
        pair = _pair(cores, counts, bridge)
        if pair is not None:
            return _spread(lung, depth, _ordered(cores, pair))
    return _by_midline(lung, midline)


def _pair(cores: np.ndarray, counts: np.ndarray, bridge: float) -> list[int] | None:
    """The two cores that are the two lungs, or None while they are still one."""
    if len(counts) < 3:
        return None
    order = np.argsort(counts[1:])[::-1][:2] + 1
    if counts[order[1]] < LEAST_SHARE * counts[1:].sum() / (1.0 + (bridge == 0)):
        return None
    columns = [np.flatnonzero((cores == label).any(axis=(0, 1))).mean() for label in order]
    width = np.flatnonzero((cores > 0).any(axis=(0, 1)))
    if abs(columns[0] - columns[1]) < 0.2 * (width[-1] - width[0]):
        return None  # one behind or above the other: the same lung
    return [int(label) for label in order]


def _ordered(cores: np.ndarray, pair: list[int]) -> np.ndarray:
    centres = [np.average(np.arange(cores.shape[2]), weights=(cores == label).sum(axis=(0, 1))) for label in pair]
    first, second = (pair[0], pair[1]) if centres[0] < centres[1] else (pair[1], pair[0])
    markers = np.zeros(cores.shape, np.uint8)
    markers[cores == first] = RIGHT
    markers[cores == second] = LEFT
    return markers


def _spread(lung: np.ndarray, depth: np.ndarray, markers: np.ndarray) -> np.ndarray:
    """Grow the two cores over the lung until they meet (watershed); remnants go to the nearer lung."""
    lumps, _ = components(lung)
    held = np.unique(lumps[markers > 0])
    joined = np.isin(lumps, held[held > 0])
    height = sitk.GetImageFromArray(np.where(joined, -depth, 0.0).astype(np.float32))
    seeds = markers.copy()
    seeds[~joined] = 3
    flooded = sitk.MorphologicalWatershedFromMarkers(height, sitk.GetImageFromArray(seeds), False, False)
    sides = sitk.GetArrayFromImage(flooded).astype(np.uint8)
    sides[~joined] = 0
    return spread_sides(sides, lung)


def spread_sides(sides: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Assign every voxel of ``within`` the side of the nearest labelled voxel."""
    if not sides.any():
        return sides
    spread = np.where(within, sides, 0).astype(np.uint8)
    box = bounding_box(within | (sides > 0))
    if box is None or not (within & (sides == 0)).any():
        return spread
    near = sides[box]
    nearer_left = _apart(near == LEFT) < _apart(near == RIGHT)
    missing = within[box] & (near == 0)
    spread[box][missing] = np.where(nearer_left, LEFT, RIGHT)[missing]
    return spread


def _apart(mask: np.ndarray) -> np.ndarray:
    return distance_to(mask, (1.0, 1.0, 1.0))


def _by_midline(lung: np.ndarray, midline: np.ndarray) -> np.ndarray:
    """Assign each part to the side of the midline that holds most of it (one lung alone, or remnants)."""
    labels, counts = components(lung)
    columns = np.broadcast_to(np.arange(lung.shape[2]) > midline[:, None, None], lung.shape)
    left = np.bincount(labels.ravel(), weights=columns.ravel(), minlength=len(counts)) > 0.5 * counts
    sides = np.where(left, LEFT, RIGHT).astype(np.uint8)
    sides[0] = 0
    return sides[labels]
