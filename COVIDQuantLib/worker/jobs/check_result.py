"""What the process of a check does. Nothing of Slicer is imported here."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.checks.run import check_labels
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.grades import CheckResult
from COVIDQuantLib.progress import Report
from COVIDQuantLib.voxels.geometry import Geometry


def checked(
    values: np.ndarray, lobes: np.ndarray, lesions: np.ndarray, geometry: Geometry, report: Report
) -> list[CheckResult]:
    """The checks of labels on a CT in any orientation.

    Args:
        values: HU as the CT node holds them, any number type, ``[k, j, i]``.
        lobes: uint8 label values on the same grid.
        lesions: bool, the same.
        geometry: of the grid.
        report: progress.
    """
    checks = check_labels(CTVolume.from_values(values, geometry), lobes, lesions)
    report(1.0)
    return checks
