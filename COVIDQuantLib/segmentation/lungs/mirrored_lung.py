"""Dense lung without any air around it: where the mirrored other lung has lung, next to disease.

Consolidation of a whole base merges with liver, spine and heart, and nothing in its own lung shows where it ends. The
other lung does, at the back, where both lie in corresponding recesses of the ribs.
"""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.segmentation.lungs.dense_support import opaque_share
from COVIDQuantLib.segmentation.lungs.sides import LEFT, RIGHT
from COVIDQuantLib.voxels.morphology import Spacing, components, dilate, erode, open_

# The two lungs are not exactly symmetric.
ASYMMETRY_MM = 6.0
# Aorta and oesophagus lie beside the spine, mostly to the left, and are narrower than a consolidated base.
BESIDE_SPINE_MM = {RIGHT: 15.0, LEFT: 32.0}
NARROWEST_MM = 9.0
SOFT_HU = (-500, 150)
LEAST_ML = 8.0
LEAST_SHARE = 0.4


def dense_by_mirror(hu: np.ndarray, sides: np.ndarray, midline: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Dense lung at the back, found from the other lung.

    Args:
        hu: working grid ``[k, j, i]``, canonical.
        sides: uint8, 1 right and 2 left lung as found so far.
        midline: per slice the column ``i`` of the patient's midline.
        spacing: mm per axis.

    Returns:
        uint8 array: 1 or 2 where that lung should be added, else 0.
    """
    added = np.zeros_like(sides)
    soft = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1]) & (sides == 0)
    ml = float(np.prod(spacing)) / 1000.0
    off_midline = np.abs(np.arange(sides.shape[2]) - midline[:, None])[:, None] * spacing[2]
    for side, other in ((RIGHT, LEFT), (LEFT, RIGHT)):
        own = sides == side
        expected = _mirrored(sides == other, midline)
        lateral = off_midline > BESIDE_SPINE_MM[side]
        candidate = erode(expected, ASYMMETRY_MM, spacing) & _back_half(expected) & soft & lateral
        candidate = open_(candidate, NARROWEST_MM, spacing)
        labels, counts = components(candidate)
        touch = np.bincount(labels[dilate(own, 1.01 * max(spacing), spacing)], minlength=len(counts)) > 0
        for label in np.flatnonzero(touch & (counts * ml >= LEAST_ML)):
            part = labels == label
            if label and opaque_share(part, own & (hu < SOFT_HU[0]), hu, spacing) >= LEAST_SHARE:
                added[part] = side
    return added


def _mirrored(mask: np.ndarray, midline: np.ndarray) -> np.ndarray:
    """Each slice mirrored about its midline."""
    mirrored = np.zeros_like(mask)
    columns = np.arange(mask.shape[2])
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        source = np.rint(2 * midline[k] - columns).astype(np.intp)
        inside = (source >= 0) & (source < mask.shape[2])
        mirrored[k][:, inside] = mask[k][:, source[inside]]
    return mirrored


def _back_half(mask: np.ndarray) -> np.ndarray:
    """Rows behind the middle of each slice's extent."""
    half = np.zeros_like(mask)
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        rows = np.flatnonzero(mask[k].any(axis=1))
        half[k, (rows[0] + rows[-1]) // 2 :] = True
    return half
