"""Check that the lungs, found or given, are plausible for this CT."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError

# Less than this is no pair of lungs nor a slab of them; the second is a small adult's lungs in expiration.
MIN_LUNG_ML = 50.0
SMALL_LUNG_ML = 1000.0
# The lungs are cut where they touch an edge with more than this (a noisy voxel or two is no cut).
_CUT_CM2 = 0.5


def check_lungs(lungs: np.ndarray, ct: CTVolume) -> list[CTWarning]:
    """Warnings about the lungs of a CT.

    Args:
        lungs: nonzero in the lungs (or lobes), on the CT's grid.
        ct: the CT in canonical orientation (``k`` to the head).

    Raises:
        UnfitInputError: there are no lungs, or too small ones.
    """
    mask = lungs != 0
    volume = float(np.count_nonzero(mask)) * ct.geometry.voxel_volume_ml
    if volume < MIN_LUNG_ML:
        what = "no lungs were found" if not volume else f"the lungs found are too small ({volume:.0f} mL)"
        raise UnfitInputError(what, ct.source.where, "Give a chest CT, or the lungs as a mask.", code="no-lungs")
    warnings = []
    places = [*_cut_slices(mask, ct), *_cut_in_plane(mask, ct)]
    if places:
        cut = ", ".join(places)
        text = f"The lungs are cut off at {cut}: volumes cover only the visible part, and its lobes are a rough guess."
        warnings.append(CTWarning("lungs-cut", text))
    elif volume < SMALL_LUNG_ML:
        warnings.append(CTWarning("small-lungs", f"The lungs measure only {volume:.0f} mL."))
    return warnings


def _cut_slices(mask: np.ndarray, ct: CTVolume) -> list[str]:
    i, j, _ = ct.geometry.spacing
    places = []
    for which, k in (("lowest", 0), ("highest", -1)):
        area = np.count_nonzero(mask[k]) * i * j / 100.0
        if area > _CUT_CM2:
            places.append(f"the {which} slice ({area:.0f} cm²)")
    return places


def _cut_in_plane(mask: np.ndarray, ct: CTVolume) -> list[str]:
    i, j, k = ct.geometry.spacing
    faces = {
        "the front edge": (mask[:, 0], i * k),
        "the back edge": (mask[:, -1], i * k),
        "the right edge": (mask[:, :, 0], j * k),
        "the left edge": (mask[:, :, -1], j * k),
    }
    places = [name for name, (face, mm2) in faces.items() if np.count_nonzero(face) * mm2 / 100.0 > _CUT_CM2]
    if ct.padding is not None and _touches_padding(mask, ct.padding) * (i + j) / 2 * k / 100.0 > _CUT_CM2:
        places.append("the edge of the field of view")
    return places


def _touches_padding(mask: np.ndarray, padding: np.ndarray) -> int:
    """Number of voxel faces between the mask and padding within the slices."""
    count = 0
    for one, other in ((mask, padding), (padding, mask)):
        count += int(np.count_nonzero(one[:, 1:] & other[:, :-1]) + np.count_nonzero(one[:, :, 1:] & other[:, :, :-1]))
    return count
