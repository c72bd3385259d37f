"""The counts of one region and the sums that the measures share."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from COVIDQuantLib.ct.volume import HU_MIN
from COVIDQuantLib.quantification.histogram import HU_VALUES, JointHistogram
from COVIDQuantLib.quantification.thresholds import Thresholds

# Grams per litre of lung by CT number: HU + 1000, air and below weigh nothing (papers.md, Definitions: Weight).
_DENSITY_G_PER_L = np.maximum(HU_VALUES, -1000) + 1000


class RegionCounts:
    """Voxels of one region by CT number, lesion and not, with the sums that the measures share.

    All sums are of whole numbers, so that parts add up to wholes exactly.

    Args:
        counts: int64 ``[2, 4096]``; first axis 0 is no lesion, 1 is lesion (histogram.py).
        voxel_volume_ml: volume of one voxel.
        thresholds: bounds of ground glass and consolidation.
    """

    def __init__(self, counts: np.ndarray, voxel_volume_ml: float, thresholds: Thresholds) -> None:
        self._lesion_by_hu = counts[1]
        self._all_by_hu = counts.sum(axis=0)
        self.voxel_volume_ml = voxel_volume_ml
        self._thresholds = thresholds

    @cached_property
    def voxels(self) -> int:
        """Voxels of the region, lesion or not."""
        return int(self._all_by_hu.sum())

    @cached_property
    def lesion_voxels(self) -> int:
        """Lesion voxels of the region."""
        return int(self._lesion_by_hu.sum())

    @cached_property
    def below_ggo_voxels(self) -> int:
        """Lesion voxels below the ground-glass threshold."""
        return int(self._lesion_by_hu[: self._thresholds.ggo_hu - HU_MIN].sum())

    @cached_property
    def consolidation_voxels(self) -> int:
        """Lesion voxels at or above the consolidation threshold."""
        return int(self._lesion_by_hu[self._thresholds.consolidation_hu - HU_MIN :].sum())

    @property
    def ggo_voxels(self) -> int:
        """Lesion voxels between the two thresholds."""
        return self.lesion_voxels - self.below_ggo_voxels - self.consolidation_voxels

    def millilitres(self, voxels: int) -> float:
        """Volume of a number of voxels."""
        return voxels * self.voxel_volume_ml

    def percent(self, voxels: int) -> float | None:
        """A number of voxels as percentage of the region; None if the region is empty."""
        return 100.0 * voxels / self.voxels if self.voxels else None

    def grams(self, by_hu: np.ndarray) -> float:
        """Mass of a histogram's voxels at HU + 1000 grams per litre."""
        return int(by_hu @ _DENSITY_G_PER_L) * self.voxel_volume_ml / 1000.0

    @property
    def lesion_grams(self) -> float:
        """Mass of the lesion."""
        return self.grams(self._lesion_by_hu)

    @property
    def all_grams(self) -> float:
        """Mass of the whole region."""
        return self.grams(self._all_by_hu)

    @property
    def mean_lesion_hu(self) -> float | None:
        """Mean CT number of the lesion; None if there is none."""
        return _mean_hu(self._lesion_by_hu, self.lesion_voxels)

    @property
    def mean_hu(self) -> float | None:
        """Mean CT number of the region; None if it is empty."""
        return _mean_hu(self._all_by_hu, self.voxels)


def _mean_hu(by_hu: np.ndarray, voxels: int) -> float | None:
    return int(by_hu @ HU_VALUES) / voxels if voxels else None


def region_counts(
    histogram: JointHistogram, labels: tuple[int, ...], thresholds: Thresholds, zone: str = ""
) -> RegionCounts:
    """The counts of some label values together, within a zone or everywhere.

    Raises:
        KeyError: that zone was not counted.
    """
    return RegionCounts(histogram.region(labels, zone), histogram.voxel_volume_ml, thresholds)
