"""The segments of a Slicer segmentation file (``.seg.nrrd``) as one label array for what is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib import terminology_text as terms
from COVIDQuantLib.anatomy import LESION, LOBES, LUNG, LesionKind, Lobe, Terminology
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.segment_roles import role_of


@dataclass(frozen=True)
class FileSegment:
    """A segment as the file's header describes it: where its voxels are, and what it says it is."""

    segment_id: str
    name: str
    layer: int
    label: int
    terminology: Terminology | None


def segments_of(header: dict[str, str], name: str) -> list[FileSegment]:
    """The segments that ``Segment<n>_<Key>`` fields of a NRRD header describe; none if it is a plain label map.

    Raises:
        UnfitInputError: a layer or label value is no number.
    """
    segments: list[FileSegment] = []
    while f"Segment{len(segments)}_ID" in header:
        prefix = f"Segment{len(segments)}_"
        tags = dict(tag.split(":", 1) for tag in header.get(prefix + "Tags", "").split("|") if ":" in tag)
        try:
            # Slicer before 4.11 wrote each segment to a layer of its own, with value 1, and named neither.
            layer = int(header.get(prefix + "Layer", len(segments)))
            label = int(header.get(prefix + "LabelValue", 1))
        except ValueError as error:
            raise UnfitInputError(
                f"the header of segment {len(segments)} is damaged", name, "Save the segmentation again in Slicer."
            ) from error
        segment_id = header[prefix + "ID"]
        segments.append(
            FileSegment(
                segment_id, header.get(prefix + "Name", segment_id), layer, label, terms.parse(tags.get(terms.TAG, ""))
            )
        )
    return segments


def labels_of_segments(
    layers: np.ndarray, segments: Sequence[FileSegment], content: str, name: str
) -> tuple[np.ndarray, list[CTWarning]]:
    """One label array of the segments that are asked for.

    Args:
        layers: label values ``[k, j, i, layer]``.
        segments: what the header says of them.
        content: ``lobes`` gives label values of the contract; ``lungs`` and ``lesions`` give 1; anything else
            numbers the segments from 1 in the file's order. Where segments overlap the first keeps the voxel.
        name: the file, for messages.

    Raises:
        UnfitInputError: no lobe among the segments, or a segment on a layer that the file lacks.
    """
    chosen, warnings = _CHOICES.get(content, _all_numbered)(segments, name)
    labels = np.zeros(layers.shape[:3], np.uint8 if len(segments) < 256 else np.uint16)
    for value, segment in chosen:
        if segment.layer >= layers.shape[3]:
            raise UnfitInputError(
                f"segment “{segment.name}” is on layer {segment.layer}, which the file lacks",
                name,
                "Save the segmentation again in Slicer.",
            )
        labels[(layers[..., segment.layer] == segment.label) & (labels == 0)] = value
    return labels, warnings


Chosen = tuple[list[tuple[int, FileSegment]], list[CTWarning]]


def is_of(segment: FileSegment, ours: Lobe | LesionKind) -> bool:
    """Whether a segment is this lobe or the pneumonia, by its ID or else by its terminology."""
    return role_of(segment.segment_id, segment.terminology) == role_of(ours.segment_id, None)


def _lobes(segments: Sequence[FileSegment], name: str) -> Chosen:
    chosen = [(lobe.label, segment) for lobe in LOBES for segment in segments if is_of(segment, lobe)]
    if not chosen:
        raise UnfitInputError(
            f"no segment is a lobe by ID or terminology ({_names(segments)})",
            name,
            f"Give segments the IDs {', '.join(lobe.segment_id for lobe in LOBES)} or their terminology.",
        )
    return chosen, []


def _is_lung(segment: FileSegment) -> bool:
    coded = segment.terminology is not None and segment.terminology.type.value == LUNG.value
    return coded or any(is_of(segment, lobe) for lobe in LOBES)


def _lungs(segments: Sequence[FileSegment], name: str) -> Chosen:
    return _those_or_all(segments, [s for s in segments if _is_lung(s)], "lungs", name)


def _lesions(segments: Sequence[FileSegment], name: str) -> Chosen:
    known = [s for s in segments if is_of(s, LESION)]
    return _those_or_all([s for s in segments if not _is_lung(s)], known, "lesions", name)


def _those_or_all(all_segments: Sequence[FileSegment], known: Sequence[FileSegment], what: str, name: str) -> Chosen:
    if known:
        return [(1, segment) for segment in known], []
    if not all_segments:
        raise UnfitInputError(f"no segment can be the {what}", name, "Give a segmentation that holds them.")
    text = f"{name}: no segment says that it is the {what}; all were taken: {_names(all_segments)}."
    return [(1, segment) for segment in all_segments], [CTWarning("segments-joined", text)]


def _all_numbered(segments: Sequence[FileSegment], name: str) -> Chosen:  # noqa: ARG001 - one signature for all
    return list(enumerate(segments, start=1)), []


def _names(segments: Sequence[FileSegment]) -> str:
    return ", ".join(segment.name for segment in segments)


_CHOICES: dict[str, Callable[[Sequence[FileSegment], str], Chosen]] = {
    "lobes": _lobes,
    "lungs": _lungs,
    "lesions": _lesions,
}
