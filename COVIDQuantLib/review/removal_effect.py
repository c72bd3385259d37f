"""The exact figures without part of the lesion, from the joint histogram."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT, OUTSIDE_LABEL, WHOLE_LUNG
from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN
from COVIDQuantLib.quantification.histogram import HU_BINS, JointHistogram
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.region_counts import region_counts
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds


def without(histogram: JointHistogram, hu: np.ndarray, labels: np.ndarray) -> JointHistogram:
    """The histogram when some lesion voxels are no longer lesion.

    Args:
        histogram: counts of the exam.
        hu: HU of those voxels, ``[n]``.
        labels: their lobe labels, ``[n]``.
    """
    index = np.clip(hu.astype(np.intp), HU_MIN, HU_MAX) - HU_MIN
    index += labels.astype(np.intp) * HU_BINS
    moved = np.bincount(index, minlength=LABEL_COUNT * HU_BINS).reshape(LABEL_COUNT, HU_BINS)
    counts = histogram.counts.copy()
    counts[:, 1] -= moved
    # Outside the lobes only lesion voxels are counted.
    moved[OUTSIDE_LABEL] = 0
    counts[:, 0] += moved
    return JointHistogram(histogram.voxel_volume_ml, counts)


def figures(
    histogram: JointHistogram, thresholds: Thresholds = DEFAULT_THRESHOLDS, *, lobes_known: bool = True
) -> dict[str, float]:
    """The measures of the whole lung by name, without undefined ones."""
    whole = region_counts(histogram, WHOLE_LUNG.labels, thresholds)
    values = {measure.name: measure.of(whole) for measure in MEASURES if not measure.summed_over_lobes}
    if lobes_known:
        lobes = [region_counts(histogram, (label,), thresholds) for label in WHOLE_LUNG.labels]
        for measure in (measure for measure in MEASURES if measure.summed_over_lobes):
            known = [value for lobe in lobes if (value := measure.of(lobe)) is not None]
            values[measure.name] = sum(known) if known else None
    return {name: value for name, value in values.items() if value is not None}


def effect_of_removal(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The change of every figure that is defined both before and after."""
    return {name: after[name] - value for name, value in before.items() if name in after}
