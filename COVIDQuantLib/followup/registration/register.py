"""Two exams of one patient laid over each other by their lungs: a map between their points, and how good it is.

First an affine map by the distances to the lungs' surfaces, then a smooth displacement by those to every lobe's surface
and, with both CTs, by the structure within the lungs; lesions of either exam have no say in the latter, as they are
what changes. Plain numpy and ITK resampling in a fixed order: the same input gives the same map.

The map serves to match lesions and to move views. No figure of a table depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.followup.registration.affine import lay_over
from COVIDQuantLib.followup.registration.channels import Channels, FloatArray, sampled, working_grid
from COVIDQuantLib.followup.registration.demons import (
    Features,
    Level,
    demons,
    field_transform,
    folded_share,
    inverse,
)
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.followup.registration.quality import (
    RegistrationQuality,
    fissure_distance,
    lung_dice,
    moved_labels,
)
from COVIDQuantLib.progress import Report, part, silent

_INPUT_MM, _AFFINE_MM, _MARGIN_MM = 2.0, 8.0, 24.0
# The features are compared in the lungs and as near to them (tens of millimetres).
_NEAR = -1.2
_LEVELS = (
    Level(8.0, 30, 14.0, 5.0, structure=False),
    Level(4.0, 24, 8.0, 3.0, structure=True),
)


@dataclass(frozen=True, eq=False)
class Registration:
    """The map between the points of two exams.

    Attributes:
        to_followup: transform from LPS points of the baseline to those of the follow-up.
        to_baseline: the way back.
        quality: how well the lungs lie over each other.
    """

    to_followup: sitk.Transform
    to_baseline: sitk.Transform
    quality: RegistrationQuality

    def swapped(self) -> Registration:
        """The same map with baseline and follow-up exchanged."""
        q = self.quality
        turned = RegistrationQuality(q.lung_dice, q.lung_dice_affine, q.fissure_mm, q.folded_share, 1 / q.volume_ratio)
        return Registration(self.to_baseline, self.to_followup, turned)

    def as_record(self) -> dict[str, Any]:
        """The quality, ready for JSON."""
        return self.quality.as_record()


def register(baseline: ExamImages, followup: ExamImages, report: Report = silent) -> Registration:
    """Lay two exams of one patient over each other by their lungs.

    Args:
        baseline: the earlier exam.
        followup: the later one.
        report: told the fraction done; may raise ``Cancelled``.

    Raises:
        UnfitInputError: an exam has no lobes (``followup-no-lungs``).
    """
    fixed, moving = (exam.around_lungs(_INPUT_MM, beyond_mm=_MARGIN_MM) for exam in (followup, baseline))
    if fixed.hu is None or moving.hu is None:
        fixed, moving = (ExamImages(e.lobes, e.lesions, e.geometry, None, e.name) for e in (fixed, moving))
    report(0.05)
    still = Channels.of(fixed)
    report(0.12)
    moved = Channels.of(moving)
    report(0.2)
    affine = lay_over(moved.sides, still.sides, working_grid(fixed, _AFFINE_MM, _MARGIN_MM))
    report(0.25)
    field, grid = _displacement(fixed, still, moved, affine, part(report, 0.25, 0.85))
    back = inverse(field)
    report(0.9)
    to_baseline = sitk.CompositeTransform([affine, field_transform(field, grid)])
    to_followup = sitk.CompositeTransform([field_transform(back, grid), affine.GetInverse()])
    quality = _quality(fixed, moving, affine, to_baseline, folded_share(field, _lungs_on(grid, still)))
    report(1.0)
    return Registration(to_followup, to_baseline, quality)


def _displacement(
    fixed: ExamImages, still: Channels, moved: Channels, affine: sitk.Transform, report: Report
) -> tuple[FloatArray, sitk.Image]:
    """The displacement before the affine map in voxels ``[3, k, j, i]``, and its grid."""
    grid = working_grid(fixed, _LEVELS[0].spacing_mm, _MARGIN_MM)
    field: FloatArray = np.zeros((3, *grid.GetSize()[::-1]), np.float32)
    for number, level in enumerate(_LEVELS):
        report(number / len(_LEVELS))
        before, grid = grid, working_grid(fixed, level.spacing_mm, _MARGIN_MM)
        start = _finer(field, before, grid)
        one, other = sampled(moved.lobes, grid, affine), sampled(still.lobes, grid)
        trust = None
        if still.trust is not None and moved.trust is not None:
            if level.structure:
                trust = sampled(moved.trust, grid, affine), sampled(still.trust, grid)
            else:
                one, other = one[..., :-1], other[..., :-1]
        active = sampled(still.sides, grid).max(axis=-1) > _NEAR
        features = Features(np.ascontiguousarray(one), np.ascontiguousarray(other), active, trust)
        field = demons(features, start, level)
    return field, grid


def _finer(field: FloatArray, coarse: sitk.Image, fine: sitk.Image) -> FloatArray:
    """A displacement in voxels of a coarse grid on a finer one."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.moveaxis(field, 0, -1)), isVector=True)
    image.CopyInformation(coarse)
    ratio = coarse.GetSpacing()[0] / fine.GetSpacing()[0]
    return np.moveaxis(sampled(image, fine), -1, 0) * np.float32(ratio)


def _lungs_on(grid: sitk.Image, channels: Channels) -> np.ndarray:
    return sampled(channels.sides, grid).max(axis=-1) > 0


def _quality(
    fixed: ExamImages, moving: ExamImages, affine: sitk.Transform, to_baseline: sitk.Transform, folded: float
) -> RegistrationQuality:
    def lobes(transform: sitk.Transform) -> np.ndarray:
        return moved_labels(moving.lobes, moving.geometry, fixed.geometry, transform)

    after = lobes(to_baseline)
    volumes = [np.count_nonzero(exam.lobes) * exam.geometry.voxel_volume_ml for exam in (fixed, moving)]
    return RegistrationQuality(
        lung_dice(after, fixed.lobes),
        lung_dice(lobes(affine), fixed.lobes),
        fissure_distance(after, fixed.lobes, fixed.geometry),
        folded,
        float(volumes[0] / volumes[1]),
    )
