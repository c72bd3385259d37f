"""Whole real CTs to train on, with lungs segmented without a network: threshold, the patient's outline, closing.

Where it is not certain whether something dense is lung (a mass, consolidation, the border of the hilum) the label is
``UNKNOWN`` and the loss leaves it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import HU_MIN
from COVIDQuantLib.inference.lattice import Lattice, sample
from COVIDQuantLib.segmentation.airways import find_airways
from COVIDQuantLib.segmentation.lungs.sides import LEFT, RIGHT, part_sides
from COVIDQuantLib.training.label_free.subjects import LEFT_LUNG, RIGHT_LUNG, UNKNOWN, Chest
from COVIDQuantLib.voxels.geometry import Triple
from COVIDQuantLib.voxels.morphology import close, components, dilate, erode, fill_slices

_GRID_MM = 2.0
_SOLID_HU, _AIR_HU = -300, -450
# Opening by this removes table shells and cloth; the skin is restored by dilating as much.
_SHELL_MM = 5.0
# Lungs consist mostly of voxels in this range of CT numbers, and have at least this volume.
_LUNG_HU, _LUNG_SHARE, _LEAST_ML = (-960, -550), 0.4, 60.0
_EMPTIER_HU, _MEDIAL_MM = 55, 40.0
_WALL_MM, _VESSEL_MM, _DOUBT_MM = 3.0, 7.0, 12.0


@dataclass(frozen=True)
class WholeCT:
    """A whole real CT whose licence allows training.

    Attributes:
        file: its name in the data folder.
        licence: of the collection, with its name and the patient's.
        doubts: balls in which it is not known what is lung: x, y, z from the first voxel along the canonical axes
            (to the left, the back, the head) and radius, millimetres.
    """

    file: str
    licence: str
    doubts: tuple[tuple[float, float, float, float], ...] = ()


WHOLE_CTS = (
    WholeCT("lidc0001_ct.nrrd", "LIDC-IDRI, LIDC-IDRI-0001, CC BY 3.0"),
    WholeCT("lidc0002_1p4mm_ct.nrrd", "LIDC-IDRI, LIDC-IDRI-0002, CC BY 3.0"),
    WholeCT("lidc0003_ct.nrrd", "LIDC-IDRI, LIDC-IDRI-0003, CC BY 3.0"),
    WholeCT(
        "lungdx_a0001_soft_5mm_ct.nrrd", "Lung-PET-CT-Dx, A0001, CC BY 4.0", ((268, 296, 232, 38), (256, 276, 210, 22))
    ),
    WholeCT(
        "lungdx_a0002_b40_8mm_ct.nrrd",
        "Lung-PET-CT-Dx, A0002, CC BY 4.0",
        ((112, 188, 114, 33), (120, 180, 140, 24), (140, 188, 196, 12)),
    ),
    WholeCT("c3n00704_wholebody_2mm_ct.nrrd", "CPTAC-LUAD, C3N-00704, CC BY 4.0"),
)


def whole_chest(whole: WholeCT, data: Path) -> Chest:
    """A whole CT at 2 mm with its lungs, of unknown lobes, and its patient.

    Raises:
        UnfitInputError: the file is missing or unreadable.
    """
    ct, _ = read_ct(data / whole.file).canonical()
    spacing = ct.geometry.spacing_kji
    lattice = Lattice.over(ct.hu.shape, spacing, (_GRID_MM,) * 3)
    hu = sample(np.maximum(ct.hu, HU_MIN), spacing, lattice).round().short().numpy()
    body = patient(hu, lattice.step)
    lobes = lungs_by_threshold(hu, body, lattice.step)
    for x, y, z, radius in whole.doubts:
        k, j, i = np.ogrid[tuple(slice(n) for n in hu.shape)]
        at = [start + step * line for start, step, line in zip(lattice.start, lattice.step, (k, j, i), strict=True)]
        ball = (at[0] - z) ** 2 + (at[1] - y) ** 2 + (at[2] - x) ** 2 < radius**2
        lobes[ball & (hu > _AIR_HU) & body] = UNKNOWN
    return Chest(hu, lattice.step, lobes, np.zeros(hu.shape, bool), body)


def patient(hu: np.ndarray, spacing: Triple) -> np.ndarray:
    """The patient, lungs included: the largest solid part and those near its size, filled in every section.

    Args:
        hu: int16 ``[k, j, i]``.
        spacing: millimetres along k, j, i.
    """
    solid = hu > _SOLID_HU
    labels, counts = components(erode(solid, _SHELL_MM, spacing))
    counts[0] = 0
    core = (counts > 0.03 * counts.max())[labels]
    flesh = dilate(core, _SHELL_MM + 2.0, spacing) & solid
    return np.asarray(fill_slices(close(flesh, 6.0, spacing)))


def lungs_by_threshold(hu: np.ndarray, body: np.ndarray, spacing: Triple) -> np.ndarray:
    """Lungs segmented by their air.

    Args:
        hu: int16 ``[k, j, i]``.
        body: the patient.
        spacing: millimetres along k, j, i.

    Returns:
        uint8, ``RIGHT_LUNG``, ``LEFT_LUNG``, ``UNKNOWN`` in narrow dense gaps between parts of a lung, else 0.
    """
    air = body & (hu < _AIR_HU)
    across = body.sum(axis=1)
    columns = across @ np.arange(body.shape[2]) / np.maximum(across.sum(axis=1), 1)
    middle = np.where(across.sum(axis=1) > 0, columns, body.shape[2] / 2)
    midline = ndimage.gaussian_filter1d(middle, 3.0, mode="nearest")
    tubes = dilate(find_airways(hu, air, spacing, midline), _WALL_MM, spacing)
    sides = part_sides(_like_lung(hu, air & ~tubes, spacing), midline, spacing)
    lobes = np.zeros(hu.shape, np.uint8)
    for side, label in ((RIGHT, RIGHT_LUNG), (LEFT, LEFT_LUNG)):
        lung = sides == side
        wide = close(lung, _DOUBT_MM, spacing) & ~tubes & body
        lobes[wide & (lobes == 0)] = UNKNOWN
        lobes[ndimage.binary_fill_holes(close(lung, _VESSEL_MM, spacing)) & ~tubes & body] = label
    lobes[_windpipe(hu, lobes > 0, midline, spacing)] = UNKNOWN
    return lobes


def _windpipe(hu: np.ndarray, lungs: np.ndarray, midline: np.ndarray, spacing: Triple) -> np.ndarray:
    """Airways that the airway segmentation left in the lungs: near the midline, less dense than lung."""
    smooth = ndimage.gaussian_filter(hu.astype(np.float32), 1.0)
    beside = np.abs(np.arange(hu.shape[2]) - midline[:, None])[:, None] * spacing[2]
    emptier = smooth < np.median(hu[lungs]) - _EMPTIER_HU
    labels, counts = components(lungs & emptier & (beside < _MEDIAL_MM))
    large = counts * float(np.prod(spacing)) > 500
    large[0] = False
    return np.asarray(dilate(large[labels], _WALL_MM, spacing))


def _like_lung(hu: np.ndarray, air: np.ndarray, spacing: Triple) -> np.ndarray:
    """The parts of the air that have the CT numbers and the size of lung."""
    labels, counts = components(erode(air, 2.0, spacing))
    like = np.bincount(labels[(hu > _LUNG_HU[0]) & (hu < _LUNG_HU[1])], minlength=len(counts))
    good = (counts * float(np.prod(spacing)) / 1000 > _LEAST_ML) & (like > _LUNG_SHARE * counts)
    good[0] = False
    return np.asarray(dilate(good[labels], 4.0, spacing) & air)
