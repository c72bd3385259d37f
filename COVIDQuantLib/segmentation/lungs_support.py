"""Whether soft tissue beside the aerated lung is dense lung: disease shades into the lung, chest wall ends at once."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.segmentation.morphology import Spacing, distance_to

# The lung looked at begins beyond the blur of the edge.
SHELL_MM = (3.0, 9.0)
OPAQUE_ABOVE_NORMAL_HU = 120
AROUND_MM = 12.0
LEAST_SHARE = 0.2


def beside_opacity(added: np.ndarray, lung: np.ndarray, hu: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The part of ``added`` whose neighbouring lung is opaque too.

    Args:
        added: soft tissue proposed as dense lung ``[k, j, i]``.
        lung: aerated lung.
        hu: working grid.
        spacing: mm per axis.
    """
    if not added.any() or not lung.any():
        return added
    apart = distance_to(added, spacing)
    shell = lung & (apart > SHELL_MM[0]) & (apart <= SHELL_MM[1])
    normal = float(np.median(hu[lung & (hu < np.percentile(hu[lung], 60))]))
    opaque = shell & (hu > normal + OPAQUE_ABOVE_NORMAL_HU)
    sigma = [AROUND_MM / mm for mm in spacing]
    seen = ndimage.gaussian_filter(shell.astype(np.float32), sigma)
    shaded = ndimage.gaussian_filter(opaque.astype(np.float32), sigma)
    return added & (shaded > LEAST_SHARE * seen)
