"""Model-free segmentation of the lungs: adaptive threshold and morphology (papers.md, row P2).

The shape is computed on a grid of about two millimetres, where every step is fast and noise is averaged; the edge is
then refined on the CT's own voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.segmentation.airways import find_airways
from COVIDQuantLib.segmentation.lungs.air import adaptive_threshold, body_mask, lung_air
from COVIDQuantLib.segmentation.lungs.chest_wall import dense_at_wall
from COVIDQuantLib.segmentation.lungs.dense_support import beside_opacity
from COVIDQuantLib.segmentation.lungs.edge import refine
from COVIDQuantLib.segmentation.lungs.mirrored_lung import dense_by_mirror
from COVIDQuantLib.segmentation.lungs.sides import LEFT, RIGHT, part_sides, spread_sides
from COVIDQuantLib.segmentation.patient.bounds import AIRWAY_WALL_MM, ChestBounds, find_chest, midline
from COVIDQuantLib.voxels.block_grid import block_factors, block_middles, enlarge, shrink_mean
from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.morphology import (
    Spacing,
    bounding_box,
    close,
    components,
    dilate,
    fill_slices,
    open_,
    without_small,
)

GRID_MM = 2.0
LEAST_LUNGS_ML = 60.0
CLOSE_MM = 8.0
WIDE_CLOSE_MM = 25.0
WIDE_GRID_MM = 3.5
# A hollow is bulky when a ball of this radius fits, far from and near the midline.
BULKY_MM = (6.0, 13.0)
SMALL_HOLE_ML = 3.0
GAS_POCKET_ML = 3.0
MEDIASTINUM_MM = 55.0
HILUM_MM = 35.0
# Maximum distance between the skin on the finer and on the coarser grid.
NEAR_MM = 4.0


@dataclass
class Lungs:
    """The lungs of a CT.

    Attributes:
        mask: uint8 ``[k, j, i]``: 0 outside, 1 right lung, 2 left lung (the patient's), vessels, ground glass and
            consolidation included.
        airways: bool, trachea and main bronchi with their wall, outside the mask.
    """

    mask: np.ndarray
    airways: np.ndarray


def find_lungs(ct: CTVolume, report: Report = silent, bounds: ChestBounds | None = None) -> Lungs:
    """Find the lungs.

    Args:
        ct: a chest CT in canonical orientation (:meth:`CTVolume.canonical`).
        report: progress; may raise ``Cancelled``.
        bounds: where in this CT lung can be, if known.

    Raises:
        UnfitInputError: there are no lungs in the CT.
    """
    report(0.0)
    factors = block_factors(ct.geometry.spacing_kji, GRID_MM)
    grid = _ChestBlocks.of(ct, factors, bounds or find_chest(ct))
    report(0.15)
    lumen = find_airways(grid.hu, grid.air, grid.spacing, grid.midline, part(report, 0.15, 0.35))
    walled = dilate(lumen, AIRWAY_WALL_MM, grid.spacing)
    aerated = lung_air(grid.hu, grid.air & ~walled, grid.spacing) & grid.cavity
    if aerated.sum() * grid.voxel_ml < LEAST_LUNGS_ML:
        raise UnfitInputError(
            "no lungs found in the CT (empty lungs)",
            ct.source.where,
            "Choose a chest CT that shows the lungs.",
            code="no-lungs",
        )
    report(0.45)
    sides = part_sides(aerated, grid.midline, grid.spacing)
    report(0.55)
    barred = walled | _gas(grid, aerated) | ~grid.cavity
    dense = _dense_lung(grid, aerated)
    sides = _solid(spread_sides(sides, aerated | dense), grid, lumen, barred)
    report(0.65)
    mirrored = dense_by_mirror(grid.hu, sides, grid.midline, grid.spacing)
    if mirrored.any():
        known = np.where(barred, 0, np.maximum(sides, mirrored))
        dense = _dense_lung(grid, known > 0)
        sides = _solid(spread_sides(known, (known > 0) | dense), grid, lumen, barred)
    report(0.75)
    mask, airways = _on_ct_grid(ct, grid, sides, lumen & (sides == 0), factors)
    report(1.0)
    return Lungs(mask, airways)


@dataclass
class _ChestBlocks:
    """The CT averaged to about two millimetres, with derived masks.

    Attributes:
        hu: int16 ``[k, j, i]``.
        spacing: mm per axis.
        box: where these arrays lie in the whole working grid.
        body: the patient, lungs included.
        cavity: region of the patient that can be lung.
        threshold: HU threshold between lung and soft tissue.
        air: darker than the threshold, within the body.
        midline: per slice the column of the body's middle.
    """

    hu: np.ndarray
    spacing: Spacing
    box: Slices
    body: np.ndarray
    cavity: np.ndarray
    threshold: float
    air: np.ndarray
    midline: np.ndarray

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.spacing)) / 1000.0

    @classmethod
    def of(cls, ct: CTVolume, factors: tuple[int, int, int], bounds: ChestBounds) -> _ChestBlocks:
        hu = shrink_mean(ct.hu, factors)
        k, j, i = (s * f for s, f in zip(ct.geometry.spacing_kji, factors, strict=True))
        spacing = (k, j, i)
        padding = np.zeros(hu.shape, bool)
        if ct.padding is not None:
            padding = shrink_mean(ct.padding.astype(np.int16) * 1000, factors) > 0
        where = block_middles(hu.shape, factors, ct.geometry.spacing_kji)
        near = dilate(bounds.patient, NEAR_MM, bounds.spacing)
        body = body_mask(hu, padding, spacing) & bounds.body.at(near, where)
        cavity = body & bounds.body.at(bounds.cavity, where)
        threshold = adaptive_threshold(hu, body) if body.any() else -400.0
        box = bounding_box(body) or (slice(None), slice(None), slice(None))
        hu, body, cavity = hu[box], body[box], cavity[box]
        return cls(hu, spacing, box, body, cavity, threshold, body & (hu < threshold), midline(body))


def _dense_lung(grid: _ChestBlocks, lung: np.ndarray) -> np.ndarray:
    """Dense lung between the known lung and the chest wall."""
    dense = dense_at_wall(grid.hu, lung, grid.body, grid.spacing)
    return beside_opacity(dense, lung, grid.hu, grid.spacing)


def _gas(grid: _ChestBlocks, aerated: np.ndarray) -> np.ndarray:
    """Pockets of air that are not lung and too large to be remnants within dense lung."""
    return without_small(grid.air & ~aerated, GAS_POCKET_ML / grid.voxel_ml)


def _solid(sides: np.ndarray, grid: _ChestBlocks, lumen: np.ndarray, barred: np.ndarray) -> np.ndarray:
    """Close each lung over its vessels, small bronchi and dense patches, except barred voxels."""
    barred = barred | ~grid.body
    away = ~dilate(lumen, HILUM_MM, grid.spacing)
    off_midline = np.abs(np.arange(sides.shape[2]) - grid.midline[:, None])[:, None] * grid.spacing[2]
    bulk = np.where(off_midline > MEDIASTINUM_MM, BULKY_MM[0], BULKY_MM[1])
    solid = sides.copy()
    for side in (RIGHT, LEFT):
        closed = close(sides == side, CLOSE_MM, grid.spacing)
        closed |= _enclosed(closed, grid.spacing)
        for mm in BULKY_MM:
            closed |= _bulky_hollows(closed, mm, grid.spacing) & away & (mm >= bulk)
        solid[closed & (solid == 0) & ~barred] = side
    return solid


def _enclosed(lung: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Holes surrounded by lung in axial slices and with lung below, unlike the domes of the diaphragm."""
    holes = fill_slices(lung) & ~lung
    labels, counts = components(holes)
    foot = np.bincount(labels[1:][~holes[:-1]], minlength=len(counts))
    on_lung = np.bincount(labels[1:][lung[:-1]], minlength=len(counts))
    small = counts * float(np.prod(spacing)) <= SMALL_HOLE_ML * 1000.0
    # A hole that continues below the CT can be identified as vessel or disease only if it is slender.
    filled = small | ((foot > 0) & (on_lung >= 0.5 * (foot + np.bincount(labels[0].ravel(), minlength=len(counts)))))
    filled[0] = False
    return filled[labels]


def _bulky_hollows(lung: np.ndarray, bulk_mm: float, spacing: Spacing) -> np.ndarray:
    """Bulky hollows that a wide ball does not enter are disease; aorta and veins leave only slender ones."""
    factors = block_factors(spacing, WIDE_GRID_MM)
    k, j, i = (s * f for s, f in zip(spacing, factors, strict=True))
    coarse = shrink_mean(lung.astype(np.int16) * 100, factors) >= 50
    hollows = close(coarse, WIDE_CLOSE_MM, (k, j, i)) & ~coarse
    return enlarge(open_(hollows, bulk_mm, (k, j, i)), factors, lung.shape)


def _on_ct_grid(
    ct: CTVolume, grid: _ChestBlocks, sides: np.ndarray, lumen: np.ndarray, factors: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Lungs and airways on the CT's grid, never in padding."""
    lung = sides > 0
    airways = dilate(lumen, AIRWAY_WALL_MM, grid.spacing) & ~lung
    near = 2.01 * max(grid.spacing[1:])
    labels = spread_sides(sides, dilate(lung, near, grid.spacing))
    labels[airways | ~grid.body] = 0
    corner = tuple(slice(span.start * f, span.stop * f) for span, f in zip(grid.box, factors, strict=True))
    mask, tubes = np.zeros(ct.hu.shape, np.uint8), np.zeros(ct.hu.shape, bool)
    hu = ct.hu[corner]
    fine = refine(hu, lung, lung & ~grid.air, labels > 0, grid.threshold, factors, grid.spacing)
    if ct.padding is not None:
        fine &= ~ct.padding[corner]
    mask[corner] = enlarge(labels, factors, hu.shape) * fine
    tubes[corner] = enlarge(airways, factors, hu.shape) & ~fine
    return mask, tubes
