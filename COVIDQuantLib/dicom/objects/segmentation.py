"""Lobes and pneumonia as a DICOM Segmentation: one object, one binary segment each, on the frames of the source.

Binary, because the result is masks, every voxel of which was counted or was not; a fractional one would have to be
thresholded again by whoever reads it. The pneumonia lies within the lobes, so segments overlap: a binary segmentation
has frames of its own for each segment and allows it, a label map (LABELMAP) does not, and few programs read those yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset

from COVIDQuantLib.anatomy import LESION, LOBES, LesionKind, Lobe
from COVIDQuantLib.dicom.objects.algorithms import (
    MANUFACTURER,
    algorithm_of,
    edited_segments,
)
from COVIDQuantLib.dicom.objects.source import SourceSeries
from COVIDQuantLib.dicom.objects.tracking import Tracking
from COVIDQuantLib.exam import Exam

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription

SEGMENTS: tuple[Lobe | LesionKind, ...] = (*LOBES, LESION)
# Number of the series within those that a result adds, after 100 × the CT's.
SERIES_OFFSET = 1


def make_segmentation(exam: Exam, source: SourceSeries, tracking: Tracking, new_uid: Callable[[], str]) -> Segmentation:
    """The segmentation object of an exam; a segment that is empty has one empty frame, so that it is there.

    Segments are numbered as ``SEGMENTS`` lists them, but empty ones last: Slicer's reader takes only segments with
    voxels, and names them by their place among all, so that after an empty lobe every name would be its neighbour's.

    Args:
        exam: the quantified exam.
        source: the images it was made from.
        tracking: names and UIDs of the segments.
        new_uid: makes a UID.
    """
    from highdicom import PixelMeasuresSequence
    from highdicom.seg import Segmentation

    header = source.headers[0]
    spacing = source.geometry.spacing
    thickness = exam.ct.source.get("slice_thickness_mm") or spacing[2]
    order = _order(exam, source)
    masks = _masks(exam, source, order)
    made = Segmentation(
        source_images=source.headers,
        pixel_array=masks,
        segmentation_type="BINARY",
        segment_descriptions=_descriptions(exam, tracking, order),
        **source.new_series(SERIES_OFFSET, "COVIDQuant lobes and pneumonia", new_uid),
        content_label="LOBES_PNEUMONIA",
        content_description="Lobes of the lungs and pneumonia",
        pixel_measures=None
        if source.is_multiframe
        else PixelMeasuresSequence(
            pixel_spacing=(spacing[1], spacing[0]),
            slice_thickness=float(thickness),
            spacing_between_slices=spacing[2],
        ),
    )
    for number, (item, kind) in enumerate(zip(made.SegmentSequence, order, strict=True), start=1):
        if not masks[..., number - 1].any():
            _add_empty_frame(made, number)
        _add_modifier(item, kind)
        item.SegmentDescription = _told(item, edited=kind.segment_id in edited_segments(exam))
    made.BodyPartExamined = "CHEST"
    # Nobody: a type 2 attribute that highdicom leaves out.
    made.ContentCreatorName = ""
    if "PositionReferenceIndicator" not in header:
        made.PositionReferenceIndicator = ""
    return made


def segment_number(segmentation: Dataset, name: str) -> int:
    """The number of a lobe or of the pneumonia in a segmentation object of ours."""
    return next(int(item.SegmentNumber) for item in segmentation.SegmentSequence if item.SegmentLabel == name)


def _order(exam: Exam, source: SourceSeries) -> tuple[Lobe | LesionKind, ...]:
    """The segments as they are numbered: those without a voxel in the stored images last."""
    lobes, lesions = exam.segmentation.lobes, exam.segmentation.lesions
    found: set[str] = set()
    for k in range(len(source.identity.images)):
        counts = np.bincount(source.section(lobes, k).ravel(), minlength=1 + len(LOBES))
        found |= {lobe.name for lobe in LOBES if counts[lobe.label]}
        found |= {LESION.name} if source.section(lesions, k).any() else set()
    return tuple(sorted(SEGMENTS, key=lambda kind: kind.name not in found))


def _masks(exam: Exam, source: SourceSeries, order: Sequence[Lobe | LesionKind]) -> np.ndarray:
    """uint8 masks ``[frame, j, i, segment]`` in the order of the source's images or frames."""
    lobes, lesions = exam.segmentation.lobes, exam.segmentation.lesions
    rows, columns = source.matrix
    count = int(source.headers[0].NumberOfFrames) if source.is_multiframe else len(source.identity.images)
    masks = np.zeros((count, rows, columns, len(SEGMENTS)), np.uint8)
    for k, image in enumerate(source.identity.images):
        place = k if image.frame is None else image.frame - 1
        own = source.section(lobes, k)
        for lobe in LOBES:
            masks[place, ..., order.index(lobe)] = own == lobe.label
        masks[place, ..., order.index(LESION)] = source.section(lesions, k) != 0
    return masks


def _descriptions(exam: Exam, tracking: Tracking, order: Sequence[Lobe | LesionKind]) -> list[SegmentDescription]:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    edited = edited_segments(exam)
    described = []
    for number, kind in enumerate(order, start=1):
        terms = kind.terminology
        algorithm = algorithm_of(exam, "lesions" if kind is LESION else "lobes", edited=kind.segment_id in edited)
        entry = tracking.of(kind.name)
        described.append(
            SegmentDescription(
                segment_number=number,
                segment_label=kind.name,
                segmented_property_category=terms.category.as_dicom(),
                segmented_property_type=terms.type.as_dicom(),
                algorithm_type=algorithm.type,
                algorithm_identification=AlgorithmIdentificationSequence(
                    name=algorithm.name,
                    family=algorithm.family.as_dicom(),
                    version=algorithm.version,
                    source=MANUFACTURER,
                    parameters=dict(algorithm.parameters) or None,
                ),
                tracking_id=entry.name,
                tracking_uid=entry.uid,
                anatomic_regions=[terms.region.as_dicom()] if terms.region else None,
                display_color=CIELabColor.from_rgb(*(round(255 * part) for part in kind.colour)),
            )
        )
    return described


def _told(item: Dataset, *, edited: bool) -> str:
    """How a segment came to be, which Slicer shows as its description."""
    version = item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion
    return f"{item.SegmentAlgorithmName} {version}{', edited by a reader' if edited else ''}"


def _add_modifier(item: Dataset, kind: Lobe | LesionKind) -> None:
    """The side of a lobe, or the disease: highdicom's description has no place for it."""
    from highdicom.sr import CodedConcept

    modifier = kind.terminology.modifier
    if modifier is not None:
        modifiers = [CodedConcept.from_code(modifier.as_dicom())]
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = modifiers


def _add_empty_frame(made: Segmentation, number: int) -> None:
    """One empty frame of a segment, at the place of the first frame: Slicer shows an empty segment by it."""
    groups = made.PerFrameFunctionalGroupsSequence
    group = deepcopy(groups[0])
    group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = number
    index = list(group.FrameContentSequence[0].DimensionIndexValues)
    index[0] = number
    group.FrameContentSequence[0].DimensionIndexValues = index
    groups.append(group)
    made.NumberOfFrames = len(groups)
    bits = len(groups) * made.Rows * made.Columns
    made.PixelData = bytes(made.PixelData).ljust(2 * -(-bits // 16), b"\0")
