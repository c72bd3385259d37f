"""Find vessels and other thin dense structures, distinguished from consolidation by calibre and surroundings."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.segmentation.lesions.lung_blocks import LungBlocks, local_mean
from COVIDQuantLib.voxels.geometry import Triple
from COVIDQuantLib.voxels.morphology import distance_to

# A structure this much denser than normal lung is vessel, wall, node or consolidation.
SOLID_ABOVE_BASE_HU = 350.0
# Pneumonia is not this dense; contrast medium in vessels and calcium are.
ENHANCED_HU = 130.0
# The largest radius of a vessel by its distance from the mediastinum: (nearer than mm, radius mm), and elsewhere.
HILAR_RADII_MM = ((50.0, 5.5), (25.0, 8.0))
PERIPHERAL_RADIUS_MM = 3.0
# A vessel's blurred edge reaches this far beyond its solid part.
EDGE_MM = 1.5
HILUM_MM = 30.0
MEDIASTINUM_HALF_WIDTH_MM = 45.0
# A dense structure at the wall nearer than this to the mediastinum counts as arising from it.
ROOT_MM = 4.0
# The hila lie between these shares of the lungs' depth, from the front.
HILAR_ROWS = (0.2, 0.72)
# A thin structure is a vessel where the lung around it is no denser than this share of a lesion.
SURROUND_MM = 3.0
SURROUND_MAX = 0.22
SURROUND_MAX_HILUM = 0.45


def mediastinum_distance(grid: LungBlocks) -> np.ndarray:
    """Distance (mm, float32) to the tissue between the right and the left lung."""
    right, left = grid.side == 1, grid.side == 2
    beyond_right = right.any(axis=2, keepdims=True) & (_from_end(right) == 0)
    before_left = left.any(axis=2, keepdims=True) & (_from_end(left[:, :, ::-1])[:, :, ::-1] == 0)
    columns = np.arange(grid.side.shape[2])
    middle = np.mean([np.average(columns, weights=lung.sum(axis=(0, 1))) for lung in (right, left) if lung.any()])
    # The domes of the diaphragm are between the lungs too, but further out.
    central = np.abs(columns - middle) * grid.spacing[2] < MEDIASTINUM_HALF_WIDTH_MM
    return distance_to(beyond_right & before_left & central, grid.spacing)


def _from_end(mask: np.ndarray) -> np.ndarray:
    """Whether the mask occurs here or further along the last axis, as uint8."""
    return np.maximum.accumulate(mask[:, :, ::-1].astype(np.uint8), axis=2)[:, :, ::-1]


def vessel_radius(to_mediastinum: np.ndarray) -> np.ndarray:
    """The largest radius (mm, float32) of a vessel at each block; the hila are neither far behind nor in front."""
    rows = to_mediastinum.shape[1]
    hilar = np.zeros((1, rows, 1), bool)
    hilar[:, int(HILAR_ROWS[0] * rows) : int(HILAR_ROWS[1] * rows)] = True
    radius = np.full(to_mediastinum.shape, PERIPHERAL_RADIUS_MM, np.float32)
    for nearer, largest in HILAR_RADII_MM:
        radius[hilar & (to_mediastinum < nearer)] = largest
    return radius


def hilar_radius(to_mediastinum: np.ndarray) -> np.ndarray:
    """As :func:`vessel_radius` near the hila, 0 elsewhere."""
    radius = vessel_radius(to_mediastinum)
    radius[radius == PERIPHERAL_RADIUS_MM] = 0
    return radius


def inner_wall_distance(side: np.ndarray, spacing: Triple) -> np.ndarray:
    """Distance (mm, float32) to heart, mediastinum and diaphragm: the tissue between parts of lung in a section."""
    lung = side > 0
    between = np.zeros_like(lung)
    for axis in (1, 2):
        along = np.moveaxis(lung, axis, 2)
        np.moveaxis(between, axis, 2)[...] |= (_from_end(along) & _from_end(along[:, :, ::-1])[:, :, ::-1]).view(bool)
    return distance_to(between & ~lung, spacing)


def thick_part(mask: np.ndarray, radius: np.ndarray, grid: LungBlocks, wall: np.ndarray | None = None) -> np.ndarray:
    """Opening of a mask by a ball of locally varying radius (mm); unchanged where the radius is 0.

    Args:
        mask: bool ``[k, j, i]``.
        radius: float32, same shape.
        grid: the blocks.
        wall: bool; the ball may extend into it, so that layers on it are not removed. None if there is none.
    """
    filled = mask if wall is None else mask | wall
    core = distance_to(~filled, grid.spacing) > radius
    return mask & ((radius == 0) | (distance_to(core, grid.spacing) <= radius))


def find_vessels(
    grid: LungBlocks, base: np.ndarray, opacity: np.ndarray, weight: np.ndarray, to_mediastinum: np.ndarray
) -> np.ndarray:
    """Vessels, thick fissures and walls, with their blurred edges.

    A vessel that runs through ground glass is kept as part of the lesion.

    Args:
        grid: the blocks.
        base: HU of normal lung, broadcast to the blocks.
        opacity: float32 0..1, how far a block is from normal lung to lesion.
        weight: float32, how much each block counts.
        to_mediastinum: mm, from :func:`mediastinum_distance`.

    Returns:
        bool blocks ``[k, j, i]``.
    """
    solid = (weight > 0) & (grid.hu > base + SOLID_ABOVE_BASE_HU)
    wall = (weight == 0) & (to_mediastinum > ROOT_MM)
    thick = thick_part(solid, vessel_radius(to_mediastinum), grid, wall)
    thin = solid & ~thick
    reach = max(EDGE_MM, 1.01 * grid.spacing[2], 0.6 * grid.spacing[0])
    edged = (distance_to(thin, grid.spacing) <= reach) & ~thick
    surround = local_mean(opacity, np.where(edged, 0, weight), SURROUND_MM, grid.spacing)
    limit = np.where(to_mediastinum < HILUM_MM, SURROUND_MAX_HILUM, SURROUND_MAX)
    # Smoothed, so that noise does not leave specks in consolidation.
    enhanced = solid & (local_mean(grid.hu, weight, EDGE_MM, grid.spacing) > ENHANCED_HU)
    return (edged & (surround < limit)) | (distance_to(enhanced, grid.spacing) <= reach)
