"""Count two exams and follow their lesions in a background process. Nothing of Slicer is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.evaluation.surfaces import common_box
from COVIDQuantLib.followup.exam_result import read_result
from COVIDQuantLib.followup.lesions.course import follow_pair
from COVIDQuantLib.followup.lesions.exam_segmentation import read_exam_images
from COVIDQuantLib.followup.registration.exam_images import ExamImages, grid_of_box
from COVIDQuantLib.progress import Report, part
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.voxels.geometry import Geometry

# The map is linear between points this far apart, as the registration's own finest grid is; and how far it is told
# beyond the lungs.
_MAP_MM, _BEYOND_MM = 4.0, 24.0


@dataclass(frozen=True)
class PairExam:
    """One of the two exams, without its voxels.

    Attributes:
        name: for messages.
        geometry: of the voxels that are sent along; None if the exam is read from a folder.
        folder: result folder; None if the voxels are sent along.
    """

    name: str
    geometry: Geometry | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class PlacedMask:
    """Labels and where they lie.

    Attributes:
        voxels: uint8 ``[k, j, i]``, label values; of a mask 0 or 1.
        geometry: its grid.
    """

    voxels: np.ndarray
    geometry: Geometry


@dataclass(frozen=True)
class SampledMap:
    """A map between the points of two exams, sampled on a grid along the patient's axes.

    Attributes:
        vectors: displacement ``[k, j, i, (x, y, z)]`` in LPS millimetres, float32.
        spacing_mm: of the grid.
        origin: LPS position of its first point.
    """

    vectors: np.ndarray
    spacing_mm: float
    origin: tuple[float, float, float]


@dataclass(frozen=True)
class FollowedPair:
    """What is found out about two exams.

    Attributes:
        counts: of both, int64 ``[6, 2, 4096]``; from a folder those that it stores.
        record: what became of the lesions, ready for JSON; None where an exam has no segmentation.
        warnings: about the registration, or why there is none.
        to_baseline: displacement from points of the later exam to points of the earlier one; None without a
            registration.
        lesions: the earlier exam's pneumonia; None if it has none or no segmentation.
        with_cts: whether the CTs had a say in the registration.
        changes: where disease persists, is new, or has gone, in the later exam's space, with label values of
            ``CHANGE_LABELS``; None without a registration, or if neither exam has disease.
    """

    counts: tuple[np.ndarray, np.ndarray]
    record: dict[str, Any] | None
    warnings: tuple[CTWarning, ...]
    to_baseline: SampledMap | None
    lesions: PlacedMask | None
    with_cts: bool = field(default=False)
    changes: PlacedMask | None = None


def followed_pair(
    exams: tuple[PairExam, PairExam],
    report: Report,
    *,
    values_0: np.ndarray | None = None,
    lobes_0: np.ndarray | None = None,
    lesions_0: np.ndarray | None = None,
    values_1: np.ndarray | None = None,
    lobes_1: np.ndarray | None = None,
    lesions_1: np.ndarray | None = None,
) -> FollowedPair:
    """Count both exams, lay them over each other and follow the lesions.

    Args:
        exams: the earlier and the later one.
        report: progress.
        values_0: HU of the earlier one ``[k, j, i]``, any number type, unless it is read from a folder; whatever lies
            beyond these voxels is neither lung nor lesion.
        lobes_0: its label values, uint8.
        lesions_0: its lesions, bool.
        values_1: HU of the later one, as above.
        lobes_1: its label values.
        lesions_1: its lesions.

    Raises:
        UnfitInputError: a folder or its segmentation cannot be used.
    """
    arrays = ((values_0, lobes_0, lesions_0), (values_1, lobes_1, lesions_1))
    counted = [_counted(exam, *voxels) for exam, voxels in zip(exams, arrays, strict=True)]
    report(0.15)
    counts = counted[0][1].counts, counted[1][1].counts
    before, after = counted[0][0], counted[1][0]
    outline = None if before is None else _placed(before.lesions != 0, before.geometry)
    if before is None or after is None:
        lacking = " and ".join(exam.name for exam, (images, _) in zip(exams, counted, strict=True) if images is None)
        text = f"the lesions could not be followed, since {lacking} has no segmentation."
        return FollowedPair(counts, None, (CTWarning("lesions-left-out", text),), None, outline)
    followed = follow_pair(before, after, part(report, 0.15, 0.95))
    to_baseline = changes = None
    if followed.registration is not None:
        to_baseline = sampled_map(followed.registration.to_baseline, after)
    if followed.change_labels is not None:
        changes = _placed(followed.change_labels, after.geometry)
    with_cts = before.hu is not None and after.hu is not None
    report(1.0)
    return FollowedPair(counts, dict(followed.record), followed.warnings, to_baseline, outline, with_cts, changes)


def _counted(
    exam: PairExam, values: np.ndarray | None, lobes: np.ndarray | None, lesions: np.ndarray | None
) -> tuple[ExamImages | None, JointHistogram]:
    if exam.folder is not None:
        result = read_result(exam.folder)
        return None if result.segmentation is None else read_exam_images(result, name=exam.name), result.histogram
    if exam.geometry is None or values is None or lobes is None or lesions is None:
        raise UnfitInputError("the exam has neither voxels nor a folder", exam.name, "Compare again.")
    ct = CTVolume.from_values(values, exam.geometry)
    histogram = JointHistogram.of(ct.hu, lobes, lesions, exam.geometry.voxel_volume_ml, ct.padding)
    return ExamImages(lobes, lesions, exam.geometry, ct.hu, exam.name), histogram


def _placed(labels: np.ndarray, geometry: Geometry) -> PlacedMask | None:
    """The box that holds all labels (bool or uint8); None if there are none."""
    box = common_box(labels)
    if box is None:
        return None
    return PlacedMask(np.ascontiguousarray(labels[box]).view(np.uint8), grid_of_box(geometry, box))


def sampled_map(to_baseline: sitk.Transform, followup: ExamImages) -> SampledMap:
    """The map from a later exam to an earlier one, on a grid around the later one's lungs."""
    small = followup.around_lungs(_MAP_MM, beyond_mm=_BEYOND_MM)
    k, j, i = (n - 1 for n in small.geometry.shape)
    corners = np.array([(a, b, c, 1.0) for a in (0, i) for b in (0, j) for c in (0, k)]) @ small.geometry.index_to_lps.T
    low, high = corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)
    size = [int(n) for n in np.ceil((high - low) / _MAP_MM) + 1]
    x, y, z = (float(v) for v in low)
    image = sitk.TransformToDisplacementField(to_baseline, sitk.sitkVectorFloat64, size, (x, y, z), [_MAP_MM] * 3)
    return SampledMap(sitk.GetArrayFromImage(image).astype(np.float32), _MAP_MM, (x, y, z))
