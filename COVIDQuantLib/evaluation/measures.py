"""The single definition of all evaluation columns: each a record with unit and formula.

Scores measure how far two masks coincide; quantities are measured on each of them, and reported for both with the
difference. Files, terminal output and plots loop over the two tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.anatomy import OUTSIDE_LABEL
from COVIDQuantLib.evaluation.overlap import ALL_LABELS, LESIONS, LUNGS, Overlap, Structure
from COVIDQuantLib.evaluation.surfaces import SurfaceDistances
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.region_counts import RegionCounts, region_counts
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS


@dataclass(frozen=True)
class Side:
    """The measurements of one of two segmentations of a scan.

    Attributes:
        voxels: int64 ``[6 lobe labels, lesion or not]``; label 0 is outside the lungs.
        voxel_volume_ml: volume of one voxel.
        tells: which of ``lungs``, ``lobes`` and ``lesions`` it contains.
        histogram: its voxels by CT number; None without Hounsfield units.
    """

    voxels: np.ndarray
    voxel_volume_ml: float
    tells: frozenset[str]
    histogram: JointHistogram | None = None

    def volume_ml(self, structure: Structure) -> float:
        """Volume of the structure."""
        chosen = self.voxels[:, 1] if structure is LESIONS else self.voxels[list(structure.labels)]
        return int(chosen.sum()) * self.voxel_volume_ml

    def extent_percent(self, structure: Structure) -> float | None:
        """Share of the structure that is pneumonia; on the row of the lesions, of the lungs."""
        if structure is LUNGS or not {"lungs", "lesions"} <= self.tells:
            return None
        region = self.voxels[list(structure.labels)]
        whole = int(region.sum())
        return 100.0 * int(region[:, 1].sum()) / whole if whole else None

    def weight_g(self, structure: Structure) -> float | None:
        """Weight of the pneumonia in the structure; on the row of the lesions, of all of it."""
        pneumonia = self._pneumonia(structure)
        return None if pneumonia is None else pneumonia.lesion_grams

    def mean_lesion_hu(self, structure: Structure) -> float | None:
        """Mean CT number of the same; None if there is none."""
        pneumonia = self._pneumonia(structure)
        return None if pneumonia is None else pneumonia.mean_lesion_hu

    def _pneumonia(self, structure: Structure) -> RegionCounts | None:
        if structure is LUNGS or self.histogram is None or "lesions" not in self.tells:
            return None
        labels = ALL_LABELS if structure is LESIONS else structure.labels
        return region_counts(self.histogram, labels, DEFAULT_THRESHOLDS)

    def fits_histogram(self) -> bool:
        """Whether the histogram counts exactly this segmentation; outside the lungs it holds lesions only."""
        if self.histogram is None:
            return False
        counted = self.histogram.counts.sum(axis=2)
        inside = [label for label in ALL_LABELS if label != OUTSIDE_LABEL]
        return bool(
            (counted[inside] == self.voxels[inside]).all()
            and counted[OUTSIDE_LABEL, 1] == self.voxels[OUTSIDE_LABEL, 1]
        )


@dataclass(frozen=True)
class StructureAgreement:
    """One structure of one scan in two segmentations.

    Attributes:
        structure: which.
        overlap: in voxels.
        predicted, reference: the measurements of each.
        surface: surface distances; None if not computed or undefined.
    """

    structure: Structure
    overlap: Overlap
    predicted: Side
    reference: Side
    surface: SurfaceDistances | None = None

    @property
    def overlap_ml(self) -> Overlap:
        """The overlap in millilitres."""
        return self.overlap.times(self.reference.voxel_volume_ml)

    @property
    def in_reference(self) -> bool:
        """Whether the reference has any of it."""
        return self.overlap.reference > 0

    def value(self, column: str) -> float | None:
        """One column of the scan's row; None where it is undefined.

        Raises:
            KeyError: there is no such column.
        """
        return COLUMNS[column](self)

    def row(self) -> dict[str, float | None]:
        """Every column."""
        return {column: of(self) for column, of in COLUMNS.items()}


@dataclass(frozen=True)
class Score:
    """How far two masks of one structure coincide.

    Attributes:
        name: its column.
        title: displayed heading.
        unit: displayed unit; empty for a share.
        formula: definition in one line.
        of: its value for one scan; None where undefined.
        pooled: its value over the voxels of all scans together; None if undefined.
    """

    name: str
    title: str
    unit: str
    formula: str
    of: Callable[[StructureAgreement], float | None]
    pooled: Callable[[Overlap], float | None] | None = None


@dataclass(frozen=True)
class Quantity:
    """A quantity measured on each segmentation, so that the two can be compared.

    Attributes:
        name: its name; with the units it forms the columns ``predicted_…``, ``reference_…`` and ``…_difference_…``.
        title: displayed heading.
        unit: suffix of its columns.
        difference_unit: suffix of its difference column.
        symbol: displayed unit.
        formula: definition in one line.
        of: its value for one side; None where undefined.
        levels: levels at which limits of agreement from square roots are reported; empty if they are not meaningful.
    """

    name: str
    title: str
    unit: str
    difference_unit: str
    symbol: str
    formula: str
    of: Callable[[Side, Structure], float | None]
    levels: tuple[float, ...] = ()

    @property
    def predicted(self) -> str:
        """Column of the predicted value."""
        return f"predicted_{self.name}_{self.unit}"

    @property
    def reference(self) -> str:
        """Column of the reference value."""
        return f"reference_{self.name}_{self.unit}"

    @property
    def difference(self) -> str:
        """Column of predicted − reference."""
        return f"{self.name}_difference_{self.difference_unit}"

    def pair(self, one: StructureAgreement) -> tuple[float, float] | None:
        """Predicted and reference value of a scan; None unless both are defined."""
        predicted, reference = self.of(one.predicted, one.structure), self.of(one.reference, one.structure)
        return None if predicted is None or reference is None else (predicted, reference)

    def difference_of(self, one: StructureAgreement) -> float | None:
        """Predicted − reference of a scan."""
        both = self.pair(one)
        return None if both is None else both[0] - both[1]


def _relative_volume(one: StructureAgreement) -> float | None:
    reference = one.overlap.reference
    return 100.0 * (one.overlap.predicted - reference) / reference if reference else None


SCORES: tuple[Score, ...] = (
    Score(
        "dice",
        "Dice",
        "",
        "2·both / (predicted + reference)",
        lambda one: one.overlap.dice,
        lambda overlap: overlap.dice,
    ),
    Score("iou", "IoU", "", "both / (predicted or reference)", lambda one: one.overlap.iou, lambda o: o.iou),
    Score(
        "sensitivity",
        "Sensitivity",
        "",
        "both / reference",
        lambda one: one.overlap.sensitivity,
        lambda overlap: overlap.sensitivity,
    ),
    Score("ppv", "PPV", "", "both / predicted", lambda one: one.overlap.ppv, lambda overlap: overlap.ppv),
    Score(
        "surface_distance_mm",
        "Surface distance",
        "mm",
        "mean over the voxels of both surfaces of the distance to the other surface",
        lambda one: one.surface.mean_mm if one.surface else None,
    ),
    Score(
        "surface_distance_95_mm",
        "95 % distance",
        "mm",
        "larger of the two sides' 95th percentiles of that distance",
        lambda one: one.surface.percentile95_mm if one.surface else None,
    ),
    Score(
        "volume_difference_percent",
        "Volume difference",
        "%",
        "100 × (predicted − reference) / reference volume",
        _relative_volume,
    ),
)

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("volume", "Volume", "ml", "ml", "mL", "voxels × voxel volume", lambda side, s: side.volume_ml(s)),
    Quantity(
        "extent",
        "Extent",
        "percent",
        "points",
        "%",
        "100 × pneumonia / volume, of each lobe and lung; on the row lesions, of the lungs",
        lambda side, structure: side.extent_percent(structure),
        (10.0, 50.0),
    ),
    Quantity(
        "weight",
        "Weight",
        "g",
        "g",
        "g",
        "Σ voxel volume × (max(HU, −1000) + 1000) / 1000 g/mL over the pneumonia in it; on the row lesions, over all",
        lambda side, structure: side.weight_g(structure),
        (100.0, 500.0),
    ),
    Quantity(
        "mean_lesion",
        "Lesion mean",
        "hu",
        "hu",
        "HU",
        "mean HU of the same voxels",
        lambda side, structure: side.mean_lesion_hu(structure),
    ),
)

_Column = Callable[[StructureAgreement], float | None]
_OVERLAPS: dict[str, _Column] = {
    "both_ml": lambda one: one.overlap_ml.both,
    "only_predicted_ml": lambda one: one.overlap_ml.only_predicted,
    "only_reference_ml": lambda one: one.overlap_ml.only_reference,
}


def _quantity_columns(quantity: Quantity) -> dict[str, _Column]:
    return {
        quantity.predicted: lambda one: quantity.of(one.predicted, one.structure),
        quantity.reference: lambda one: quantity.of(one.reference, one.structure),
        quantity.difference: quantity.difference_of,
    }


COLUMNS: dict[str, _Column] = {
    **_OVERLAPS,
    **{score.name: score.of for score in SCORES},
    **{name: of for quantity in QUANTITIES for name, of in _quantity_columns(quantity).items()},
}
