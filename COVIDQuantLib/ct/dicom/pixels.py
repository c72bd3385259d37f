"""Convert stored pixels to integer Hounsfield units in one int16 volume."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, generate_uid

from COVIDQuantLib.ct.dicom.codestreams import announced_size, fragments
from COVIDQuantLib.ct.dicom.fragments import Packed, find_packed, packed_value
from COVIDQuantLib.ct.dicom.frames import Frame
from COVIDQuantLib.ct.dicom.header_claims import NATIVE, check_claims
from COVIDQuantLib.ct.dicom.headers import ImageFile
from COVIDQuantLib.ct.dicom.open import open_dicom
from COVIDQuantLib.ct.dicom.series.stack import Stack
from COVIDQuantLib.ct.files.itk_files import first_reason, image_reader, itk_silent
from COVIDQuantLib.ct.hu_normalisation import HUBuffer
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.progress import Report, silent

# A multi-frame class for which GDCM applies no rescale, so that stored values come out.
_PLAIN_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.7.3"
# What a decoder has to know of the pixels; nothing else of the file's header is handed on.
_PIXEL_MODULE = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
# An intercept beyond this is no CT's and might leave 32 bits.
_WHOLE_BELOW = 2**20
_AGAIN = "Copy or export the series again."


def read_pixels(stack: Stack, report: Report = silent) -> HUBuffer:
    """Decode every slice of a stack into its place.

    Args:
        stack: the sorted slices and their grid.
        report: progress.

    Returns:
        The filled buffer; the area beside shifted slices is padding.

    Raises:
        UnfitInputError: a file is truncated or damaged, or its pixel format is not supported.
    """
    check_claims({frame.file.path: frame.file for frame in stack.frames}.values())
    buffer = HUBuffer(stack.geometry.shape)
    slots: dict[Path, list[int]] = {}
    for k, frame in enumerate(stack.frames):
        slots.setdefault(frame.file.path, []).append(k)
    done = 0
    for ks in slots.values():
        for k, values in _frames_in_hu([(k, stack.frames[k]) for k in ks]):
            buffer.put(k, values, stack.shifts[k], stack.frames[k].padding_ranges)
            done += 1
            report(done / len(stack.frames))
    return buffer


def peek(frames: Sequence[Frame]) -> np.ndarray:
    """Hounsfield units ``[n, j, i]`` of a few slices of one size, in the order given.

    Raises:
        UnfitInputError: as :func:`read_pixels`.
    """
    return np.stack([values for frame in frames for _, values in _frames_in_hu([(0, frame)])])


def _frames_in_hu(wanted: list[tuple[int, Frame]]) -> Iterator[tuple[int, np.ndarray]]:
    """Hounsfield units ``[j, i]``, not yet rounded, of frames that share a file."""
    file = wanted[0][1].file
    check_claims([file])
    packed = None if file.syntax in NATIVE else find_packed(file)
    try:
        pixels = _native(file) if packed is None else unpack_frames(file, packed)
    except Exception as error:
        raise UnfitInputError(
            f"the pixels cannot be read: the file is truncated or damaged ({first_reason(error)})",
            file.name,
            _AGAIN,
            code="damaged-file",
        ) from error
    for k, frame in wanted:
        values = _checked(pixels, frame)[frame.index]
        yield k, rescale(values, frame)


def rescale(stored: np.ndarray, frame: Frame) -> np.ndarray:
    """Hounsfield units of stored values: slope × value + intercept, in whole numbers where both are whole."""
    slope, intercept = frame.slope, frame.intercept
    assert slope is not None  # noqa: S101 - the series was checked
    assert intercept is not None  # noqa: S101
    if slope == 1.0 and intercept == int(intercept) and abs(intercept) < _WHOLE_BELOW:
        return stored.astype(np.int32) + np.int32(intercept)
    return stored.astype(np.float64) * slope + intercept


def _native(file: ImageFile) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_dicom(file.path) as stream:
            dataset = dcmread(stream, force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = UID(file.syntax)
        pixels = dataset.pixel_array
    return pixels if pixels.ndim == 3 else pixels[np.newaxis]


def unpack_frames(file: ImageFile, packed: Packed) -> np.ndarray:
    """Stored values ``[frame, j, i]`` of packed pixels.

    GDCM gets them in a plain wrapping, closed as it should be, with a header of our own: its parser asks for hundreds
    of megabytes over a damaged one.

    Raises:
        ValueError: a codestream announces a picture of another size than the header.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_dicom(file.path) as stream:
            dataset = dcmread(stream, stop_before_pixels=True)
        items = packed_value(file, packed)
        _check_codestreams(items, file.matrix)
        plain = Dataset()
        plain.file_meta = FileMetaDataset()
        plain.file_meta.TransferSyntaxUID = UID(file.syntax)
        plain.file_meta.MediaStorageSOPClassUID = plain.SOPClassUID = UID(_PLAIN_MULTIFRAME)
        plain.file_meta.MediaStorageSOPInstanceUID = plain.SOPInstanceUID = generate_uid()
        for keyword in _PIXEL_MODULE:
            if keyword in dataset:
                plain.add(dataset[keyword])
        plain.NumberOfFrames = file.frames
        plain.PixelData = items
        plain["PixelData"].VR = "OB"
        plain["PixelData"].is_undefined_length = True
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "frames.dcm")
            plain.save_as(path)
            return sitk.GetArrayFromImage(_read_image(path))


def _check_codestreams(items: bytes, matrix: tuple[int, int]) -> None:
    for fragment in fragments(items):
        size = announced_size(fragment)
        if size is not None and size != matrix:
            raise ValueError(f"its packed picture has {size[1]}×{size[0]} pixels, its header {matrix[1]}×{matrix[0]}")


def _read_image(path: Path) -> sitk.Image:
    with itk_silent():
        return image_reader(path, "GDCMImageIO").Execute()


def _checked(pixels: np.ndarray, frame: Frame) -> np.ndarray:
    """The decoded pixels ``[frame, j, i]`` if their size matches the header."""
    expected = (frame.file.frames, *frame.matrix)
    if pixels.shape != expected:
        raise UnfitInputError(
            f"the decoded image has shape {pixels.shape}, but the header gives {expected}",
            frame.file.name,
            _AGAIN,
            code="damaged-file",
        )
    return pixels
