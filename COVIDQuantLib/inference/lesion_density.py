"""The density of lung as evidence beside the networks: pneumonia is denser than the healthy lung of the same person.

The networks draw wide outlines around consolidation, where a point of healthy lung lies among dense ones.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from COVIDQuantLib.voxels.geometry import Triple

# Standard deviation of the Gaussian over the CT numbers; with less healthy lung than this share there is no reference.
_SIGMA_MM, _LEAST_HEALTHY = 1.0, 0.05


def doubt_what_is_not_dense(
    logits: torch.Tensor, hu: torch.Tensor, lung: torch.Tensor, step: Triple, level: float, limits: tuple[float, float]
) -> None:
    """Lower the log odds of lesion where the lung is hardly denser than healthy lung.

    Args:
        logits: ``[k, j, i]``, changed in place.
        hu: CT numbers of the same points.
        lung: bool, likewise.
        step: distance of the points along ``k, j, i``, millimetres.
        level: log odds above which a point is lesion; lung below it is healthy.
        limits: HU above the median of healthy lung from which nothing is taken away, and what is for each HU less.
    """
    denser_hu, odds_per_hu = limits
    healthy = lung & (logits <= level)
    if odds_per_hu <= 0 or np.count_nonzero(healthy) < _LEAST_HEALTHY * np.count_nonzero(lung):
        return
    share, sigma = lung.float().numpy(), [_SIGMA_MM / mm for mm in step]
    # Within the lungs alone, so that the wall beside it makes no lung dense.
    mean = ndimage.gaussian_filter(hu.numpy() * share, sigma) / np.maximum(ndimage.gaussian_filter(share, sigma), 0.02)
    missing = float(hu[healthy].median()) + denser_hu - torch.from_numpy(mean)
    logits -= odds_per_hu * missing.clamp(min=0.0) * lung
