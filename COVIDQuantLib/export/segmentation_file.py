"""Slicer's ``segmentation.seg.nrrd``: lobes on one layer, lesions on another, with names, colours and terminology.

The format is a four-dimensional NRRD whose fastest axis is the list of layers; the segments are described by key/value
pairs ``Segment<n>_<Key>:=<value>`` (Slicer's vtkMRMLSegmentationStorageNode).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from COVIDQuantLib import terminology_text as terms
from COVIDQuantLib.anatomy import LESION, LOBES, Colour, Terminology
from COVIDQuantLib.ct.files.volume_files import read_volume_file
from COVIDQuantLib.ct.masks.dicom_placing import dicom_labels, own_grid, own_labels
from COVIDQuantLib.ct.masks.dicom_segmentation import read_dicom_segmentation, segmentation_file
from COVIDQuantLib.ct.masks.slicer_segments import FileSegment, is_of, labels_of_segments, segments_of
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.reader_records import EDIT_RECORD, RATING, TAG, ReaderRecords, packed, records_of, unpacked
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.system.atomic_files import write_atomically
from COVIDQuantLib.voxels.geometry import Geometry

LESION_LABEL = 1
_LOBE_LAYER, _LESION_LAYER = 0, 1
_LAYERS = 2
# Label maps have long runs: level 1 is within a few per cent of the best size in a fraction of the time.
_COMPRESSION = 1
_REPRESENTATION = "Binary labelmap"
_EMPTY_EXTENT = (0, -1, 0, -1, 0, -1)
_TAGS_FIELD = re.compile(r"Segment(\d{1,6})_Tags:=")
_ID_FIELD = re.compile(r"Segment(\d{1,6})_ID:=(.*)")


@dataclass(frozen=True)
class SegmentEntry:
    """One segment as it is written.

    Attributes:
        segment_id: its ID, unique in the file.
        name: displayed name.
        colour: RGB 0..1.
        layer: index along the list axis.
        label: its value on that layer.
        terminology: terminology codes.
    """

    segment_id: str
    name: str
    colour: Colour
    layer: int
    label: int
    terminology: Terminology


SEGMENTS: tuple[SegmentEntry, ...] = (
    *(SegmentEntry(x.segment_id, x.name, x.colour, _LOBE_LAYER, x.label, x.terminology) for x in LOBES),
    SegmentEntry(LESION.segment_id, LESION.name, LESION.colour, _LESION_LAYER, LESION_LABEL, LESION.terminology),
)


def write_segmentation(
    path: Path,
    segmentation: Segmentation,
    geometry: Geometry,
    report: Report = silent,
    records: Mapping[str, Any] | None = None,
) -> None:
    """Write lobes and lesions as a segmentation that Slicer opens.

    Args:
        path: the file, by convention ``segmentation.seg.nrrd``; appears complete or not at all.
        segmentation: lobes and lesions ``[k, j, i]`` on the grid.
        geometry: the CT's own grid, in any orientation.
        report: progress; may raise ``Cancelled``.
        records: the exam's further entries; rating and edit record become a tag of the pneumonia, which Slicer keeps.

    Raises:
        OutputError: the file cannot be written.
        ValueError: the labels are not on the grid.
    """
    for labels in (segmentation.lobes, segmentation.lesions):
        if labels.shape != geometry.shape:
            raise ValueError(f"labels of shape {labels.shape} are not on a grid of shape {geometry.shape}")

    def write(target: Path) -> None:
        with target.open("wb") as file:
            file.write(_header(segmentation, geometry, _tag_of(records)).encode("utf-8"))
            _write_layers(file, segmentation, report)

    write_atomically(path, write)


def _write_layers(file: BinaryIO, segmentation: Segmentation, report: Report) -> None:
    """Interleave the layers slice by slice, so that no second copy of the volume is held."""
    slices = len(segmentation.lobes)
    both = np.zeros((*segmentation.lobes.shape[1:], _LAYERS), np.uint8)
    # No file name and no time in the gzip header, so that equal results give equal files.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=file, mtime=0) as packed:
        for k in range(slices):
            both[..., _LOBE_LAYER] = segmentation.lobes[k]
            both[..., _LESION_LAYER] = segmentation.lesions[k] != 0
            packed.write(both.data.cast("B"))
            report((k + 1) / slices)


def _header(segmentation: Segmentation, geometry: Geometry, tag: str) -> str:
    k, j, i = geometry.shape
    columns = geometry.index_to_lps[:3]
    lines = [
        "NRRD0004",
        "# written by COVIDQuant",
        "type: unsigned char",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {_LAYERS} {i} {j} {k}",
        f"space directions: none {' '.join(_vector(columns[:, axis]) for axis in range(3))}",
        "kinds: list domain domain domain",
        "encoding: gzip",
        f"space origin: {_vector(geometry.origin)}",
    ]
    fields = [*_segmentation_fields(geometry), *_segment_fields(segmentation, tag)]
    return "\n".join([*lines, *(f"{key}:={value}" for key, value in fields)]) + "\n\n"


def _vector(values: np.ndarray | tuple[float, ...]) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"


def _segmentation_fields(geometry: Geometry) -> Iterator[tuple[str, str]]:
    k, j, i = geometry.shape
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.index_to_lps
    numbers = [*(repr(float(value)) for value in ras.ravel()), *map(str, (0, i - 1, 0, j - 1, 0, k - 1))]
    reference = "".join(f"{number};" for number in numbers)
    # With the CT's grid as reference, segments that Slicer cropped can still be edited over the whole CT.
    yield "Segmentation_ConversionParameters", f"Reference image geometry|{reference}|Geometry of the CT&"
    yield "Segmentation_ContainedRepresentationNames", f"{_REPRESENTATION}|"
    yield "Segmentation_MasterRepresentation", _REPRESENTATION
    yield "Segmentation_ReferenceImageExtentOffset", "0 0 0"


def _segment_fields(segmentation: Segmentation, tag: str) -> Iterator[tuple[str, str]]:
    extents = label_extents(segmentation)
    for index, segment in enumerate(SEGMENTS):
        fields = {
            "ID": segment.segment_id,
            "Name": segment.name,
            "NameAutoGenerated": "0",
            "Color": " ".join(map(str, segment.colour)),
            "ColorAutoGenerated": "0",
            "Layer": str(segment.layer),
            "LabelValue": str(segment.label),
            "Extent": " ".join(map(str, extents[segment.layer, segment.label])),
            "Tags": f"{terms.TAG}:{terms.serialize(segment.terminology)}|",
        }
        if segment.layer == _LESION_LAYER:
            fields["Tags"] += tag
        yield from ((f"Segment{index}_{key}", value) for key, value in fields.items())


def _tag_of(records: Mapping[str, Any] | None) -> str:
    """The readers' records as a tag among a segment's; empty if there are none."""
    told = {key: value for key, value in (records or {}).items() if key in {RATING, EDIT_RECORD}}
    return f"{TAG}:{packed(told)}|" if told else ""


def retagged(header: bytes, records: Mapping[str, Any]) -> bytes:
    """The header of a segmentation file with other readers' records.

    Args:
        header: of a ``.seg.nrrd``, up to its empty line.
        records: the exam's further entries; none takes the tag away.

    Raises:
        ValueError: it describes no segment.
    """
    lines = header.decode("utf-8", "surrogateescape").split("\n")
    tags = {int(found[1]): place for place, line in enumerate(lines) if (found := _TAGS_FIELD.match(line))}
    if not tags:
        raise ValueError("no segment has tags")
    ids = {int(found[1]): found[2].strip() for line in lines if (found := _ID_FIELD.match(line))}
    bearer = next((number for number in tags if ids.get(number) == LESION.segment_id), min(tags))
    for number, place in tags.items():
        name, _, value = lines[place].partition(":=")
        others = [one for one in value.strip().split("|") if one and not one.startswith(f"{TAG}:")]
        own = _tag_of(records) if number == bearer else ""
        lines[place] = f"{name}:={''.join(f'{one}|' for one in others)}{own}"
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def label_extents(segmentation: Segmentation) -> dict[tuple[int, int], tuple[int, ...]]:
    """First and last index of every segment along i, j, k; ``0 -1`` three times if it is empty."""
    extents = {}
    layers = {_LOBE_LAYER: segmentation.lobes, _LESION_LAYER: segmentation.lesions}
    for segment in SEGMENTS:
        mask = layers[segment.layer] == segment.label
        spans = [np.flatnonzero(mask.any(axis=others)) for others in ((0, 1), (0, 2), (1, 2))]
        filled = spans[0].size > 0
        found = tuple(int(end) for span in spans for end in (span[0], span[-1])) if filled else _EMPTY_EXTENT
        extents[segment.layer, segment.label] = found
    return extents


@dataclass(frozen=True)
class SegmentationFile:
    """The contents of a ``.seg.nrrd`` file.

    Attributes:
        geometry: the file's own grid, which Slicer may have cropped or extended.
        segmentation: lobes and lesions on it; where segments of lobes overlap, the first in the contract's order
            keeps the voxel.
        segments: every segment of the file, ours or not.
        path: the file.
        told: the readers' records as they stand in the file; empty if there are none.
    """

    geometry: Geometry
    segmentation: Segmentation
    segments: tuple[FileSegment, ...]
    path: Path = Path()
    told: str = ""

    def readers(self) -> ReaderRecords:
        """The readers' rating and the edit record. The segments can be used whether or not these belong to them.

        Raises:
            UnfitInputError: they are damaged, or of other segments: of another exam, or edited since.
        """
        if not self.told:
            return ReaderRecords()
        segments = SegmentationIdentity.of(labels=(self.segmentation.lobes, self.segmentation.lesions))
        return records_of(unpacked(self.told, str(self.path)), segments, str(self.path))


def read_segmentation(path: Path, grid: Geometry | None = None) -> SegmentationFile:
    """Read lobes and lesions of a segmentation written by COVIDQuant or saved by Slicer, NRRD or DICOM.

    Segments are found by their ID or else by their terminology, never by name or order.

    Args:
        path: the file.
        grid: the grid of its CT, if it is known: where the frames of a DICOM segmentation lie on it, they are put
            there.

    Raises:
        UnfitInputError: the file cannot be read, or holds neither a lobe nor a lesion.
    """
    if segmentation_file(path) is not None:
        return _read_dicom(path, grid)
    volume = read_volume_file(Path(path), layers=True)
    segments = segments_of(volume.header.fields, str(path))
    layers = volume.values if volume.values.ndim == 4 else volume.values[..., np.newaxis]
    lobes, lesions = _ours(segments, path)

    def labels(of: Sequence[FileSegment], content: str) -> np.ndarray:
        if not of:
            return np.zeros(layers.shape[:3], np.uint8)
        return labels_of_segments(layers, of, content, str(path))[0]

    segmentation = Segmentation(labels(lobes, "lobes"), labels(lesions, "lesions") != 0)
    return SegmentationFile(volume.geometry, segmentation, tuple(segments), Path(path), _told(volume.header.fields))


def _ours(segments: Sequence[FileSegment], path: Path) -> tuple[list[FileSegment], list[FileSegment]]:
    """The segments that are lobes, and those that are lesions."""
    lobes = [segment for segment in segments if any(is_of(segment, lobe) for lobe in LOBES)]
    lesions = [segment for segment in segments if is_of(segment, LESION)]
    if not lobes and not lesions:
        names = ", ".join(segment.name for segment in segments) or "none"
        raise UnfitInputError(
            f"no segment is a COVIDQuant lobe or lesion by ID or terminology (segments: {names})",
            str(path),
            "Give a segmentation made by COVIDQuant, or a label map.",
        )
    return lobes, lesions


def _told(fields: Mapping[str, str]) -> str:
    """The text of our tag, whichever segment has it."""
    values = [value for key, value in fields.items() if _TAGS_FIELD.match(f"{key}:=")]
    texts = [tag.partition(":")[2] for value in values for tag in value.split("|") if tag.startswith(f"{TAG}:")]
    return texts[0] if texts else ""


def _read_dicom(path: Path, grid: Geometry | None) -> SegmentationFile:
    header = read_dicom_segmentation(path)
    placed: dict[str, np.ndarray] = {}
    for of, content in zip(_ours(header.segments, path), ("lobes", "lesions"), strict=True):
        found = dicom_labels(path, content, grid) if grid is not None and of else None
        if found is not None:
            placed[content] = found[0]
        elif of:
            placed[content], grid, _ = own_labels(path, content)
    where = grid or own_grid(header)[0]
    lobes, lesions = (placed.get(content, np.zeros(where.shape, np.uint8)) for content in ("lobes", "lesions"))
    return SegmentationFile(where, Segmentation(lobes, lesions != 0), header.segments, Path(path))
