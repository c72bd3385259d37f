"""Vessels and other thin dense structures of the lung, told from consolidation by their calibre and their surround."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.segmentation.lesions_grid import WorkingGrid, distance_mm, local_mean

# A structure this much denser than normal lung is vessel, wall, node or consolidation.
SOLID_ABOVE_BASE_HU = 350.0
# The largest radius of a vessel by its distance from the mediastinum: (nearer than mm, radius mm).
VESSEL_RADII_MM = ((20.0, 8.0), (40.0, 5.5), (np.inf, 3.0))
# A vessel's blurred edge reaches this far beyond its solid part.
EDGE_MM = 1.5
HILUM_MM = 30.0
# A thin structure is a vessel where the lung around it is no denser than this share of a lesion.
SURROUND_MM = 3.0
SURROUND_MAX = 0.22
SURROUND_MAX_HILUM = 0.35


def mediastinum_distance(grid: WorkingGrid) -> np.ndarray:
    """Distance (mm, float32) to what lies between the lungs: no lung, right lung to one side, left to the other."""
    after_right = np.maximum.accumulate(grid.side == 1, axis=2)
    before_left = np.maximum.accumulate((grid.side == 2)[:, :, ::-1], axis=2)[:, :, ::-1]
    return distance_mm((grid.side == 0) & after_right & before_left, grid.spacing)


def thin_structures(solid: np.ndarray, to_mediastinum: np.ndarray, grid: WorkingGrid) -> tuple[np.ndarray, np.ndarray]:
    """Parts a solid mask into what could be vessel by its calibre and what is too thick for one.

    An opening whose ball has the size of the largest vessel that runs there.

    Args:
        solid: bool blocks ``[k, j, i]``.
        to_mediastinum: mm, from :func:`mediastinum_distance`.
        grid: the blocks' grid.

    Returns:
        (thin, thick), bool.
    """
    radius = np.full(solid.shape, VESSEL_RADII_MM[-1][1], np.float32)
    for nearer, largest in reversed(VESSEL_RADII_MM):
        radius[to_mediastinum < nearer] = largest
    core = distance_mm(~solid, grid.spacing) > radius
    thick = solid & (distance_mm(core, grid.spacing) <= radius)
    return solid & ~thick, thick


def find_vessels(grid: WorkingGrid, base: np.ndarray, opacity: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Vessels, thick fissures and walls, with their blurred edges.

    A vessel that runs through ground glass is left where it is, as part of the lesion.

    Args:
        grid: the blocks.
        base: HU of normal lung, broadcast to the blocks.
        opacity: float32 0..1, how far a block is from normal lung to lesion.
        weight: float32, how much each block counts.

    Returns:
        bool blocks ``[k, j, i]``.
    """
    to_mediastinum = mediastinum_distance(grid)
    solid = (weight > 0) & (grid.hu > base + SOLID_ABOVE_BASE_HU)
    thin, thick = thin_structures(solid, to_mediastinum, grid)
    reach = max(EDGE_MM, 1.01 * grid.spacing[2])
    edged = (distance_mm(thin, grid.spacing) <= reach) & ~thick
    surround = local_mean(opacity, np.where(edged, 0, weight), SURROUND_MM, grid.spacing)
    limit = np.where(to_mediastinum < HILUM_MM, SURROUND_MAX_HILUM, SURROUND_MAX)
    return edged & (surround < limit)
