"""From the joint histogram to the contract's table: regions down, measures across, and the patient's summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from COVIDQuantLib.anatomy import OUTSIDE_LOBES, REGIONS, WHOLE_LUNG, Region
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.measure_table import Measure
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.reference import (
    NormalReference,
    distribution,
    hellinger_distance,
    intersection_over_union,
    lung_counts,
    shipped_reference,
)
from COVIDQuantLib.quantification.region_counts import RegionCounts, region_counts
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds

Value = str | float | int | None
Row = dict[str, Value]


@dataclass(frozen=True)
class MetricsTable:
    """Every figure of one exam.

    Attributes:
        rows: one record per region in the contract's order, keyed by column; None where undefined.
        ct_score_total: sum of the lobes' CT scores, 0..25; None if no lobe has a volume.
        involved_lobes: lobes with any lesion.
        hellinger_distance: of the lungs' HU distribution to the normal reference; None without lungs.
        histogram_iou: overlap of the same two; None without lungs.
        thresholds: what parted ground glass and consolidation.
    """

    rows: tuple[Row, ...]
    ct_score_total: int | None
    involved_lobes: int
    hellinger_distance: float | None
    histogram_iou: float | None
    thresholds: Thresholds

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, ``region`` first."""
        return MEASURES.columns

    def row(self, region: str) -> Row:
        """The row of a region by name.

        Raises:
            KeyError: no region has this name.
        """
        for row in self.rows:
            if row["region"] == region:
                return row
        raise KeyError(region)

    def value(self, region: str, measure: str) -> float | None:
        """One figure; None where it is undefined."""
        value = self.row(region)[measure]
        if isinstance(value, str):
            raise KeyError(measure)
        return value

    def summary(self) -> dict[str, Any]:
        """What ``metrics.json`` holds beside the rows about the patient."""
        return {
            "ct_score_total": self.ct_score_total,
            "involved_lobes": self.involved_lobes,
            "hellinger_distance": self.hellinger_distance,
            "histogram_iou": self.histogram_iou,
            "thresholds": self.thresholds.as_record(),
        }


def compute_metrics(
    histogram: JointHistogram,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    reference: NormalReference | None = None,
) -> MetricsTable:
    """Every figure of the contract from the histogram (papers.md, Definitions).

    Args:
        histogram: counts of the exam.
        thresholds: bounds of ground glass and consolidation.
        reference: normal lungs to compare with; the shipped one by default.
    """
    counts = {
        region.name: region_counts(histogram, region.labels, thresholds, region.zone)
        for region in REGIONS
        if not region.zone or region.zone in histogram.zones
    }
    rows = tuple(_row(region, counts) for region in REGIONS)
    lobes = [region for region in REGIONS if region.is_lobe]
    lungs = lung_counts(histogram)
    distance = overlap = None
    if lungs.any():
        patient, normal = distribution(lungs), (reference or shipped_reference()).frequency
        distance, overlap = hellinger_distance(patient, normal), intersection_over_union(patient, normal)
    total = next(row["ct_score"] for row in rows if row["region"] == WHOLE_LUNG.name)
    return MetricsTable(
        rows,
        None if total is None else int(total),
        sum(counts[lobe.name].lesion_voxels > 0 for lobe in lobes),
        distance,
        overlap,
        thresholds,
    )


def _row(region: Region, counts: dict[str, RegionCounts]) -> Row:
    row: Row = {"region": region.name}
    for measure in MEASURES:
        row[measure.name] = _value(measure, region, counts)
    return row


def _value(measure: Measure, region: Region, counts: dict[str, RegionCounts]) -> float | None:
    if region is OUTSIDE_LOBES and not measure.outside:
        return None
    # A zone that was not counted has no figures, and no zone has those of whole lobes.
    if region.name not in counts or (region.zone and measure.summed_over_lobes):
        return None
    if measure.summed_over_lobes and not region.is_lobe:
        lobes = (lobe for lobe in REGIONS if lobe.is_lobe and lobe.labels[0] in region.labels)
        values = [value for lobe in lobes if (value := measure.of(counts[lobe.name])) is not None]
        return sum(values) if values else None
    return measure.of(counts[region.name])
