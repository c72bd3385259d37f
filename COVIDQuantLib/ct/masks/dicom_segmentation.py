"""DICOM segmentations of any program: their segments, and where each frame lies.

Binary segmentations (Slicer, dcmqi, TotalSegmentator, highdicom and with it MONAI, and our own), label maps, and
fractional ones whose values are all or nothing. Frames without a segment are usually left out, so each is found by its
position. The header is compared with the file's length before anything is allocated.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from COVIDQuantLib.anatomy import Code, Terminology
from COVIDQuantLib.ct.dicom.file_search import find_images
from COVIDQuantLib.ct.dicom.header_claims import check_deflated
from COVIDQuantLib.ct.dicom.headers import SEGMENTATION_CLASSES, as_number, class_name, is_dicom, value_of
from COVIDQuantLib.ct.dicom.open import open_dicom
from COVIDQuantLib.ct.files.input_files import shown
from COVIDQuantLib.ct.files.itk_files import first_reason
from COVIDQuantLib.ct.files.volume_files import FORMATS
from COVIDQuantLib.ct.masks.dicom_segment_pixels import SegmentPixels, pixels_of
from COVIDQuantLib.ct.masks.slicer_segments import FileSegment
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.structures import listed, plain

BINARY, FRACTIONAL, LABELMAP = "BINARY", "FRACTIONAL", "LABELMAP"
_AGAIN = "Copy or export the segmentation again."
# A number of every segment in every section of a long CT, and more.
_MAX_FRAMES = 1 << 18
_ABSURD_MM = 1e6


@dataclass(frozen=True)
class SegmentFrame:
    """One frame.

    Attributes:
        index: its number in the file, from 0.
        segment: number of the segment; 0 in a label map, whose values are the numbers.
        position: LPS millimetres of its first voxel's centre.
        source: SOP Instance UID of the image that it was made on; empty if not said.
    """

    index: int
    segment: int
    position: np.ndarray
    source: str


@dataclass(frozen=True)
class DicomSegmentation:
    """A segmentation as its header describes it.

    Attributes:
        path: the file.
        name: its name, one plain line.
        kind: ``BINARY``, ``FRACTIONAL`` or ``LABELMAP``.
        segments: number, name and codes of each segment; the label is its number.
        frames: in the order of the file.
        matrix: rows and columns.
        axes: unit vectors along columns (``i``), rows (``j``) and their normal (``k``), as rows.
        spacing: millimetres along i, j; and between frames, 0 if not said.
        series: Series Instance UIDs of the images that it refers to.
        frame_of_reference: Frame of Reference UID.
        pixels: reads one frame.
    """

    path: Path
    name: str
    kind: str
    segments: tuple[FileSegment, ...]
    frames: tuple[SegmentFrame, ...]
    matrix: tuple[int, int]
    axes: np.ndarray
    spacing: tuple[float, float, float]
    series: frozenset[str]
    frame_of_reference: str
    pixels: SegmentPixels

    def masks(self, segment: FileSegment) -> Iterator[tuple[SegmentFrame, np.ndarray]]:
        """The frames of a segment, each with its bool mask ``[j, i]``.

        Raises:
            UnfitInputError: the pixels cannot be read, or are fractions.
        """
        for frame in self.frames:
            if frame.segment in {0, segment.label}:
                values = self.pixels.frame(frame.index)
                yield frame, values == segment.label if self.kind == LABELMAP else values != 0


def segmentation_file(path: Path) -> Path | None:
    """The DICOM segmentation that a path means: the file itself, or the only one in a folder; None if there is none.

    Raises:
        UnfitInputError: a DICOM file is something else (``mask-dicom``), or a folder has several (``several-masks``).
    """
    if path.is_dir():
        wanted = set(SEGMENTATION_CLASSES.values())
        found = sorted(file for file, kind in find_images(path).others.items() if kind in wanted)
        if len(found) > 1:
            names = listed(file.name for file in found)
            what = f"there are {len(found)} DICOM segmentations in the folder ({names})"
            raise UnfitInputError(what, shown(path), "Name one of the files.", code="several-masks")
        return found[0] if found else None
    return path if path.is_file() and is_dicom(path) else None


def read_dicom_segmentation(path: Path) -> DicomSegmentation:
    """Read a segmentation's header.

    Raises:
        UnfitInputError: it is not a segmentation (``mask-dicom``), damaged (``damaged-file``), too large
            (``too-large``), packed in a way that is not read (``seg-packed``), or its frames lie nowhere or crooked
            (``seg-frames``).
    """
    name = plain(shown(path.name))
    try:
        with warnings.catch_warnings(), open_dicom(path) as stream:
            warnings.simplefilter("ignore")
            check_deflated(path)
            head = dcmread(stream, stop_before_pixels=True, force=True)
            pixels_at = stream.tell()
            sop_class = str(value_of(head, "SOPClassUID") or "")
            if sop_class in SEGMENTATION_CLASSES:
                return _segmentation(path, name, head, pixels_at)
    except UnfitInputError:
        raise
    except OSError as error:
        raise UnfitInputError(
            f"it cannot be read ({error.strerror or error})", name, "Check its permissions.", "unreadable"
        ) from error
    except Exception as error:
        raise damaged(name, f"the header cannot be read ({first_reason(error)})") from error
    what = f"it is DICOM, but not a segmentation ({plain(class_name(sop_class)) or 'unknown object'})"
    raise UnfitInputError(what, name, f"Give a DICOM SEG, {FORMATS}, or .seg.nrrd.", code="mask-dicom")


def damaged(name: str, why: str) -> UnfitInputError:
    """The error for a damaged file."""
    return UnfitInputError(f"the segmentation is damaged: {why}", name, _AGAIN, code="damaged-file")


def _segmentation(path: Path, name: str, head: Dataset, pixels_at: int) -> DicomSegmentation:
    kind = str(value_of(head, "SegmentationType") or "").upper()
    if kind not in {BINARY, FRACTIONAL, LABELMAP}:
        raise damaged(name, f"its Segmentation Type is {plain(kind, 20) or 'missing'}")
    count = int(as_number(value_of(head, "NumberOfFrames")) or 0)
    own = _items(head, "PerFrameFunctionalGroupsSequence")
    shared = _items(head, "SharedFunctionalGroupsSequence")[:1]
    if not 1 <= count <= _MAX_FRAMES or len(own) != count:
        raise damaged(name, f"it announces {count} frames and describes {len(own)}")
    matrix = (int(as_number(value_of(head, "Rows")) or 0), int(as_number(value_of(head, "Columns")) or 0))
    pixels = pixels_of(path, name, head, pixels_at, kind == FRACTIONAL)
    segments = tuple(_segment(item, name) for item in _items(head, "SegmentSequence"))
    if len({segment.label for segment in segments}) < len(segments):
        raise UnfitInputError("two segments have the same number", name, _AGAIN, code="segments-damaged")
    planes = [_group(item, shared, "PlaneOrientationSequence") for item in own]
    orientations = [_numbers(plane, "ImageOrientationPatient", 6, name) for plane in planes]
    axes = _axes(orientations, name)
    measures = _group(own[0], shared, "PixelMeasuresSequence")
    rows_mm, columns_mm = _numbers(measures, "PixelSpacing", 2, name)
    between = as_number(value_of(measures, "SpacingBetweenSlices")) if measures is not None else None
    thickness = as_number(value_of(measures, "SliceThickness")) if measures is not None else None
    if min(rows_mm, columns_mm) <= 0:
        raise damaged(name, "its Pixel Spacing is not positive")
    frames = tuple(_frame(n, own[n], shared, kind, name) for n in range(count))
    return DicomSegmentation(
        path,
        name,
        kind,
        segments,
        frames,
        matrix,
        axes,
        (float(columns_mm), float(rows_mm), abs(between or thickness or 0.0)),
        _series_of(head),
        str(value_of(head, "FrameOfReferenceUID") or ""),
        pixels,
    )


def _frame(index: int, own: Dataset, shared: list[Dataset], kind: str, name: str) -> SegmentFrame:
    position = _numbers(_group(own, shared, "PlanePositionSequence"), "ImagePositionPatient", 3, name)
    number = 0
    if kind != LABELMAP:
        identification = _group(own, shared, "SegmentIdentificationSequence")
        found = None if identification is None else as_number(value_of(identification, "ReferencedSegmentNumber"))
        if found is None or found < 1:
            raise damaged(name, f"frame {index + 1} names no segment")
        number = int(found)
    derivation = _group(own, shared, "DerivationImageSequence")
    images = [] if derivation is None else _items(derivation, "SourceImageSequence")
    source = str(value_of(images[0], "ReferencedSOPInstanceUID") or "") if len(images) == 1 else ""
    return SegmentFrame(index, number, position, source)


def _series_of(head: Dataset) -> frozenset[str]:
    found = {str(value_of(item, "SeriesInstanceUID") or "") for item in _items(head, "ReferencedSeriesSequence")}
    return frozenset(found - {""})


def _segment(item: Dataset, name: str) -> FileSegment:
    number = as_number(value_of(item, "SegmentNumber"))
    if number is None or number != int(number) or number < 0:
        raise damaged(name, "a segment has no number")
    title = plain(str(value_of(item, "SegmentLabel") or "")) or f"segment {int(number)}"
    return FileSegment("", title, 0, int(number), _terminology(item))


def _terminology(item: Dataset) -> Terminology | None:
    category = _code(item, "SegmentedPropertyCategoryCodeSequence")
    kind = _code(item, "SegmentedPropertyTypeCodeSequence")
    if category is None or kind is None:
        return None
    types = _items(item, "SegmentedPropertyTypeCodeSequence")
    modifier = _code(types[0], "SegmentedPropertyTypeModifierCodeSequence")
    region = _code(item, "AnatomicRegionSequence")
    # Some writers give the side of an organ with its region.
    if modifier is None and region is not None:
        modifier = _code(_items(item, "AnatomicRegionSequence")[0], "AnatomicRegionModifierSequence")
    return Terminology(category, kind, modifier, region)


def _code(item: Dataset, keyword: str) -> Code | None:
    found = _items(item, keyword)
    if not found:
        return None
    texts = [str(value_of(found[0], key) or "") for key in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")]
    return Code(*(plain(text) for text in texts)) if texts[0] and texts[1] else None


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = value_of(dataset, keyword)
    return list(value) if isinstance(value, Sequence) else []


def _group(own: Dataset, shared: list[Dataset], keyword: str) -> Dataset | None:
    """The item of a functional group: the frame's own, or else the shared one."""
    for holder in (own, *shared):
        items = _items(holder, keyword)
        if items:
            return items[0]
    return None


def _numbers(group: Dataset | None, keyword: str, count: int, name: str) -> np.ndarray:
    value: Any = None if group is None else value_of(group, keyword)
    try:
        numbers = np.array([float(item) for item in value])
    except (TypeError, ValueError, OverflowError):
        numbers = np.empty(0)
    if numbers.shape != (count,) or not (np.abs(numbers) < _ABSURD_MM).all():
        what = f"a frame has no valid {keyword}, so it lies nowhere"
        raise UnfitInputError(what, name, _AGAIN, code="seg-frames")
    return numbers


def _axes(orientations: list[np.ndarray], name: str) -> np.ndarray:
    first = orientations[0]
    if max(np.abs(one - first).max() for one in orientations) > 1e-3:
        raise UnfitInputError("its frames have different orientations", name, _AGAIN, code="seg-frames")
    along, down = first[:3], first[3:]
    products = np.array([along @ along - 1.0, down @ down - 1.0, along @ down])
    if np.abs(products).max() > 0.02:
        raise UnfitInputError("its frames have no valid orientation", name, _AGAIN, code="seg-frames")
    return np.stack([along, down, np.cross(along, down)])
