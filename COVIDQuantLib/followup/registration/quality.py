"""How well two exams lie over each other: lungs, fissures, folds; in figures, one word, and codes where it is poor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.evaluation.overlap import LUNGS, joint_counts, overlap_of
from COVIDQuantLib.evaluation.surfaces import surface_distances
from COVIDQuantLib.voxels.geometry import Geometry

GOOD, POOR = "good", "poor"
# Below or above these the fates of small lesions are not to be trusted.
LEAST_DICE, MOST_FISSURE_MM, MOST_FOLDED = 0.95, 5.0, 0.001
# By stretch and shear alone one made patient's lungs come to 0.95 and more in very different breaths; those of two real
# people were seen at 0.77 to 0.89.
LEAST_AFFINE_DICE = 0.9
# Lungs of one adult hardly differ by more between two breaths, if they are whole in both exams.
MOST_VOLUME_RATIO = 1.8
# The lobes on either side of each fissure.
FISSURES = {
    "right oblique": ((1, 2), (3,)),
    "right horizontal": ((1,), (2,)),
    "left oblique": ((4,), (5,)),
}


@dataclass(frozen=True)
class RegistrationQuality:
    """How well the lungs of two exams lie over each other after registration.

    Attributes:
        lung_dice: overlap of all lung, 0..1.
        lung_dice_affine: the same after the first stage.
        fissure_mm: mean distance between the borders of neighbouring lobes, mm; None where no fissure is in both.
        folded_share: share of the lungs where the map turns space inside out, 0..1.
        volume_ratio: lung volume of the follow-up by that of the baseline.
    """

    lung_dice: float
    lung_dice_affine: float
    fissure_mm: float | None
    folded_share: float
    volume_ratio: float

    @property
    def warnings(self) -> list[CTWarning]:
        """Why it is poor; nothing where it is good."""
        found = []
        if self.lung_dice < LEAST_DICE:
            text = f"The lungs overlap with a Dice of {self.lung_dice:.3f} after registration (good from {LEAST_DICE})."
            found.append(CTWarning("registration-lungs", text))
        if self.lung_dice_affine < LEAST_AFFINE_DICE:
            text = (
                f"Before they were bent the lungs overlapped with a Dice of {self.lung_dice_affine:.3f} only "
                f"(usual from {LEAST_AFFINE_DICE}): another patient, or cut off?"
            )
            found.append(CTWarning("registration-shape", text))
        if self.fissure_mm is not None and self.fissure_mm > MOST_FISSURE_MM:
            text = f"The fissures lie {self.fissure_mm:.1f} mm apart on average (good up to {MOST_FISSURE_MM:g} mm)."
            found.append(CTWarning("registration-fissures", text))
        if self.folded_share > MOST_FOLDED:
            text = f"The map folds in {100 * self.folded_share:.1f} % of the lungs."
            found.append(CTWarning("registration-folds", text))
        if not 1 / MOST_VOLUME_RATIO <= self.volume_ratio <= MOST_VOLUME_RATIO:
            text = f"The lungs have {self.volume_ratio:.2f} times the baseline's volume: another patient, or cut off?"
            found.append(CTWarning("registration-volumes", text))
        return found

    @property
    def word(self) -> str:
        """``good`` or ``poor``."""
        return POOR if self.warnings else GOOD

    def as_record(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "quality": self.word,
            "lung_dice": self.lung_dice,
            "lung_dice_affine": self.lung_dice_affine,
            "fissure_distance_mm": self.fissure_mm,
            "folded_percent": 100 * self.folded_share,
            "lung_volume_ratio": self.volume_ratio,
            "warnings": [{"code": warning.code, "message": warning.message} for warning in self.warnings],
        }


def moved_labels(labels: np.ndarray, geometry: Geometry, wanted: Geometry, transform: sitk.Transform) -> np.ndarray:
    """Labels on another exam's grid, nearest voxel, 0 beyond.

    Args:
        labels: ``[k, j, i]`` on ``geometry``.
        geometry: their grid.
        wanted: the grid to fill.
        transform: from points of ``wanted`` to points of ``geometry``.
    """
    k, j, i = wanted.shape
    image = sitk.Resample(
        geometry.to_image(labels),
        (i, j, k),
        transform,
        sitk.sitkNearestNeighbor,
        wanted.origin,
        wanted.spacing,
        wanted.direction,
        0,
    )
    moved: np.ndarray = sitk.GetArrayFromImage(image)
    return moved


def lung_dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice of the lungs of two lobe label maps on one grid; 0 where both are empty."""
    return overlap_of(LUNGS, joint_counts((one, None), (other, None))).dice or 0.0


def fissure_distance(one: np.ndarray, other: np.ndarray, geometry: Geometry) -> float | None:
    """Mean distance (mm) between the fissures of two lobe label maps on one grid; None where they share none."""
    found = []
    for above, below in FISSURES.values():
        first, second = (fissure(labels, above, below) for labels in (one, other))
        apart = surface_distances(first, second, geometry.spacing_kji)
        if apart is not None:
            found.append((apart.mean_mm, int(np.count_nonzero(first)) + int(np.count_nonzero(second))))
    if not found:
        return None
    return float(np.average([mm for mm, _ in found], weights=[size for _, size in found]))


def fissure(labels: np.ndarray, above: tuple[int, ...], below: tuple[int, ...]) -> np.ndarray:
    """The voxels on the upper side of a fissure: of a lobe above, with a face neighbour of a lobe below, bool."""
    upper, lower = np.isin(labels, above), np.isin(labels, below)
    touching = np.zeros(labels.shape, bool)
    for axis in range(3):
        first = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        second = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        touching[first] |= lower[second]
        touching[second] |= lower[first]
    return upper & touching
