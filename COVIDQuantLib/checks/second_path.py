"""A second, coarse segmentation of aerated lung by threshold and shape, for comparison with the first."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import Spacing, components, dilate, erode, mean_around

AERATED_HU = -500.0
# Lung tissue lies between these; anything less dense over a few millimetres is gas in an airway or the gut, or a bulla.
TISSUE_HU = (-950.0, -600.0)
GAS_HU = -940.0
# With this much tissue in the neighbourhood, low density is emphysema.
_TISSUE_SHARE = 0.3
_NEIGHBOURHOOD_MM = 17.0
# Skin folds, airways and streaks are thinner than this.
_NECK_MM = 3.0
_REGROWN_MM = 5.0
_LEAST_ML = 60.0
_LEAST_TISSUE = 0.4


def aerated_lung(hu: np.ndarray, patient: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Aerated lung within the patient, without airways and gut.

    Args:
        hu: mean HU of blocks ``[k, j, i]``, canonical.
        patient: bool, mask of the patient, lungs included.
        spacing: mm per axis.
    """
    air = patient & (hu < AERATED_HU)
    tissue = air & (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1])
    air &= ~_gas(hu, air, tissue, spacing)
    labels, counts = components(erode(air, _NECK_MM, spacing))
    ml = counts * float(np.prod(spacing)) / 1000.0
    tissues = np.bincount(labels.ravel(), weights=tissue.ravel(), minlength=len(counts))
    wanted = (ml >= _LEAST_ML) & (tissues >= _LEAST_TISSUE * counts)
    wanted[0] = False
    return air & dilate(wanted[labels], _REGROWN_MM, spacing)


def _gas(hu: np.ndarray, air: np.ndarray, tissue: np.ndarray, spacing: Spacing) -> np.ndarray:
    size = [max(1, round(_NEIGHBOURHOOD_MM / mm)) for mm in spacing]
    around = mean_around(tissue, air, size)
    of_air = mean_around(air, air, size)
    empty = air & (hu < GAS_HU) & (around < _TISSUE_SHARE * np.maximum(of_air, 0.05))
    cores = ndimage.binary_opening(empty, np.ones((1, 2, 2)))
    return air & dilate(cores, 1.01 * max(spacing), spacing)
