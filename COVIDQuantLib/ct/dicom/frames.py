"""A frame is one axial image: a slice of a classic DICOM series or a frame of a multi-frame file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from COVIDQuantLib.ct.dicom.headers import ImageFile, as_number, value_of
from COVIDQuantLib.errors import UnfitInputError


@dataclass(frozen=True, eq=False)
class Frame:
    """Position of one slice, and how its stored values become Hounsfield units.

    Attributes:
        file: the file it is in.
        index: its number within a multi-frame file, else 0.
        position: LPS millimetres of the first voxel's centre; None if the header lacks it.
        orientation: row direction (along ``i``) and column direction (along ``j``); None if missing.
        spacing: millimetres between rows (along ``j``), between columns (along ``i``); None if missing.
        thickness: section thickness, millimetres.
        slope: rescale slope, None if the header lacks it.
        intercept: rescale intercept, None if the header lacks it.
        rescale_type: unit that the rescale gives, ``HU`` or empty.
        image_type: values of Image Type of this frame.
        marks: what distinguishes it from another image at the same position, by name (``acquisition``, ``kernel`` ...).
    """

    file: ImageFile
    index: int
    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: tuple[float, float] | None
    thickness: float | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    image_type: tuple[str, ...]
    marks: dict[str, str]

    @property
    def name(self) -> str:
        """The frame for a message: file name, and frame number from 1 if it has several."""
        return self.file.name if self.file.frames == 1 else f"{self.file.name} frame {self.index + 1}"

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.file.matrix

    @property
    def padding_ranges(self) -> list[tuple[float, float]]:
        """Ranges of HU that the header calls padding (Pixel Padding Value and Range Limit).

        Writers mix up signed and unsigned: −2000 is written as 63536, and 63536 as −2000, of 16 bits or of those that
        are stored. The pixels may hold either, so every interpretation of the two numbers is returned.
        """
        first = self.file.number("PixelPaddingValue")
        if first is None or self.slope is None or self.intercept is None:
            return []
        last = self.file.number("PixelPaddingRangeLimit")
        last = first if last is None else last
        moduli = {2.0 ** (self.file.number(key) or 16) for key in ("BitsAllocated", "BitsStored")}
        ranges = set()
        for shift in (0.0, *(sign * modulus for modulus in moduli for sign in (-1.0, 1.0))):
            # Only one of the two may carry the wrong sign; a range over half of all numbers is that mix-up.
            for end in (last, last - shift, last + shift):
                low, high = sorted(((first + shift), (end + shift)))
                if high - low < min(moduli) / 2:
                    hu = sorted(stored * self.slope + self.intercept for stored in (low, high))
                    ranges.add((hu[0], hu[1]))
        return sorted(ranges)


def frames_of(file: ImageFile) -> list[Frame]:
    """The frames of a file, in the order they are stored.

    Raises:
        UnfitInputError: a multi-frame file's functional groups do not match its number of frames.
    """
    groups = _items(file, "PerFrameFunctionalGroupsSequence")
    shared = _items(file, "SharedFunctionalGroupsSequence")
    count = file.frames
    if groups is None and shared is None:
        if count > 1:
            raise UnfitInputError(
                f"the file has {count} frames but does not give their positions",
                file.name,
                "Export the series as CT images, one slice per file.",
                code="frames-unplaced",
            )
        return [_frame(file, 0, [file.head])]
    own = list(groups or [])
    if len(own) != count:
        raise UnfitInputError(
            f"the file announces {count} frames but describes {len(own)}",
            file.name,
            "Export it again.",
            code="damaged-file",
        )
    common = list(shared or [])[:1]
    with warnings.catch_warnings():
        # pydicom warns about harmless violations of the standard when it converts the fields of each group.
        warnings.simplefilter("ignore")
        return [_frame(file, index, [own[index], *common, file.head]) for index in range(count)]


# Positions and sizes beyond this (mm) are damage; so are NaN and infinity.
_ABSURD = 1e6
# Fields of a frame: the keyword and the functional group that holds it in multi-frame files.
_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "FrameType": "CTImageFrameTypeSequence",
    "FrameAcquisitionNumber": "FrameContentSequence",
    "FrameAcquisitionDateTime": "FrameContentSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "StackID": "FrameContentSequence",
    "DimensionIndexValues": "FrameContentSequence",
    "TemporalPositionTimeOffset": "TemporalPositionSequence",
    "NominalPercentageOfCardiacPhase": "CardiacSynchronizationSequence",
    "ConvolutionKernel": "CTReconstructionSequence",
}
# The marks of a frame: the field of multi-frame files and that of classic ones.
_MARKS = {
    "temporal position": ("TemporalPositionIndex", "TemporalPositionIdentifier"),
    "acquisition": ("FrameAcquisitionNumber", "AcquisitionNumber"),
    "temporal offset": ("TemporalPositionTimeOffset", ""),
    "cardiac phase": ("NominalPercentageOfCardiacPhase", ""),
    "kernel": ("ConvolutionKernel", ""),
    "acquisition time": ("FrameAcquisitionDateTime", "AcquisitionTime"),
    "stack": ("StackID", ""),
}


def _items(file: ImageFile, keyword: str) -> Sequence | None:
    value = value_of(file.head, keyword)
    return value if isinstance(value, Sequence) else None


def _lookup(holders: list[Dataset], keyword: str) -> Any:
    group = _GROUPS[keyword]
    for holder in holders:
        sequence = value_of(holder, group)
        item = sequence[0] if isinstance(sequence, Sequence) and len(sequence) else holder
        value = value_of(item, keyword)
        if value is not None and value != "":
            return value
    return None


def _frame(file: ImageFile, index: int, holders: list[Dataset]) -> Frame:
    spacing = _vector(_lookup(holders, "PixelSpacing"), 2)
    image_type = tuple(
        str(value).upper() for value in _as_list(_lookup(holders, "FrameType") or value_of(file.head, "ImageType"))
    )
    thickness = as_number(_lookup(holders, "SliceThickness"))
    return Frame(
        file=file,
        index=index,
        position=_vector(_lookup(holders, "ImagePositionPatient"), 3),
        orientation=_vector(_lookup(holders, "ImageOrientationPatient"), 6),
        spacing=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        thickness=thickness,
        slope=as_number(_lookup(holders, "RescaleSlope")),
        intercept=as_number(_lookup(holders, "RescaleIntercept")),
        rescale_type=str(_lookup(holders, "RescaleType") or "").strip().upper(),
        image_type=image_type,
        marks=_marks(holders, image_type, thickness),
    )


def _marks(holders: list[Dataset], image_type: tuple[str, ...], thickness: float | None) -> dict[str, str]:
    marks = {"image type": " ".join(image_type), "section thickness": f"{thickness or 0:g}"}
    for name, (own, classic) in _MARKS.items():
        value = _lookup(holders, own)
        if value is None and classic:
            value = value_of(holders[-1], classic)
        marks[name] = " ".join(str(item) for item in _as_list(value))
    for n, value in enumerate(_as_list(_lookup(holders, "DimensionIndexValues")), start=1):
        marks[f"dimension {n}"] = str(value)
    return marks


def _vector(value: Any, length: int) -> np.ndarray | None:
    """A header field with several numbers; None if the count is wrong or a value is impossible."""
    try:
        vector = np.array([float(item) for item in value])
    except (TypeError, ValueError, OverflowError):
        return None
    return vector if vector.shape == (length,) and bool((np.abs(vector) < _ABSURD).all()) else None


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple, MultiValue)) else [value]
