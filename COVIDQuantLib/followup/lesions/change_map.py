"""Where disease persists, is new, or has gone: a label map on the follow-up's grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from COVIDQuantLib.evaluation.surfaces import common_box
from COVIDQuantLib.export.labelmaps import write_label_map
from COVIDQuantLib.followup.registration.exam_images import ExamImages, grid_of_box
from COVIDQuantLib.followup.registration.quality import moved_labels
from COVIDQuantLib.followup.registration.register import Registration

PERSISTING, NEW, RESOLVED = 1, 2, 3
CHANGE_LABELS = {PERSISTING: "persisting disease", NEW: "new disease", RESOLVED: "resolved disease"}
# Okabe and Ito's yellow, vermilion and bluish green, which the colour-blind tell apart, too.
CHANGE_COLOURS = {PERSISTING: "#F0E442", NEW: "#D55E00", RESOLVED: "#009E73"}


def change_map(baseline: ExamImages, followup: ExamImages, registration: Registration) -> np.ndarray:
    """Disease of both exams in one label map.

    Args:
        baseline: the earlier exam; its lesions are brought over by the nearest voxel.
        followup: the later one.
        registration: the map between them.

    Returns:
        uint8 ``[k, j, i]`` on the follow-up's grid: 0 no disease in either, 1 in both, 2 in the follow-up alone, 3 in
        the baseline alone. Labels 1 and 2 together are exactly the follow-up's lesions. What the baseline's lesions
        carry beyond the follow-up's lungs is left out: no lung is there to have healed.
    """
    result = np.zeros(followup.geometry.shape, np.uint8)
    box = common_box(followup.lobes, followup.lesions)
    if box is None:
        return result
    now, lungs = followup.lesions[box] != 0, followup.lobes[box] > 0
    before = (baseline.lesions != 0).view(np.uint8)
    grid = grid_of_box(followup.geometry, box)
    carried = moved_labels(before, baseline.geometry, grid, registration.to_baseline) != 0
    labels = np.where(carried & lungs, np.uint8(RESOLVED), np.uint8(0))
    labels[now] = np.where(carried[now], PERSISTING, NEW)
    result[box] = labels
    return result


def write_change_map(path: Path, labels: np.ndarray, followup: ExamImages) -> None:
    """Write a change map; its name decides the format (``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``).

    Args:
        path: the file; appears whole or not at all.
        labels: as :func:`change_map` gives them.
        followup: whose grid it lies on.

    Raises:
        OutputError: the file cannot be written.
    """
    write_label_map(path, labels, followup.geometry)
