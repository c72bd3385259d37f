"""What the process of a search does: sort a lesion's components by suspicion. Nothing of Slicer is imported here."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.progress import Report
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.suspicion import Finding, rank
from COVIDQuantLib.voxels.geometry import Triple


def ranked(
    hu: np.ndarray,
    lesions: np.ndarray,
    lobes: np.ndarray,
    counts: np.ndarray,
    spacing_kji: Triple,
    voxel_volume_ml: float,
    thresholds: Thresholds,
    report: Report,
) -> list[Finding]:
    """:func:`~COVIDQuantLib.review.suspicion.rank` of arrays ``[k, j, i]`` on a canonical grid and their counts."""
    histogram = JointHistogram(voxel_volume_ml, counts)
    return rank(hu, lesions, lobes, spacing_kji, histogram=histogram, thresholds=thresholds, report=report)
