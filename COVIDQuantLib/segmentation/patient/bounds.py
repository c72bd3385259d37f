"""Locate the patient, then the region of the chest where lung can be.

Table, couch, cushion, blanket, cables and the air around them are not the patient; arms are, but outside the chest.
Both segmentation methods are limited to this region; the checks and the brush in the panel use it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.segmentation.airways import find_airways
from COVIDQuantLib.segmentation.lungs.air import adaptive_threshold, body_mask, lung_air
from COVIDQuantLib.segmentation.patient.costal_surface import bones, costal_radius
from COVIDQuantLib.segmentation.patient.rays import rays_of
from COVIDQuantLib.voxels.block_grid import block_factors, block_middles, enlarge, shrink_mean
from COVIDQuantLib.voxels.morphology import Spacing, close, dilate, distance_to, open_

GRID_MM = 3.0
# Cloth and cables that cling to the skin.
CLINGING_MM = 4.0
# Lung is at least this far from the skin.
SKIN_MM = 4.0
# Distance of the ribs' inner surface from the pleura, including the grid's blur.
PLEURA_MM = 1.5
# No lung is this far beyond the ribs' inner surface.
WALL_MM = 5.0
# Hollows of the aerated lung up to this width always belong to the chest.
HOLLOW_MM = 9.0
# Allowance for dense lung above the highest and below the lowest aerated lung.
ABOVE_MM, BELOW_MM = 15.0, 25.0
BULKY_MM = 10.0
AIRWAY_WALL_MM = 2.5


@dataclass(frozen=True)
class Patient:
    """A CT on a coarse working grid, with the mask of the patient.

    Attributes:
        hu: int16 ``[k, j, i]``, means of blocks of the CT.
        mask: bool, the patient, lungs included.
        padding: bool, nothing was measured there.
        factors: CT voxels in a block along ``k, j, i``.
        spacing: of the grid along ``k, j, i``, mm.
        shape: of the CT.
    """

    hu: np.ndarray
    mask: np.ndarray
    padding: np.ndarray
    factors: tuple[int, int, int]
    spacing: Spacing
    shape: tuple[int, ...]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel of the working grid."""
        return float(np.prod(self.spacing)) / 1000.0

    def on_ct(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the working grid on the CT's voxels."""
        return enlarge(mask, self.factors, self.shape)

    def middles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions of the grid's voxels along ``k, j, i``, millimetres from the CT's first voxel."""
        k, j, i = (step / factor for step, factor in zip(self.spacing, self.factors, strict=True))
        return block_middles(self.hu.shape, self.factors, (k, j, i))

    def at(self, values: np.ndarray, places: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        """Values of the working grid at the nearest of its voxels.

        Args:
            values: array ``[k, j, i]`` on the working grid.
            places: positions along ``k, j, i`` of the target lattice, millimetres from the CT's first voxel.
        """
        indices = [
            np.clip(np.rint((mm - middles[0]) / step).astype(np.intp), 0, len(middles) - 1)
            for mm, step, middles in zip(places, self.spacing, self.middles(), strict=True)
        ]
        return values[np.ix_(*indices)]


@dataclass(frozen=True)
class ChestBounds:
    """Where in a CT lung can be.

    Attributes:
        body: the patient on the working grid.
        aerated: bool ``[k, j, i]`` on that grid, aerated lung.
        cavity: bool, the inside of the chest wall around the lungs, mediastinum and diaphragm's domes included.
        costal: whether ribs were found; otherwise the cavity is bounded by the skin alone.
    """

    body: Patient
    aerated: np.ndarray
    cavity: np.ndarray
    costal: bool

    @property
    def patient(self) -> np.ndarray:
        """The patient, bool on the working grid."""
        return self.body.mask

    @property
    def factors(self) -> tuple[int, int, int]:
        """CT voxels in a block of the working grid along ``k, j, i``."""
        return self.body.factors

    @property
    def spacing(self) -> Spacing:
        """Of the working grid along ``k, j, i``, mm."""
        return self.body.spacing

    def beyond_mm(self) -> np.ndarray:
        """Distance of each voxel of the working grid outside the cavity, mm, float32; 0 within."""
        return distance_to(self.cavity, self.spacing)

    def allowed(self) -> np.ndarray:
        """Where lung may be, bool on the CT's voxels: in the patient and not clearly beyond the chest."""
        return self.body.on_ct(self.patient & (self.beyond_mm() <= WALL_MM))

    def keep(self, labels: np.ndarray) -> None:
        """Remove from labels on the CT's voxels, in place, anything outside the patient or clearly beyond the chest."""
        labels[~self.allowed()] = 0


def find_patient(ct: CTVolume) -> Patient:
    """Find the patient on a grid of about three millimetres.

    Args:
        ct: the CT in canonical orientation.
    """
    factors = block_factors(ct.geometry.spacing_kji, GRID_MM)
    hu = shrink_mean(ct.hu, factors)
    k, j, i = (s * f for s, f in zip(ct.geometry.spacing_kji, factors, strict=True))
    padding = np.zeros(hu.shape, bool)
    if ct.padding is not None:
        padding = shrink_mean(ct.padding.astype(np.int16) * 1000, factors) > 0
    mask = body_mask(hu, padding, (k, j, i))
    mask = open_(mask, CLINGING_MM, (k, j, i))
    return Patient(hu, mask, padding, factors, (k, j, i), ct.hu.shape)


def find_chest(ct: CTVolume, lungs: np.ndarray | None = None, patient: Patient | None = None) -> ChestBounds:
    """Where in a CT lung can be.

    Args:
        ct: the CT in canonical orientation.
        lungs: where lung was found, bool on the working grid of the patient; found by threshold if not given.
        patient: of this CT, if known.
    """
    patient = patient or find_patient(ct)
    aerated = aerated_lung(patient) if lungs is None else lungs & _air(patient)
    if not aerated.any():
        return ChestBounds(patient, aerated, patient.mask.copy(), costal=False)
    cavity, costal = _cavity(patient, aerated)
    return ChestBounds(patient, aerated, cavity, costal)


def aerated_lung(patient: Patient) -> np.ndarray:
    """Aerated lung by threshold and shape, without trachea and main bronchi; bool on the working grid."""
    air = _air(patient)
    if not air.any():
        return air
    lumen = find_airways(patient.hu, air, patient.spacing, midline(patient.mask))
    return lung_air(patient.hu, air & ~dilate(lumen, AIRWAY_WALL_MM, patient.spacing), patient.spacing)


def _air(patient: Patient) -> np.ndarray:
    if not patient.mask.any():
        return patient.mask
    return patient.mask & (patient.hu < adaptive_threshold(patient.hu, patient.mask))


def midline(body: np.ndarray) -> np.ndarray:
    """Per slice the mean column of the body, smoothed; the middle of the image where there is no body."""
    counts = body.sum(axis=1)
    totals = counts.sum(axis=1)
    columns = np.where(totals > 0, counts @ np.arange(body.shape[2]) / np.maximum(totals, 1), body.shape[2] / 2)
    return ndimage.gaussian_filter1d(columns, 3.0, mode="nearest")


def _cavity(patient: Patient, aerated: np.ndarray) -> tuple[np.ndarray, bool]:
    spacing = patient.spacing
    lung = close(aerated, HOLLOW_MM, spacing)
    rays = rays_of(lung, spacing)
    sampled = rays.sample(lung)
    edge = np.where(sampled.any(axis=2), rays.radii[sampled.shape[2] - 1 - sampled[:, :, ::-1].argmax(axis=2)], np.nan)
    surface = costal_radius(bones(patient.hu, patient.mask, spacing), rays, edge)
    within = _deep(patient)
    costal = bool(np.isfinite(surface).any())
    if costal:
        within &= rays.between(np.zeros_like(surface), np.nan_to_num(surface, nan=np.inf) + PLEURA_MM)
    return (within | lung) & _heights(aerated, spacing)[:, None, None] & patient.mask, costal


def _deep(patient: Patient) -> np.ndarray:
    """The patient without the skin; up to the cut where the CT cuts the patient."""
    outside = ~patient.mask & ~patient.padding
    return patient.mask & ~dilate(outside, SKIN_MM, patient.spacing)


def _heights(aerated: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Bool per slice: from a little below the lowest aerated lung to a little above the highest."""
    # Trachea and oesophagus contain air far above the lungs.
    bulky = open_(aerated, BULKY_MM, spacing)
    slices = np.flatnonzero((bulky if bulky.any() else aerated).any(axis=(1, 2)))
    k = np.arange(len(aerated))
    return (k >= slices[0] - BELOW_MM / spacing[0]) & (k <= slices[-1] + ABOVE_MM / spacing[0])
