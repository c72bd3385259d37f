"""Decide whether soft tissue beside aerated lung is dense lung: unlike the wall, disease blends into or indents it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import Spacing, close, distance_to

# The examined lung starts beyond the blur of the edge.
SHELL_MM = (3.0, 9.0)
OPAQUE_ABOVE_NORMAL_HU = 120
# Dependent lung of an expiratory scan comes this near to normal; where opacity is the only evidence, more is required.
CLEARLY_OPAQUE_HU = 220
SOFT_HU = -500
AROUND_MM = 12.0
LEAST_SHARE = 0.2
# A dent is where a ball of this radius rolling outside the lung cannot enter.
DENT_BALL_MM = 25.0
LEAST_DENT = 0.25


def beside_opacity(added: np.ndarray, lung: np.ndarray, hu: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The part of ``added`` whose neighbouring lung is opaque too, or dented by it.

    Args:
        added: soft tissue proposed as dense lung ``[k, j, i]``.
        lung: aerated lung.
        hu: working grid.
        spacing: mm per axis.
    """
    if not added.any() or not lung.any():
        return added
    apart = distance_to(added, spacing)
    shell, opaque = _shell(apart, lung, hu, OPAQUE_ABOVE_NORMAL_HU)
    sigma = [AROUND_MM / mm for mm in spacing]
    seen = ndimage.gaussian_filter(shell.astype(np.float32), sigma)
    shaded = ndimage.gaussian_filter(opaque.astype(np.float32), sigma)
    dent = close(lung, DENT_BALL_MM, spacing) & ~lung & (hu > SOFT_HU) & (apart <= SHELL_MM[1])
    dented = ndimage.gaussian_filter(dent.astype(np.float32), sigma)
    proposed = ndimage.gaussian_filter(added.astype(np.float32), sigma)
    return added & ((shaded > LEAST_SHARE * seen) | (dented > LEAST_DENT * proposed))


def opaque_share(part: np.ndarray, lung: np.ndarray, hu: np.ndarray, spacing: Spacing) -> float:
    """Share of clearly opaque voxels in the lung beside one part; 0 if there is no lung beside it."""
    if not lung.any():
        return 0.0
    shell, opaque = _shell(distance_to(part, spacing), lung, hu, CLEARLY_OPAQUE_HU)
    return float(opaque.sum() / shell.sum()) if shell.any() else 0.0


def _shell(apart: np.ndarray, lung: np.ndarray, hu: np.ndarray, above_normal: float) -> tuple[np.ndarray, np.ndarray]:
    """The lung at the shell's distance, and the part of it that is denser than this patient's normal lung."""
    shell = lung & (apart > SHELL_MM[0]) & (apart <= SHELL_MM[1])
    values = hu[lung]
    normal = float(np.median(values[values < np.percentile(values, 60)]))
    return shell, shell & (hu > normal + above_normal)
