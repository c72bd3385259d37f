"""The lesions of an exam one by one: where each lies, its figures, and what it is tracked as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT
from COVIDQuantLib.dicom.objects.tracking import Tracked, Tracking
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.followup.lesions.records import LESION_ML
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.measure_table import Scope
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.region_counts import region_counts
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.components import Component, find_components
from COVIDQuantLib.voxels.geometry import Triple

ALL_LABELS = tuple(range(LABEL_COUNT))


@dataclass(frozen=True)
class Lesion:
    """One connected part of the pneumonia.

    Attributes:
        tracked: its tracking identifier.
        lobe: name of the lobe that holds most of it; empty where it lies in none.
        centre_lps_mm: mean position of its voxels.
        figures: measures of lesion voxels by name; None where undefined.
    """

    tracked: Tracked
    lobe: str
    centre_lps_mm: Triple
    figures: dict[str, float | None]


def find_parts(lobes: np.ndarray, lesions: np.ndarray, spacing_kji: Triple) -> list[Component]:
    """The connected parts that count as lesions, the largest first: the same that are followed between exams."""
    return find_components(lesions, lobes, spacing_kji, LESION_ML)


def lesions_of(exam: Exam, tracking: Tracking) -> list[Lesion]:
    """The lesions of an exam, the largest first."""
    geometry = exam.ct.geometry
    parts = find_parts(exam.segmentation.lobes, exam.segmentation.lesions, geometry.spacing_kji)
    found = []
    for part in parts:
        k, j, i = part.centroid_kji
        x, y, z = (float(mm) for mm in (geometry.index_to_lps @ (i, j, k, 1.0))[:3])
        lobe = part.lobes[0] if part.lobes else ""
        found.append(Lesion(tracking.lesion(part.id), lobe, (x, y, z), _figures(exam, part)))
    return found


def _figures(exam: Exam, part: Component) -> dict[str, float | None]:
    padding = None if exam.ct.padding is None else exam.ct.padding[part.box]
    lobes = exam.segmentation.lobes[part.box]
    counts = JointHistogram.of(exam.ct.hu[part.box], lobes, part.mask, exam.ct.geometry.voxel_volume_ml, padding)
    return lesion_figures(counts, exam.metrics.thresholds)


def lesion_figures(counts: JointHistogram, thresholds: Thresholds) -> dict[str, float | None]:
    """The measures that need lesion voxels alone, of all lesion voxels that were counted."""
    region = region_counts(counts, ALL_LABELS, thresholds)
    return {measure.name: measure.of(region) for measure in MEASURES if measure.scope is Scope.LESION}
