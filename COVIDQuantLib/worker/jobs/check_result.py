"""Check a result, in a background process. Nothing of Slicer is imported here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.checks.run import check_labels
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.grades import CheckResult
from COVIDQuantLib.progress import Report
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.voxels.geometry import Geometry


@dataclass(frozen=True)
class Checked:
    """Checks, and of what.

    Attributes:
        checks: their results.
        counts: of what was checked, int64 ``[6, 2, 4096]``.
    """

    checks: list[CheckResult]
    counts: np.ndarray


def checked(values: np.ndarray, lobes: np.ndarray, lesions: np.ndarray, geometry: Geometry, report: Report) -> Checked:
    """The checks of labels on a CT in any orientation.

    Args:
        values: HU as the CT node holds them, any number type, ``[k, j, i]``.
        lobes: uint8 label values on the same grid.
        lesions: bool, the same.
        geometry: of the grid.
        report: progress.
    """
    ct = CTVolume.from_values(values, geometry)
    checks = check_labels(ct, lobes, lesions)
    counts = JointHistogram.of(ct.hu, lobes, lesions, geometry.voxel_volume_ml, ct.padding)
    report(1.0)
    return Checked(checks, counts.counts)
