"""What the other exam shows is looked for once more, at a lower cut of the network's odds.

A network misses small, faint lesions. Where the registered outline of a lesion of the other exam lies, the chance that
there is one is far higher than anywhere else, so less evidence suffices. What is found so serves the fates alone: it is
in no mask and in no figure, and its record says so.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from COVIDQuantLib.evaluation.surfaces import common_box
from COVIDQuantLib.followup.lesions.records import FateLimits
from COVIDQuantLib.followup.registration.exam_images import ExamImages, grid_of_box
from COVIDQuantLib.followup.registration.quality import moved_labels
from COVIDQuantLib.review.components import Component, find_components
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

# About as far apart as the points of the networks' lattice.
_STEP_MM = 2.0


def found_again(
    exam: ExamImages,
    seen: tuple[np.ndarray, Geometry],
    transform: sitk.Transform,
    limits: FateLimits,
) -> list[Component]:
    """The parts of an exam that only a lower cut shows, within what the other exam shows, apart from its own lesions.

    Args:
        exam: the exam; without odds nothing is found.
        seen: lesions of the other exam, nonzero ``[k, j, i]``, and their grid.
        transform: from points of the exam to points of the other one.
        limits: the lower cut, and the least volume of a part.
    """
    lungs = common_box(exam.lobes)
    if exam.odds is None or lungs is None or not seen[0].any():
        return []
    steps = [max(1, int(_STEP_MM / mm + 1e-6)) for mm in exam.geometry.spacing_kji]
    k, j, i = (slice(span.start, span.stop, step) for span, step in zip(lungs, steps, strict=True))
    box: Slices = (k, j, i)
    grid = grid_of_box(exam.geometry, box)
    own = exam.lesions[box] != 0
    weak = moved_labels((seen[0] != 0).view(np.uint8), seen[1], grid, transform) != 0
    weak &= exam.lobes[box] > 0
    weak &= _log_odds_on(grid, exam.odds, exam.geometry) > limits.lower_cut_log_odds
    labels, count = ndimage.label(weak | own)
    kept = np.bincount(labels.ravel(), minlength=count + 1) * grid.voxel_volume_ml >= limits.crumb_ml
    kept[labels[own]] = False
    kept[0] = False
    if not kept.any():
        return []
    again = np.zeros(exam.lesions.shape, bool)
    again[lungs] = _enlarged(kept[labels], steps, again[lungs].shape) & (exam.lesions[lungs] == 0)
    return find_components(again, exam.lobes, exam.geometry.spacing_kji, limits.crumb_ml)


def _log_odds_on(grid: Geometry, odds: OddsMap, whole: Geometry) -> np.ndarray:
    """The log odds at the points of a grid within an exam's own, which the odds are placed by."""
    turn, upright = Reorientation.of(grid), Reorientation.of(whole).canonical
    first = (np.linalg.inv(upright.index_to_lps) @ (*turn.canonical.origin, 1.0))[2::-1] * upright.spacing_kji
    spacing = turn.canonical.spacing_kji
    k, j, i = (mm + np.arange(n) * step for mm, n, step in zip(first, turn.canonical.shape, spacing, strict=True))
    return turn.undo(odds.nearest(k, j, i))


def _enlarged(mask: np.ndarray, steps: list[int], shape: tuple[int, ...]) -> np.ndarray:
    """A mask of every n-th voxel on all voxels."""
    for axis, step in enumerate(steps):
        mask = np.repeat(mask, step, axis=axis)
    return mask[tuple(slice(0, n) for n in shape)]
