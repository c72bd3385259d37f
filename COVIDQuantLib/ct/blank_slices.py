"""Slices that hold no picture: one value or padding alone, as of a slice that was lost on the way.

At the ends of a CT they count as not measured. A single one inside is estimated from its two neighbours, and the
reader is told; more would be guessed, so such a CT is refused (``ct/checks/run.py``).
"""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.ct.dicom.series.stack import MIN_SLICES
from COVIDQuantLib.ct.volume import HU_MIN, CTVolume, CTWarning
from COVIDQuantLib.voxels.geometry import Geometry

# Of all slices so many at the most are estimated, but one in any case.
_MOST_ESTIMATED = 0.02
# A slice of nothing but air is possible beside a body, not across it: there both neighbours have this share of body.
_AIR_HU = (-1100, -900)
_BODY_SHARE = 0.05
_SUPERIOR = 2
_TOLD = 5


def is_blank(hu: np.ndarray, padding: np.ndarray | None) -> bool:
    """Whether a slice has one single value, padding apart.

    Args:
        hu: whole Hounsfield units ``[j, i]``.
        padding: where nothing was measured, None if nowhere.
    """
    # A few voxels tell of nearly every slice that it is none.
    for step in (8, 1):
        every = np.s_[::step, ::step]
        values = hu[every] if padding is None else hu[every][~padding[every]]
        if values.size and values.min() < values.max():
            return False
    return True


def blank_slices(ct: CTVolume) -> np.ndarray:
    """Numbers of the slices that hold no picture; not those of air beside the body.

    Args:
        ct: the CT.
    """
    blank = np.array([is_blank(hu, _padding(ct, k)) for k, hu in enumerate(ct.hu)])
    filled = np.flatnonzero(~blank)
    return np.array([k for k in np.flatnonzero(blank) if not _is_air_beside(ct, int(k), filled)], np.intp)


def inside(ct: CTVolume) -> list[int]:
    """Numbers of the slices without a picture that have pictures on both sides."""
    blank = blank_slices(ct)
    filled = np.setdiff1d(np.arange(len(ct.hu)), blank)
    return [int(k) for k in blank if len(filled) and filled[0] < k < filled[-1]]


def can_be_estimated(slices: list[int], count: int) -> bool:
    """Whether slices, of so many in all, are few and apart, so that each has two neighbours that were measured."""
    return len(slices) <= max(1.0, _MOST_ESTIMATED * count) and not (np.diff(slices) == 1).any()


def told(slices: list[int], geometry: Geometry) -> str:
    """Slices in words: numbers in the order of their positions, and where each lies along the patient."""
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
        text = f"No picture in {told(ends, ct.geometry)}, at the end: left out of every figure."
        warnings.append(CTWarning("blank-slices", text))
    if estimated and can_be_estimated(estimated, len(ct.hu)):
        for k in estimated:
            _estimate(ct, k)
        if ct.padding is not None and not ct.padding.any():
            ct.padding = None
        text = f"No picture in {told(estimated, ct.geometry)}: estimated from the neighbours, as are all figures there."
        warnings.append(CTWarning("slices-estimated", text))
    return warnings


def _padding(ct: CTVolume, k: int) -> np.ndarray | None:
    return None if ct.padding is None else ct.padding[k]


def _is_air_beside(ct: CTVolume, k: int, filled: np.ndarray) -> bool:
    """Whether a slice of one value is the air beside the body, as in a sagittal stack with air that was clipped."""
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
    """Which of left, posterior, superior the slices lie across."""
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
    """Where a slice's first voxel lies along the axis that its normal is next to, e.g. ``S −12.5 mm``."""
    axis = _across(geometry)
    at = float((geometry.index_to_lps @ np.array([0.0, 0.0, k, 1.0]))[axis])
    return f"{'LPS'[axis]} {at:.1f} mm".replace("-", "−")
