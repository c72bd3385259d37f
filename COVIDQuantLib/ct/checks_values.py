"""Whether values are Hounsfield units of a body in air: told by how they are spread, not by single voxels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

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
# Filler is one value or a few; when so large a share of the picture lies below any air at many values, it is air
# of a scale that is not Hounsfield's.
_MAX_SCATTERED = 0.05
_FILLER_VALUES = 3
_FILLER_WIDTH = 5.0
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
            "nothing was measured, every voxel is padding", name, "Give another series.", code="nothing-measured"
        )
    why = _why_not_hounsfield(counts, extremes[0], _scattered(filler) / ct.hu.size)
    if why:
        told = f"values run from {extremes[0]:g} to {extremes[1]:g}"
        raise UnfitInputError(f"not Hounsfield units: {why}; {told}", name, _REMEDY, code="not-hounsfield")


def _why_not_hounsfield(counts: np.ndarray, lowest: float, scattered: float) -> str:
    if lowest >= 0:
        return "no value is negative"
    if scattered > _MAX_SCATTERED:
        return f"{100 * scattered:.0f} % of the picture lies below −1500 HU, below any air, at many values"
    measured = counts.sum()
    dense = _count(counts, _DENSE_HU + 1) / measured
    if dense > _MAX_DENSE:
        return f"{100 * dense:.0f} % of the picture is as dense as bone, as when 1000 was added to every value"
    # What is clipped lies at the lowest value, as does a border that someone drew: it tells nothing of the scale.
    if np.count_nonzero(counts) > 1:
        counts = counts.copy()
        counts[np.flatnonzero(counts)[0]] = 0
    told = counts.sum()
    if _count(counts, HU_MIN, _AIR_BELOW_HU) < _MIN_AIR * told:
        return "no air or lung as a chest CT has near −1000 HU"
    tissue = _count(counts, _TISSUE_HU[0] + 1, _TISSUE_HU[1])
    enough = tissue >= max(_MIN_TISSUE * told, _MIN_TISSUE_OF_ALL * measured)
    return "" if enough else "no soft tissue as a chest CT has near 0 HU"


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
    """How many of some million measured voxels, spread over the volume, have each value from −1024 on."""
    counts = np.zeros(HU_MAX - HU_MIN + 1, np.int64)
    k, *plane = (slice(None, None, max(1, n // 100)) for n in ct.hu.shape)
    for n in range(len(ct.hu))[k]:
        values = ct.hu[n][tuple(plane)]
        measured = values.ravel() if ct.padding is None else values[~ct.padding[n][tuple(plane)]]
        counts += np.bincount(measured.astype(np.intp) - HU_MIN, minlength=len(counts))
    return counts
