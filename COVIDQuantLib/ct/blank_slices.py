"""Blank slices: a single value or padding throughout, typically a slice lost in transfer.

At the ends of a CT they count as not measured. A single one inside is estimated from its two neighbours, with a
warning; more would be a guess, so such a CT is refused (``ct/checks/run.py``).
"""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.ct.volume import HU_MIN, MIN_SLICES, CTVolume, CTWarning
from COVIDQuantLib.voxels.geometry import Geometry

# Largest share of slices that is estimated; one is always allowed.
_MOST_ESTIMATED = 0.02
# A slice of pure air can lie beside the body but not within it; within it, both neighbours have at least this share of
# body.
_AIR_HU = (-1100, -900)
_BODY_SHARE = 0.05
_SUPERIOR = 2
_TOLD = 5


def is_blank(hu: np.ndarray, padding: np.ndarray | None) -> bool:
    """Whether a slice has a single value, ignoring padding.

    Args:
        hu: whole Hounsfield units ``[j, i]``.
        padding: where nothing was measured, None if nowhere.
    """
    # A few voxels suffice to rule out nearly every slice.
    for step in (8, 1):
        every = np.s_[::step, ::step]
        values = hu[every] if padding is None else hu[every][~padding[every]]
        if values.size and values.min() < values.max():
            return False
    return True


def blank_slices(ct: CTVolume) -> np.ndarray:
    """Indices of blank slices, except slices of air beside the body.

    Args:
        ct: the CT.
    """
    blank = np.array([is_blank(hu, _padding(ct, k)) for k, hu in enumerate(ct.hu)])
    filled = np.flatnonzero(~blank)
    return np.array([k for k in np.flatnonzero(blank) if not _is_air_beside(ct, int(k), filled)], np.intp)


def inside(ct: CTVolume) -> list[int]:
    """Indices of the blank slices that have other slices on both sides."""
    blank = blank_slices(ct)
    filled = np.setdiff1d(np.arange(len(ct.hu)), blank)
    return [int(k) for k in blank if len(filled) and filled[0] < k < filled[-1]]


def can_be_estimated(slices: list[int], count: int) -> bool:
    """Whether blank slices are few and isolated enough for each to have two measured neighbours."""
    return len(slices) <= max(1.0, _MOST_ESTIMATED * count) and not (np.diff(slices) == 1).any()


def describe_slices(slices: list[int], geometry: Geometry) -> str:
    """Describe slices: their numbers by position, and where each is along the patient."""
    places = ", ".join(f"{k + 1} ({_place(k, geometry)})" for k in slices[:_TOLD])
    more = " …" if len(slices) > _TOLD else ""
    return f"slice{'s' * (len(slices) > 1)} {places}{more} of {geometry.shape[0]}"


def mend_blank_slices(ct: CTVolume) -> list[CTWarning]:
    """Count blank slices at the ends as not measured, and estimate single ones inside from their neighbours.

    Args:
        ct: the CT; its ``hu`` and ``padding`` are changed. Blank slices that are too many to be estimated stay.

    Returns:
        Warnings ``blank-slices`` and ``slices-estimated``.
    """
    blank = [int(k) for k in blank_slices(ct)]
    if not blank or len(ct.hu) - len(blank) < MIN_SLICES:
        return []
    estimated = inside(ct)
    ends = [k for k in blank if k not in estimated]
    warnings = []
    if ends:
        _leave_out(ct, ends)
        text = f"Blank {describe_slices(ends, ct.geometry)} at the end of the CT: left out of all measurements."
        warnings.append(CTWarning("blank-slices", text))
    if estimated and can_be_estimated(estimated, len(ct.hu)):
        for k in estimated:
            _estimate(ct, k)
        if ct.padding is not None and not ct.padding.any():
            ct.padding = None
        where = describe_slices(estimated, ct.geometry)
        text = f"Blank {where}: estimated from their neighbours; so are the measurements there."
        warnings.append(CTWarning("slices-estimated", text))
    return warnings


def _padding(ct: CTVolume, k: int) -> np.ndarray | None:
    return None if ct.padding is None else ct.padding[k]


def _is_air_beside(ct: CTVolume, k: int, filled: np.ndarray) -> bool:
    """Whether a slice of a single value is air beside the body, as in a sagittal stack with clipped air."""
    padding = _padding(ct, k)
    measured = ct.hu[k].ravel() if padding is None else ct.hu[k][~padding]
    if not measured.size or not _AIR_HU[0] <= measured[0] <= _AIR_HU[1]:
        return False
    if _across(ct.geometry) != _SUPERIOR:
        return True
    place = int(filled.searchsorted(k))
    body = [ct.hu[n] > _AIR_HU[1] for n in filled[max(0, place - 1) : place + 1]]
    return not body or bool(np.logical_and.reduce(body).mean() < _BODY_SHARE)


def _across(geometry: Geometry) -> int:
    """The anatomical axis that the slices are perpendicular to: left, posterior or superior."""
    return int(np.argmax(np.abs(geometry.index_to_lps[:3, 2])))


def _leave_out(ct: CTVolume, slices: list[int]) -> None:
    if ct.padding is None:
        ct.padding = np.zeros(ct.hu.shape, bool)
    ct.padding[slices] = True
    ct.hu[slices] = HU_MIN


def _estimate(ct: CTVolume, k: int) -> None:
    ct.hu[k] = np.rint((ct.hu[k - 1].astype(np.float32) + ct.hu[k + 1]) / 2)
    if ct.padding is not None:
        ct.padding[k] = ct.padding[k - 1] | ct.padding[k + 1]
        ct.hu[k][ct.padding[k]] = HU_MIN


def _place(k: int, geometry: Geometry) -> str:
    """Position of a slice's first voxel along the anatomical axis nearest to its normal, e.g. ``S −12.5 mm``."""
    axis = _across(geometry)
    at = float((geometry.index_to_lps @ np.array([0.0, 0.0, k, 1.0]))[axis])
    return f"{'LPS'[axis]} {at:.1f} mm".replace("-", "−")
