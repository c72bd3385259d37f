"""The frames of a DICOM segmentation, read one at a time from the file; bits, bytes or numbers of segments."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from COVIDQuantLib.ct.dicom.fragments import find_packed, packed_value
from COVIDQuantLib.ct.dicom.header_claims import DEFLATED
from COVIDQuantLib.ct.dicom.headers import ImageFile, as_number, value_of
from COVIDQuantLib.ct.dicom.open import open_dicom
from COVIDQuantLib.ct.dicom.pixels import unpack_frames
from COVIDQuantLib.ct.files.itk_files import first_reason
from COVIDQuantLib.ct.files.size_limits import check_size
from COVIDQuantLib.errors import UnfitInputError

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
# Each frame deflated by itself (DICOM Supplement 244).
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
# JPEG lossless, JPEG-LS, JPEG 2000, RLE: decoded by GDCM, as the pixels of CTs are.
_GDCM = {
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
}
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_LONG_VRS = {b"OB", b"OW", b"UN"}
_AGAIN = "Copy or export the segmentation again."


@dataclass
class SegmentPixels:
    """The pixels of one file.

    Attributes:
        file: the file and its header.
        name: for messages.
        bits: per pixel as stored: 1, 8 or 16.
        full: the value that means all of it in a fractional segmentation; 0 in others.
    """

    file: ImageFile
    name: str
    bits: int
    full: int

    def frame(self, index: int) -> np.ndarray:
        """The values of a frame ``[j, i]``.

        Raises:
            UnfitInputError: they cannot be read (``damaged-file``), or are fractions (``mask-probabilities``).
        """
        try:
            values = self._values(index)
        except UnfitInputError:
            raise
        except Exception as error:
            what = f"the segmentation is damaged: its pixels cannot be read ({first_reason(error)})"
            raise UnfitInputError(what, self.name, _AGAIN, code="damaged-file") from error
        if self.full and not ((values == 0) | (values == self.full)).all():
            raise UnfitInputError(
                "it is fractional, with values between none and all",
                self.name,
                "Threshold probabilities into a mask first.",
                code="mask-probabilities",
            )
        return values

    def _values(self, index: int) -> np.ndarray:
        rows, columns = self.file.matrix
        if self.file.syntax in _GDCM:
            return self._decoded[index]
        pixels = rows * columns
        if self.file.syntax == _DEFLATED_FRAMES:
            return self._of_bytes(self._inflated(index), 0, pixels).reshape(rows, columns)
        start = index * pixels * self.bits
        first, last = start // 8, -(-(start + pixels * self.bits) // 8)
        return self._of_bytes(self._stored(first, last), start % 8, pixels).reshape(rows, columns)

    def _of_bytes(self, data: bytes, skipped: int, pixels: int) -> np.ndarray:
        if self.bits == 1:
            bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
            return bits[skipped : skipped + pixels]
        return np.frombuffer(data, np.uint8 if self.bits == 8 else "<u2")[:pixels]

    def _stored(self, first: int, last: int) -> bytes:
        """Bytes of the pixel data from ``first`` to before ``last``."""
        if self.file.syntax == DEFLATED:
            data = self._whole[first:last]
        else:
            with self.file.path.open("rb") as stream:
                stream.seek(self._starts_at + first)
                data = stream.read(last - first)
        if len(data) < last - first:
            raise ValueError("the file ends before its pixel data do")
        return data

    @cached_property
    def _starts_at(self) -> int:
        """Where uncompressed pixels begin in the file."""
        with self.file.path.open("rb") as stream:
            stream.seek(self.file.pixels_at)
            head = stream.read(12)
        if head[:4] != _PIXEL_DATA:
            raise ValueError("there are no pixel data")
        return self.file.pixels_at + (12 if head[4:6] in _LONG_VRS and self.file.syntax != IMPLICIT else 8)

    @cached_property
    def _whole(self) -> bytes:
        # The file was checked not to inflate without bound.
        with warnings.catch_warnings(), open_dicom(self.file.path) as stream:
            warnings.simplefilter("ignore")
            return bytes(dcmread(stream, force=True).PixelData)

    @cached_property
    def _decoded(self) -> np.ndarray:
        check_size((self.file.frames, *self.file.matrix), self.bits // 8, self.name)
        return unpack_frames(self.file, find_packed(self.file))

    @cached_property
    def _fragments(self) -> list[bytes]:
        data = packed_value(self.file, find_packed(self.file))
        parts, at = [], 0
        while at + 8 <= len(data):
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            parts.append(data[at + 8 : at + 8 + size])
            at += 8 + size
        return parts[1:]

    def _inflated(self, index: int) -> bytes:
        rows, columns = self.file.matrix
        size = -(-rows * columns * self.bits // 8)
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(self._fragments[index], size + 2)
        if not size <= len(data) <= size + 1:
            raise ValueError("a frame inflates to another size than its header says")
        return data


def pixels_of(path: Path, name: str, head: Dataset, pixels_at: int, fractional: bool) -> SegmentPixels:  # noqa: FBT001
    """The pixels of a segmentation, after its header's claims were compared with the file.

    Raises:
        UnfitInputError: the header claims more than the file can hold (``damaged-file``), or they are packed in a way
            that is not read (``seg-packed``).
    """
    meta = getattr(head, "file_meta", Dataset())
    syntax = str(value_of(meta, "TransferSyntaxUID") or IMPLICIT)
    file = ImageFile(path, head, syntax, path.stat().st_size, pixels_at)
    bits = int(file.number("BitsAllocated") or 0)
    if bits not in {1, 8, 16} or int(file.number("SamplesPerPixel") or 1) != 1 or min(file.matrix) < 1:
        what = f"the segmentation is damaged: {bits} bits in {file.matrix[1]}×{file.matrix[0]} pixels"
        raise UnfitInputError(what, name, _AGAIN, code="damaged-file")
    packed = syntax in _GDCM or syntax == _DEFLATED_FRAMES
    if not (packed or syntax in {IMPLICIT, EXPLICIT, DEFLATED}) or (syntax in _GDCM and bits == 1):
        raise UnfitInputError(
            f"its pixels are packed in a way that is not read (transfer syntax {syntax[:64]})",
            name,
            "Export it uncompressed (Explicit VR Little Endian).",
            code="seg-packed",
        )
    check_size(file.matrix, -(-bits // 8), name)
    claimed = file.frames * file.matrix[0] * file.matrix[1] * bits // 8
    if not packed and syntax != DEFLATED and claimed > file.size - pixels_at:
        raise UnfitInputError(
            f"the header claims {file.frames} frames of {file.matrix[1]}×{file.matrix[0]} pixels "
            f"({claimed / 1e6:.4g} MB), but the file has {file.size / 1e6:.4g} MB: it is truncated or damaged",
            name,
            _AGAIN,
            code="damaged-file",
        )
    full = int(as_number(value_of(head, "MaximumFractionalValue")) or 255) if fractional else 0
    return SegmentPixels(file, name, bits, full)
