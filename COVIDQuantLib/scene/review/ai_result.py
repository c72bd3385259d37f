"""The original AI result, kept with the edited segments so that it can be restored, as a whole or in one place.

It is stored run-length encoded in a hidden text node that the segmentation references, and saved with the scene.
Digests of its counts are an attribute of the segmentation, as they are needed at every edit.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import slicer
from scipy import ndimage

from COVIDQuantLib.anatomy import LESION, LOBES, LesionKind, Lobe
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.readers.identity import digest_of_counts
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.result_links import companion
from COVIDQuantLib.scene.nodes.segmentations import show_segments
from COVIDQuantLib.scene.review.segment_edits import (
    add_to_lesion,
    remove_from_lesion,
    replace_segment,
    segments_of_role,
)
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantLib.terminology_text import TAG, serialize
from COVIDQuantLib.voxels.box import Box
from COVIDQuantLib.voxels.label_codec import decode_labels, encode_labels, joined_labels, parted_labels

ORIGINAL_ROLE = "COVIDQuant.original"
DIGESTS_ATTRIBUTE = "COVIDQuant.original.digests"
# Which result it was, as the readers' records name it.
CASE_ATTRIBUTE = "COVIDQuant.original.counts"
_KINDS: dict[int, Lobe | LesionKind] = {lobe.label: lobe for lobe in LOBES} | {LESION_ROLE: LESION}
# The box in which a component is searched grows by this many voxels on each side until it contains all of it.
_FIRST_REACH = 24


def keep_original(segmentation: Any, lobes: np.ndarray, lesions: np.ndarray, histogram: JointHistogram) -> None:
    """Keep a result with its node, replacing an earlier one.

    Args:
        segmentation: the vtkMRMLSegmentationNode.
        lobes: label values 0..5 ``[k, j, i]`` on the CT.
        lesions: bool, same shape.
        histogram: the counts of that result, by which an undone edit is recognised.
    """
    keep_original_text(segmentation, encode_labels(joined_labels(lobes, lesions)), histogram)


def keep_original_text(segmentation: Any, text: str, histogram: JointHistogram) -> None:
    """:func:`keep_original` of labels that were joined and encoded already (``voxels/label_codec.py``)."""
    node = companion(segmentation, ORIGINAL_ROLE, "vtkMRMLTextNode", f"{segmentation.GetName()} AI result")
    node.SetHideFromEditors(True)
    node.SetText(text)
    segmentation.SetAttribute(DIGESTS_ATTRIBUTE, json.dumps(digests_of(histogram)))
    segmentation.SetAttribute(CASE_ATTRIBUTE, digest_of_counts(histogram))


def has_original(segmentation: Any) -> bool:
    """Whether there is a result to restore."""
    return segmentation.GetNodeReference(ORIGINAL_ROLE) is not None


def original_text(segmentation: Any) -> str:
    """The kept result as it was encoded (``voxels/label_codec.py``); empty if none was kept."""
    node = segmentation.GetNodeReference(ORIGINAL_ROLE)
    return "" if node is None else str(node.GetText() or "")


def original_labels(segmentation: Any) -> tuple[np.ndarray, np.ndarray]:
    """The kept lobes (uint8) and lesions (bool) ``[k, j, i]`` on the CT.

    Raises:
        UnfitInputError: nothing was kept, or it is damaged.
    """
    node = segmentation.GetNodeReference(ORIGINAL_ROLE)
    if node is None:
        raise UnfitInputError("the AI result was not kept", segmentation.GetName(), "Quantify the CT to have one.")
    return parted_labels(decode_labels(node.GetText() or ""))


def original_digests(segmentation: Any) -> dict[int, str]:
    """Role → digest of its counts in the kept result; empty if none was kept or it cannot be read."""
    try:
        record = json.loads(segmentation.GetAttribute(DIGESTS_ATTRIBUTE) or "{}")
        return {int(role): str(digest) for role, digest in record.items()}
    except (ValueError, AttributeError):
        return {}


def digests_of(histogram: JointHistogram) -> dict[int, str]:
    """Role → digest of the HU of its voxels; a different digest means that the segment has changed."""
    counts = {lobe.label: histogram.counts[lobe.label].sum(axis=0) for lobe in LOBES}
    counts[LESION_ROLE] = histogram.counts[:, 1].sum(axis=0)
    return {role: hashlib.sha256(part.astype("<i8").tobytes()).hexdigest()[:16] for role, part in counts.items()}


def restore_all(live: LiveQuantification) -> None:
    """Restore every segment to the kept result; deleted segments are created again.

    Raises:
        UnfitInputError: nothing was kept, it is damaged, or the CT is a different one.
    """
    lobes, lesions = _fitting_labels(live)
    segmentation, volume = live.segmentation, live.volume
    _make_missing(segmentation)
    lobe_ids = [segment_id for lobe in LOBES for segment_id in segments_of_role(segmentation, lobe.label)]
    for role in _KINDS:
        wanted = lesions if role == LESION_ROLE else lobes == role
        for number, segment_id in enumerate(segments_of_role(segmentation, role)):
            others = [] if role == LESION_ROLE else [other for other in lobe_ids if other != segment_id]
            # Of several segments with one role, the first gets all voxels.
            mask = wanted if number == 0 else np.zeros_like(lesions)
            replace_segment(segmentation, volume, segment_id, mask, others)


def restore_at(live: LiveQuantification, kji: tuple[int, int, int]) -> int:
    """Restore the pneumonia to the kept result in one place: the components there, in the kept result or now.

    Args:
        live: the figures of the edited segments.
        kji: a voxel of the CT at that place.

    Returns:
        Number of voxels that changed; 0 if there is no component or it was not edited.

    Raises:
        UnfitInputError: nothing was kept, it is damaged, or the CT is a different one.
    """
    _, before = _fitting_labels(live)
    whole = Box.of_shape((before.shape[0], before.shape[1], before.shape[2]))
    _, now = live.labels(whole)
    found = component_at(before | now, kji)
    if found is None:
        return 0
    component, box = found
    had, has = before[box.slices], now[box.slices]
    back, away = component & had & ~has, component & has & ~had
    if back.any():
        _make_missing(live.segmentation)
        add_to_lesion(live.segmentation, live.volume, back, box)
    if away.any():
        remove_from_lesion(live.segmentation, live.volume, away, box)
    return int(np.count_nonzero(back) + np.count_nonzero(away))


def component_at(mask: np.ndarray, kji: tuple[int, int, int]) -> tuple[np.ndarray, Box] | None:
    """The 26-connected component of a mask at a voxel.

    Args:
        mask: bool ``[k, j, i]``.
        kji: the voxel.

    Returns:
        The component within a box, and the box; None if the voxel is outside the mask.
    """
    if any(not 0 <= n < size for n, size in zip(kji, mask.shape, strict=True)) or not mask[kji]:
        return None
    whole = Box.of_shape((mask.shape[0], mask.shape[1], mask.shape[2]))
    reach = _FIRST_REACH
    while True:
        around = Box(
            (kji[0] - reach, kji[1] - reach, kji[2] - reach),
            (kji[0] + reach + 1, kji[1] + reach + 1, kji[2] + reach + 1),
        )
        box = whole.intersect(around) or whole
        labels, _ = ndimage.label(mask[box.slices], np.ones((3, 3, 3), bool))
        seed = tuple(n - start for n, start in zip(kji, box.start, strict=True))
        part = labels == labels[seed]
        if box == whole or not _touches_edge(part, box, whole):
            return part, box
        reach *= 2


def _touches_edge(part: np.ndarray, box: Box, whole: Box) -> bool:
    """Whether a component touches a face of its box that is not a face of the whole array."""
    for axis in range(3):
        for index, open_ in (
            (0, box.start[axis] > whole.start[axis]),
            (-1, box.stop[axis] < whole.stop[axis]),
        ):
            if open_ and part.take(index, axis=axis).any():
                return True
    return False


def _fitting_labels(live: LiveQuantification) -> tuple[np.ndarray, np.ndarray]:
    lobes, lesions = original_labels(live.segmentation)
    size = live.volume.GetImageData().GetDimensions()
    if lobes.shape != size[::-1]:
        raise UnfitInputError(
            "the CT is not the one that was quantified", live.volume.GetName(), "Quantify this CT by itself."
        )
    return lobes, lesions


def _make_missing(segmentation: Any) -> None:
    """Add an empty segment for each role that has none."""
    content = segmentation.GetSegmentation()
    for role, kind in _KINDS.items():
        if segments_of_role(segmentation, role):
            continue
        segment = slicer.vtkSegment()
        segment.SetName(kind.name)
        segment.SetColor(*kind.colour)
        segment.SetTag(TAG, serialize(kind.terminology))
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segment.AddRepresentation(name, slicer.vtkOrientedImageData())
        content.AddSegment(segment, kind.segment_id)
        show_segments(segmentation)
