"""Find where in a CT lung can be, in a background process. Nothing of Slicer is imported here."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.progress import Report
from COVIDQuantLib.segmentation.patient.bounds import find_chest
from COVIDQuantLib.voxels.geometry import Geometry


def packed_chest(values: np.ndarray, geometry: Geometry, report: Report) -> np.ndarray:
    """Where lung can be in a CT in any orientation, by the bounds that also limit both segmentation methods.

    Args:
        values: HU as the CT node holds them, any number type, ``[k, j, i]``.
        geometry: of the grid.
        report: progress.

    Returns:
        uint8 ``[k, j, bytes]``, the bool mask with eight voxels along ``i`` in a byte (``numpy.packbits``).
    """
    upright, turn = CTVolume.from_values(values, geometry).canonical()
    allowed = turn.undo(find_chest(upright).allowed())
    report(1.0)
    return np.packbits(allowed, axis=2)
