"""Encapsulated (compressed) pixels in a file: consecutive items whose lengths show whether the data are complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from COVIDQuantLib.ct.dicom.headers import ImageFile
from COVIDQuantLib.errors import UnfitInputError

_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_UNDEFINED = b"\xff\xff\xff\xff"
_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
# More than this after the pixels is no small element but padding, which other readers search through.
_TAIL_BYTES = 1 << 12
_AGAIN = "Copy or export the series again."


@dataclass(frozen=True)
class Packed:
    """Position of encapsulated pixels in a file.

    Attributes:
        start: the first item (the offset table), bytes from the start of the file.
        end: behind the last fragment.
        closed: whether a delimiter follows, and little else.
    """

    start: int
    end: int
    closed: bool


def find_packed(file: ImageFile) -> Packed:
    """Walk along the items of encapsulated pixels.

    Many writers omit the delimiter at the end, or append zeros after it; the items give their own lengths.

    Raises:
        UnfitInputError: an item is longer than the file, or there are fewer items than frames.
        OSError: the file cannot be read.
    """
    with file.path.open("rb") as stream:
        stream.seek(file.pixels_at)
        start = _first_item(stream)
        place, items, mark = start, 0, b""
        while start:
            mark = stream.read(8)
            if mark[:4] != _ITEM or len(mark) < 8:
                break
            place += 8 + int.from_bytes(mark[4:], "little")
            items += 1
            if place > file.size:
                raise _cut_off(file)
            stream.seek(place)
    # The first item is the table of offsets.
    if items - 1 < file.frames:
        raise _cut_off(file)
    return Packed(start, place, mark == _END and file.size - place <= _TAIL_BYTES)


def packed_value(file: ImageFile, packed: Packed) -> bytes:
    """The items without the delimiter, as pydicom expects Pixel Data of undefined length."""
    with file.path.open("rb") as stream:
        stream.seek(packed.start)
        return stream.read(packed.end - packed.start)


def _first_item(stream: BinaryIO) -> int:
    """Where the items start; 0 if there are no pixels of undefined length."""
    head = stream.read(12)
    if head[:4] != _PIXEL_DATA:
        return 0
    if head[8:12] == _UNDEFINED and head[4:6] in {b"OB", b"OW", b"UN"}:
        return stream.tell()
    if head[4:8] == _UNDEFINED:
        stream.seek(-4, 1)
        return stream.tell()
    return 0


def _cut_off(file: ImageFile) -> UnfitInputError:
    return UnfitInputError(
        "the file is truncated: it ends before its pixel data do", file.name, _AGAIN, code="damaged-file"
    )
