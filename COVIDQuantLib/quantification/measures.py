"""The one place that knows the measures: every column of the table as a record with its unit, formula and source.

A measure is a function of one region's counts, so it is exact and costs microseconds whatever the size of the CT.
A new one is one more record here, which also says where there is room to show it.
"""

from __future__ import annotations

from COVIDQuantLib.quantification.measure_table import Measure, MeasureTable, Scope, View
from COVIDQuantLib.quantification.region_counts import RegionCounts


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


_RECORDS: tuple[Measure, ...] = (
    Measure(
        "volume_ml",
        "Volume",
        "mL",
        "voxels × voxel volume",
        "H1, P3",
        lambda r: r.millilitres(r.voxels),
        shown=View.TERMINAL | View.EXAMS,
        words="Lung volume",
        sheet=6,
    ),
    Measure(
        "lesion_volume_ml",
        "Lesion",
        "mL",
        "lesion voxels × voxel volume",
        "H1, P3",
        lambda r: r.millilitres(r.lesion_voxels),
        scope=Scope.LESION,
        shown=View.PANEL | View.TERMINAL,
        sheet=1,
    ),
    Measure(
        "extent_percent",
        "Extent",
        "%",
        "100 × lesion volume / region volume (QCT-PLO, POI, percent of pulmonary lesions)",
        "H1, P3, C2, Y2",
        lambda r: r.percent(r.lesion_voxels),
        decimals=2,
        shown=View.PANEL | View.TERMINAL | View.EXAMS | View.BRIEF | View.SEGMENTS,
        headline=1,
    ),
    Measure(
        "weight_g",
        "Weight",
        "g",
        "Σ over lesion voxels of voxel volume × (max(HU, −1000) + 1000) / 1000 g/mL",
        "Y2",
        lambda r: r.lesion_grams,
        scope=Scope.LESION,
        shown=View.PANEL | View.TERMINAL | View.EXAMS | View.BRIEF | View.SEGMENTS,
        headline=2,
        sheet=2,
        breath_free=True,
    ),
    Measure(
        "ggo_volume_ml",
        "GGO",
        "mL",
        "volume of lesion voxels with GGO threshold ≤ HU < consolidation threshold",
        "P3",
        lambda r: r.millilitres(r.ggo_voxels),
        scope=Scope.LESION,
        shown=View.SEGMENTS,
    ),
    Measure(
        "consolidation_volume_ml",
        "Consolidation",
        "mL",
        "volume of lesion voxels with HU ≥ consolidation threshold",
        "P3",
        lambda r: r.millilitres(r.consolidation_voxels),
        scope=Scope.LESION,
        shown=View.SEGMENTS,
    ),
    Measure(
        "below_ggo_volume_ml",
        "Below GGO",
        "mL",
        "volume of lesion voxels with HU < GGO threshold",
        "P3",
        lambda r: r.millilitres(r.below_ggo_voxels),
        scope=Scope.LESION,
    ),
    Measure(
        "ggo_percent",
        "GGO",
        "%",
        "100 × GGO volume / region volume",
        "P3",
        lambda r: r.percent(r.ggo_voxels),
        decimals=2,
        shown=View.PANEL | View.TERMINAL,
        words="Ground glass",
        headline=4,
        sheet=3,
    ),
    Measure(
        "consolidation_percent",
        "Consolidation",
        "%",
        "100 × consolidation volume / region volume",
        "P3",
        lambda r: r.percent(r.consolidation_voxels),
        decimals=2,
        shown=View.PANEL | View.TERMINAL,
        headline=5,
        sheet=4,
    ),
    Measure(
        "mean_lesion_hu",
        "Lesion mean",
        "HU",
        "mean HU of the lesion voxels (iHU)",
        "C2",
        lambda r: r.mean_lesion_hu,
        scope=Scope.LESION,
        decimals=0,
        shown=View.PANEL | View.TERMINAL | View.EXAMS,
        words="Mean density",
        sheet=5,
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
        breath_free=True,
    ),
    Measure(
        "ct_score",
        "CT score",
        "",
        "0 → 0; (0, 5] → 1; (5, 25] → 2; (25, 50) → 3; [50, 75] → 4; > 75 → 5 by extent in %; a lung sums its lobes",
        "P5",
        ct_score,
        scope=Scope.LOBE,
        decimals=0,
        shown=View.PANEL | View.TERMINAL | View.EXAMS,
    ),
)

MEASURES = MeasureTable(_RECORDS)
