"""The segments of a Slicer segmentation file (``.seg.nrrd``) as one label array of the requested content."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib import terminology_text as terms
from COVIDQuantLib.anatomy import LESION, LOBES, LUNG, SIDE_VALUE, LesionKind, Lobe, Terminology
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.segment_roles import role_of, sct_value
from COVIDQuantLib.structures import (
    AIRWAYS,
    LABEL_OF_LOBE,
    LEFT_LUNG,
    LUNGS,
    PNEUMONIA,
    RIGHT_LUNG,
    SIDE_OF,
    listed,
    plain,
    structure_named,
)

# A layer missing from the header.
UNNAMED_LAYER = -1
_FIELD = re.compile(r"Segment(\d{1,6})_(\w+)$")
_TELLING = ("ID", "Name", "LabelValue")
_SAVE_AGAIN = "Save the segmentation again in Slicer."
# SNOMED CT: lung, right lung, left lung, and trachea, bronchus, airways.
_STRUCTURE_OF_CODE = {
    LUNG.value: LUNGS,
    "3341006": RIGHT_LUNG,
    "44029006": LEFT_LUNG,
    **dict.fromkeys(("44567001", "955009", "89187006"), AIRWAYS),
}
_SIDE_CODES = {"24028007": RIGHT_LUNG, "7771000": LEFT_LUNG}


@dataclass(frozen=True)
class FileSegment:
    """A segment as the file's header describes it: where its voxels are, and its identity.

    Attributes:
        segment_id: its ID; empty if the header gives none.
        name: one plain, short line.
        layer: index along the list axis, ``UNNAMED_LAYER`` if the header does not say.
        label: its value on that layer.
        terminology: its codes, None if it has none.
    """

    segment_id: str
    name: str
    layer: int
    label: int
    terminology: Terminology | None


def segments_of(header: dict[str, str], name: str) -> list[FileSegment]:
    """The segments that ``Segment<n>_<Key>`` fields of a NRRD header describe; none if it is a plain label map.

    Numbers may start anywhere and have gaps, and fields may be missing: other programs write such files too.

    Raises:
        UnfitInputError: a layer or label value is not a number, or two segments are the same voxels
            (``segments-damaged``).
    """
    fields: dict[int, dict[str, str]] = {}
    for key, value in header.items():
        found = _FIELD.match(key)
        if found:
            fields.setdefault(int(found[1]), {})[found[2]] = value
    records = [fields[number] for number in sorted(fields) if any(key in fields[number] for key in _TELLING)]
    segments = [_segment(of, place, name) for place, of in enumerate(records)]
    places = [(segment.layer, segment.label) for segment in segments]
    if len(set(places)) < len(places):
        raise UnfitInputError(
            "two segments share a layer and a label value", name, _SAVE_AGAIN, code="segments-damaged"
        )
    return segments


def _segment(fields: dict[str, str], place: int, name: str) -> FileSegment:
    tags = dict(tag.split(":", 1) for tag in fields.get("Tags", "").split("|") if ":" in tag)
    # Slicer before 4.11 wrote each segment to a layer of its own, with value 1, and named neither.
    alone = "LabelValue" not in fields
    try:
        layer = int(fields.get("Layer", place if alone else UNNAMED_LAYER))
        label = int(fields.get("LabelValue", 1))
    except ValueError as error:
        raise UnfitInputError(
            f"the header of segment {place} is damaged", name, _SAVE_AGAIN, code="segments-damaged"
        ) from error
    segment_id = fields.get("ID", "")
    title = plain(fields.get("Name", "") or segment_id) or f"segment {place}"
    return FileSegment(segment_id, title, layer, label, terms.parse(tags.get(terms.TAG, "")))


def labels_of_segments(
    layers: np.ndarray, segments: Sequence[FileSegment], content: str, name: str
) -> tuple[np.ndarray, list[CTWarning]]:
    """One label array of the requested segments.

    Args:
        layers: label values ``[k, j, i, layer]``.
        segments: of the header.
        content: ``lobes`` gives label values of the contract; ``lungs`` gives 1, or 1 right and 2 left where the
            segments tell; ``lesions`` gives 1; anything else numbers the segments from 1 in the file's order. Where
            segments overlap the first keeps the voxel.
        name: the file, for messages.

    Returns:
        The labels, and warnings ``segments-by-name`` and ``segments-joined``.

    Raises:
        UnfitInputError: no segment matches the content (``segments-unknown``), or a segment lies on a layer that the
            file lacks (``segments-damaged``).
    """
    chosen, warnings = choose_segments(segments, content, name)
    labels = np.zeros(layers.shape[:3], np.uint8 if len(segments) < 256 else np.uint16)
    for value, segment in chosen:
        layer = _layer_of(segment, layers.shape[3], name)
        for plane, section in zip(labels, layers, strict=True):
            plane[(section[..., layer] == segment.label) & (plane == 0)] = value
    return labels, warnings


def _layer_of(segment: FileSegment, count: int, name: str) -> int:
    layer = 0 if segment.layer == UNNAMED_LAYER and count == 1 else segment.layer
    if 0 <= layer < count:
        return layer
    where = (
        "a layer that is missing from the header"
        if layer == UNNAMED_LAYER
        else f"layer {layer}, which is not in the file"
    )
    raise UnfitInputError(f"segment “{segment.name}” is on {where}", name, _SAVE_AGAIN, code="segments-damaged")


Chosen = tuple[list[tuple[int, FileSegment]], list[CTWarning]]


def choose_segments(segments: Sequence[FileSegment], content: str, name: str) -> Chosen:
    """The segments of the requested content with their label values; arguments as of :func:`labels_of_segments`.

    Raises:
        UnfitInputError: no segment matches the content (``segments-unknown``).
    """
    return _CHOICES.get(content, _all_numbered)(segments, name)


def is_of(segment: FileSegment, ours: Lobe | LesionKind) -> bool:
    """Whether a segment is this lobe or the pneumonia, by its ID or else by its terminology."""
    return role_of(segment.segment_id, segment.terminology) == role_of(ours.segment_id, None)


def _coded(segment: FileSegment) -> str | None:
    """The structure that a segment is by its ID or its terminology; None if neither identifies it."""
    kinds: tuple[Lobe | LesionKind, ...] = (*LOBES, LESION)
    for kind in kinds:
        if is_of(segment, kind):
            return kind.name
    terminology = segment.terminology
    if terminology is None:
        return None
    what = _STRUCTURE_OF_CODE.get(sct_value(terminology.type))
    if what == LUNGS and terminology.modifier is not None:
        return _SIDE_CODES.get(sct_value(terminology.modifier), LUNGS)
    return what


def _named(segment: FileSegment) -> str | None:
    return structure_named(segment.name) or structure_named(segment.segment_id)


@dataclass(frozen=True)
class _Known:
    """The segments of a file by structure, and which of them are identified only by name."""

    structures: list[tuple[str | None, FileSegment]]
    by_name: list[FileSegment]

    @classmethod
    def of(cls, segments: Sequence[FileSegment]) -> _Known:
        coded = [(_coded(segment), segment) for segment in segments]
        structures = [(code or _named(segment), segment) for code, segment in coded]
        # Where codes identify the pneumonia or a lobe, names add nothing.
        sure = {code for code, _ in coded if code is not None}
        kept = [
            (None if kind in sure and code is None else kind, segment)
            for (code, segment), (kind, _) in zip(coded, structures, strict=True)
        ]
        named = [segment for (code, _), (kind, segment) in zip(coded, kept, strict=True) if kind and code is None]
        return cls(kept, named)

    def those(self, *wanted: str) -> list[tuple[str, FileSegment]]:
        """The segments that are one of some structures, in the order of these."""
        return [(what, segment) for what in wanted for kind, segment in self.structures if kind == what]

    def warning(self, chosen: Sequence[FileSegment], name: str) -> list[CTWarning]:
        """``segments-by-name`` if any of the chosen ones is known by its name alone."""
        named = [segment for segment in chosen if segment in self.by_name]
        if not named:
            return []
        text = f"{plain(name)}: these segments have no known code and were identified by their names: {_names(named)}."
        return [CTWarning("segments-by-name", text)]


def _lobes(segments: Sequence[FileSegment], name: str) -> Chosen:
    known = _Known.of(segments)
    chosen = [(LABEL_OF_LOBE[what], segment) for what, segment in known.those(*LABEL_OF_LOBE)]
    if not chosen:
        raise UnfitInputError(
            f"no segment is a lobe by ID, terminology or name ({_names(segments)})",
            name,
            "Name the segments right upper lobe … left lower lobe, or double-click their colours in Slicer's Segment "
            "Editor and choose Lobe of lung.",
            code="segments-unknown",
        )
    return chosen, known.warning([segment for _, segment in chosen], name)


def _lungs(segments: Sequence[FileSegment], name: str) -> Chosen:
    known = _Known.of(segments)
    sided = known.those(RIGHT_LUNG, LEFT_LUNG)
    whole = known.those(LUNGS)
    lobes = known.those(*LABEL_OF_LOBE)
    if len({what for what, _ in sided}) == 2 or (sided and not whole):
        taken = sided
    else:
        taken = whole or lobes
    if taken:
        chosen = [(SIDE_VALUE.get(SIDE_OF.get(what, ""), 1), segment) for what, segment in taken]
        return chosen, known.warning([segment for _, segment in chosen], name)
    return _unknown_joined(known, "lungs", name)


def _lesions(segments: Sequence[FileSegment], name: str) -> Chosen:
    known = _Known.of(segments)
    chosen = [(1, segment) for _, segment in known.those(PNEUMONIA)]
    if chosen:
        return chosen, known.warning([segment for _, segment in chosen], name)
    return _unknown_joined(known, "lesions", name)


def _unknown_joined(known: _Known, what: str, name: str) -> Chosen:
    """All segments that are nothing else that is known, with a warning."""
    segments = [segment for kind, segment in known.structures if kind is None]
    if not segments:
        others = _names([segment for _, segment in known.structures])
        raise UnfitInputError(
            f"no segment is suitable as {what} ({others})",
            name,
            "Give a segmentation that holds them.",
            code="segments-unknown",
        )
    text = f"{plain(name)}: no segment is marked as {what}; all unidentified ones were used: {_names(segments)}."
    return [(1, segment) for segment in segments], [CTWarning("segments-joined", text)]


def _all_numbered(segments: Sequence[FileSegment], name: str) -> Chosen:  # noqa: ARG001 - one signature for all
    return list(enumerate(segments, start=1)), []


def _names(segments: Sequence[FileSegment]) -> str:
    return listed(segment.name for segment in segments)


_CHOICES: dict[str, Callable[[Sequence[FileSegment], str], Chosen]] = {
    "lobes": _lobes,
    "lungs": _lungs,
    "lesions": _lesions,
}
