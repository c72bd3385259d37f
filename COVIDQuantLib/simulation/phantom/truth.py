"""The figures of a phantom by plain counting; they check the quantification, and so share no code with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from COVIDQuantLib.anatomy import OUTSIDE_LOBES, REGIONS, Region

# papers.md, Definitions to use.
_REGIONS = tuple(region for region in REGIONS if not region.zone)
_GGO_HU, _CONSOLIDATION_HU, _WEIGHTLESS_HU = -750.0, -350.0, -1000.0


def region_truth(hu: np.ndarray, lobes: np.ndarray, lesions: np.ndarray, voxel_ml: float) -> list[dict[str, Any]]:
    """Every figure of the contract for every region, in float64, straight from the voxels.

    Args:
        hu: int16 ``[k, j, i]``.
        lobes: labels of the same shape.
        lesions: bool of the same shape.
        voxel_ml: volume of a voxel.

    Returns:
        One record per region of :data:`COVIDQuantLib.anatomy.REGIONS` that is no zone, undefined figures None.
    """
    scores = {label: _score(lobes, lesions, label) for region in _REGIONS if region.is_lobe for label in region.labels}
    return [_record(region, hu, lobes, lesions, voxel_ml, scores) for region in _REGIONS]


def total_truth(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures beside the rows: total CT score and number of involved lobes."""
    lobes = [record for record, region in zip(records, _REGIONS, strict=True) if region.is_lobe]
    return {
        "ct_score_total": _sum([record["ct_score"] for record in lobes]),
        "involved_lobes": sum(bool(record["lesion_volume_ml"] > 0) for record in lobes),
    }


def _score(lobes: np.ndarray, lesions: np.ndarray, label: int) -> int | None:
    lobe = lobes == label
    size = int(np.count_nonzero(lobe))
    if not size:
        return None
    extent = 100.0 * int(np.count_nonzero(lobe & lesions)) / size
    if extent == 0:
        return 0
    if extent <= 5:
        return 1
    if extent <= 25:
        return 2
    if extent < 50:
        return 3
    return 4 if extent <= 75 else 5


def _sum(scores: list[int | None]) -> int | None:
    defined = [score for score in scores if score is not None]
    return sum(defined) if defined else None


def _weight(values: np.ndarray, voxel_ml: float) -> float:
    return float(np.sum((np.maximum(values, _WEIGHTLESS_HU) + 1000.0) / 1000.0) * voxel_ml)


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _record(
    region: Region,
    hu: np.ndarray,
    lobes: np.ndarray,
    lesions: np.ndarray,
    voxel_ml: float,
    scores: dict[int, int | None],
) -> dict[str, Any]:
    member = np.zeros(256, bool)
    member[list(region.labels)] = True
    inside = member[lobes]
    lesion = hu[inside & lesions].astype(np.float64)
    outside = region == OUTSIDE_LOBES
    lung = hu[inside].astype(np.float64) if not outside else np.zeros(0)
    count = lung.size
    ggo = int(np.count_nonzero((lesion >= _GGO_HU) & (lesion < _CONSOLIDATION_HU)))
    consolidation = int(np.count_nonzero(lesion >= _CONSOLIDATION_HU))
    return {
        "region": region.name,
        "volume_ml": None if outside else count * voxel_ml,
        "lesion_volume_ml": lesion.size * voxel_ml,
        "extent_percent": _percent(lesion.size, count),
        "weight_g": _weight(lesion, voxel_ml),
        "ggo_volume_ml": ggo * voxel_ml,
        "consolidation_volume_ml": consolidation * voxel_ml,
        "below_ggo_volume_ml": (lesion.size - ggo - consolidation) * voxel_ml,
        "ggo_percent": _percent(ggo, count),
        "consolidation_percent": _percent(consolidation, count),
        "mean_lesion_hu": _mean(lesion),
        "mean_lung_hu": _mean(lung),
        "lung_weight_g": None if outside else _weight(lung, voxel_ml),
        "ct_score": None if outside else _sum([scores[label] for label in region.labels]),
    }
