"""The one place that knows the measures: every column of the table as a record with its unit, formula and source.

A measure is a function of one region's counts, so it is exact and costs microseconds whatever the size of the CT.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


def ct_score(counts: RegionCounts) -> int | None:
    """CT score of one lobe, 0..5, from its extent (papers.md row P5); None if the lobe is empty.

    Compared in whole numbers, so that an extent of exactly 5, 25, 50 or 75 % falls on the side the definition says.
    """
    if not counts.voxels:
        return None
    lesion, lobe = 100 * counts.lesion_voxels, counts.voxels
    if lesion == 0:
        return 0
    edges = (lesion <= 5 * lobe, lesion <= 25 * lobe, lesion < 50 * lobe, lesion <= 75 * lobe)
    return next((score for score, below in enumerate(edges, start=1) if below), 5)


@dataclass(frozen=True)
class Measure:
    """A column of the metrics table.

    Attributes:
        name: column of ``metrics.csv`` and key in ``metrics.json`` (design.md, contract).
        title: heading for people.
        unit: unit for people; empty for a score.
        formula: definition in one line.
        source: paper row in papers.md.
        of: the value of one region; None where it is undefined.
        outside: whether it has a value for what lies outside every lobe (lesion figures only).
        summed_over_lobes: whether a lung's value is the sum over its lobes instead of ``of`` its own counts.
        decimals: digits after the point in displays; files carry full precision.
    """

    name: str
    title: str
    unit: str
    formula: str
    source: str
    of: Callable[[RegionCounts], float | None]
    outside: bool = False
    summed_over_lobes: bool = False
    decimals: int = 1


MEASURES: tuple[Measure, ...] = (
    Measure(
        "volume_ml",
        "Volume",
        "mL",
        "voxels × voxel volume",
        "H1, P3",
        lambda r: r.millilitres(r.voxels),
    ),
    Measure(
        "lesion_volume_ml",
        "Lesion",
        "mL",
        "lesion voxels × voxel volume",
        "H1, P3",
        lambda r: r.millilitres(r.lesion_voxels),
        outside=True,
    ),
    Measure(
        "extent_percent",
        "Extent",
        "%",
        "100 × lesion volume / region volume (QCT-PLO, POI, percent of pulmonary lesions)",
        "H1, P3, C2, Y2",
        lambda r: r.percent(r.lesion_voxels),
        decimals=2,
    ),
    Measure(
        "weight_g",
        "Weight",
        "g",
        "Σ over lesion voxels of voxel volume × (max(HU, −1000) + 1000) / 1000 g/mL",
        "Y2",
        lambda r: r.lesion_grams,
        outside=True,
    ),
    Measure(
        "ggo_volume_ml",
        "GGO",
        "mL",
        "volume of lesion voxels with GGO threshold ≤ HU < consolidation threshold",
        "P3",
        lambda r: r.millilitres(r.ggo_voxels),
        outside=True,
    ),
    Measure(
        "consolidation_volume_ml",
        "Consolidation",
        "mL",
        "volume of lesion voxels with HU ≥ consolidation threshold",
        "P3",
        lambda r: r.millilitres(r.consolidation_voxels),
        outside=True,
    ),
    Measure(
        "below_ggo_volume_ml",
        "Below GGO",
        "mL",
        "volume of lesion voxels with HU < GGO threshold",
        "P3",
        lambda r: r.millilitres(r.below_ggo_voxels),
        outside=True,
    ),
    Measure(
        "ggo_percent",
        "GGO",
        "%",
        "100 × GGO volume / region volume",
        "P3",
        lambda r: r.percent(r.ggo_voxels),
        decimals=2,
    ),
    Measure(
        "consolidation_percent",
        "Consolidation",
        "%",
        "100 × consolidation volume / region volume",
        "P3",
        lambda r: r.percent(r.consolidation_voxels),
        decimals=2,
    ),
    Measure(
        "mean_lesion_hu",
        "Lesion mean",
        "HU",
        "mean HU of the lesion voxels (iHU)",
        "C2",
        lambda r: r.mean_lesion_hu,
        outside=True,
        decimals=0,
    ),
    Measure(
        "mean_lung_hu",
        "Lung mean",
        "HU",
        "mean HU of all voxels of the region",
        "P4",
        lambda r: r.mean_hu,
        decimals=0,
    ),
    Measure(
        "lung_weight_g",
        "Lung weight",
        "g",
        "Σ over all voxels of the region of voxel volume × (max(HU, −1000) + 1000) / 1000 g/mL",
        "Y2",
        lambda r: r.all_grams,
        decimals=0,
    ),
    Measure(
        "ct_score",
        "CT score",
        "",
        "0 → 0; (0, 5] → 1; (5, 25] → 2; (25, 50) → 3; [50, 75] → 4; > 75 → 5 by extent in %; a lung sums its lobes",
        "P5",
        ct_score,
        summed_over_lobes=True,
        decimals=0,
    ),
)

COLUMNS: tuple[str, ...] = ("region", *(measure.name for measure in MEASURES))


def region_counts(histogram: JointHistogram, labels: tuple[int, ...], thresholds: Thresholds) -> RegionCounts:
    """The counts of some label values together."""
    return RegionCounts(histogram.region(labels), histogram.voxel_volume_ml, thresholds)
