"""Check that values are Hounsfield units of a body in air, by their distribution rather than single voxels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import gaussian_filter1d

from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN, CTVolume
from COVIDQuantLib.errors import UnfitInputError

# Shares of the measured voxels that a chest in HU has at least: air or aerated lung, and soft tissue with blood.
_AIR_BELOW_HU = -700
_MIN_AIR = 0.003
_TISSUE_HU = (-200, 300)
_MIN_TISSUE = 0.02
_MIN_TISSUE_OF_ALL = 0.01
# Above this lie dense bone, iodine and metal, 2 % of a chest at the most; shifted by 1000 all soft tissue does.
_DENSE_HU = 700
_MAX_DENSE = 0.15
# Filler has one or a few values. When this share of the image lies below air, spread over many values, the scale is
# not HU.
_MAX_SCATTERED = 0.05
_FILLER_VALUES = 3
_FILLER_WIDTH = 5.0
# Multiplied by 2 and clipped at −1024, air and lung lie at the lowest value (34 % and more of 14 real CTs, else at most
# 30 %), little lies where lung does (at most 6 %, else at least 32 %), and the peaks of fat and of soft tissue move (to
# −137 HU and beyond, else from −110 HU; to 72 HU and beyond, else up to 65 HU). All signs must agree.
_MIN_CLIPPED = 0.25
_LUNG_HU = (-1000, -600)
_MAX_LUNG_IF_CLIPPED = 0.15
_FAT_HU, _MUSCLE_HU = (-300, -40), (0, 250)
_FAT_FROM_HU, _MUSCLE_TO_HU = -125, 70
_PEAK_WIDTH_HU = 6.0
_PEAK_HU = 20
_MIN_PEAK = 0.01
_REMEDY = "Export the CT in Hounsfield units (rescale slope and intercept applied)."


def check_values(ct: CTVolume, name: str, extremes: tuple[float, float], filler: Mapping[float, int]) -> None:
    """Refuse a CT whose values are shifted, scaled, or of no body in air.

    Args:
        ct: the CT.
        name: the series or file, for the message.
        extremes: lowest and highest measured value in the file.
        filler: values that were taken as padding and how many voxels have each.

    Raises:
        UnfitInputError: the values are not Hounsfield units, or nothing was measured.
    """
    counts = _histogram(ct)
    if not counts.any():
        raise UnfitInputError(
            "the CT is empty: every voxel is padding", name, "Give another series.", code="nothing-measured"
        )
    why = _why_not_hounsfield(counts, extremes[0], _scattered(filler) / ct.hu.size)
    if why:
        described = f"values run from {extremes[0]:g} to {extremes[1]:g}"
        raise UnfitInputError(f"not Hounsfield units: {why}; {described}", name, _REMEDY, code="not-hounsfield")


def _why_not_hounsfield(counts: np.ndarray, lowest: float, scattered: float) -> str:
    if lowest >= 0:
        return "no value is negative"
    if scattered > _MAX_SCATTERED:
        return f"{100 * scattered:.0f} % of the voxels lie below −1500 HU, below any air, spread over many values"
    measured = counts.sum()
    dense = _count(counts, _DENSE_HU + 1) / measured
    if dense > _MAX_DENSE:
        return f"{100 * dense:.0f} % of the voxels are as dense as bone, as if 1000 had been added to every value"
    # Clipped voxels, or a border drawn later, have the lowest value; they say nothing about the scale.
    clipped = 0.0
    if np.count_nonzero(counts) > 1:
        counts = counts.copy()
        lowest_bin = np.flatnonzero(counts)[0]
        clipped = counts[lowest_bin] / measured
        counts[lowest_bin] = 0
    described = counts.sum()
    if _count(counts, HU_MIN, _AIR_BELOW_HU) < _MIN_AIR * described:
        return "there is no air or lung near −1000 HU, as in every chest CT"
    tissue = _count(counts, _TISSUE_HU[0] + 1, _TISSUE_HU[1])
    enough = tissue >= max(_MIN_TISSUE * described, _MIN_TISSUE_OF_ALL * measured)
    if not enough:
        return "there is no soft tissue near 0 HU, as in every chest CT"
    return _why_stretched(counts) if clipped >= _MIN_CLIPPED else ""


def _why_stretched(counts: np.ndarray) -> str:
    """Evidence that values were multiplied and clipped: no lung, and fat and muscle too far apart."""
    if _count(counts, *_LUNG_HU) > _MAX_LUNG_IF_CLIPPED * counts.sum():
        return ""
    fat, muscle = _peak(counts, _FAT_HU), _peak(counts, _MUSCLE_HU)
    if fat is None or muscle is None or fat >= _FAT_FROM_HU or muscle <= _MUSCLE_TO_HU:
        return ""
    return f"fat is at {fat} HU and soft tissue at {muscle} HU, as if every value had been multiplied"


def _peak(counts: np.ndarray, limits: tuple[int, int]) -> int | None:
    """The value at which most voxels lie; None if it is at the edge of the limits or too few lie there."""
    smooth = gaussian_filter1d(counts.astype(float), _PEAK_WIDTH_HU)[limits[0] - HU_MIN : limits[1] - HU_MIN]
    place = int(smooth.argmax())
    value = limits[0] + place
    enough = _count(counts, value - _PEAK_HU, value + _PEAK_HU + 1) >= _MIN_PEAK * counts.sum()
    return value if 0 < place < len(smooth) - 1 and enough else None


def _count(counts: np.ndarray, low: int, high: int = HU_MAX + 1) -> int:
    """Voxels from one value up to but not including another."""
    return int(counts[low - HU_MIN : high - HU_MIN].sum())


def _scattered(filler: Mapping[float, int]) -> int:
    """Voxels below −1500 HU that have none of the few most frequent values there."""
    low = {value: count for value, count in filler.items() if value < HU_MIN}
    for _ in range(_FILLER_VALUES):
        if not low:
            return 0
        centre = max(low, key=lambda value: low[value])
        low = {value: count for value, count in low.items() if abs(value - centre) > _FILLER_WIDTH}
    return sum(low.values())


def _histogram(ct: CTVolume) -> np.ndarray:
    """Histogram of up to some million measured voxels, spread over the volume, from −1024 HU up."""
    counts = np.zeros(HU_MAX - HU_MIN + 1, np.int64)
    k, *plane = (slice(None, None, max(1, n // 100)) for n in ct.hu.shape)
    for n in range(len(ct.hu))[k]:
        values = ct.hu[n][tuple(plane)]
        measured = values.ravel() if ct.padding is None else values[~ct.padding[n][tuple(plane)]]
        counts += np.bincount(measured.astype(np.intp) - HU_MIN, minlength=len(counts))
    return counts
