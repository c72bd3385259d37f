"""Surface distances of two masks: average and 95th percentile in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

# Percentile for the robust Hausdorff distance.
_PERCENTILE = 95.0


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between two surfaces.

    Attributes:
        mean_mm: average over the voxels of both surfaces of the distance to the other surface (symmetric average).
        percentile95_mm: the larger of the two sides' 95th percentiles (the robust Hausdorff distance).
    """

    mean_mm: float
    percentile95_mm: float


def surface_distances(
    predicted: np.ndarray, reference: np.ndarray, spacing_kji: tuple[float, float, float]
) -> SurfaceDistances | None:
    """Distances between the surfaces of two masks.

    A surface voxel is a mask voxel with one of its six neighbours outside the mask or the array. Surface voxels that
    both masks share have distance 0; only the others are searched, so good agreement is fast.

    Args:
        predicted: bool ``[k, j, i]``.
        reference: bool, same shape.
        spacing_kji: millimetres between voxel centres along ``k, j, i``.

    Returns:
        None if either mask is empty: no distance is defined then.
    """
    surfaces = [_surface(mask) for mask in (predicted, reference)]
    if not all(surface.any() for surface in surfaces):
        return None
    spacing = np.asarray(spacing_kji)
    sides = [_distances(one, other, spacing) for one, other in (surfaces, surfaces[::-1])]
    return SurfaceDistances(
        float(np.concatenate(sides).mean()),
        max(float(np.percentile(side, _PERCENTILE)) for side in sides),
    )


def _surface(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    inner = (slice(1, -1),) * 3
    core = padded[inner].copy()
    for axis in range(3):
        for side in (slice(None, -2), slice(2, None)):
            where = [*inner]
            where[axis] = side
            core &= padded[tuple(where)]
    return mask & ~core


def _distances(surface: np.ndarray, other: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Distance of every voxel of a surface to the nearest of another, millimetres."""
    apart = surface & ~other
    distances = np.zeros(np.count_nonzero(surface))
    if apart.any():
        # Points on a lattice need no balanced tree, which saves most of the building time.
        tree = cKDTree(np.argwhere(other) * spacing, balanced_tree=False, compact_nodes=False)
        found = tree.query(np.argwhere(apart) * spacing)[0]
        distances[: len(found)] = found
    return distances


def common_box(*masks: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds everything nonzero of arrays of one shape ``[k, j, i]``; None if there is nothing."""
    box = [slice(0, length) for length in masks[0].shape]
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        # Cropped as far as already known, so that only the first axis processes the whole volume.
        filled = np.flatnonzero(np.logical_or.reduce([mask[tuple(box)].any(axis=others) for mask in masks]))
        if not filled.size:
            return None
        box[axis] = slice(int(filled[0]), int(filled[-1]) + 1)
    return tuple(box)
