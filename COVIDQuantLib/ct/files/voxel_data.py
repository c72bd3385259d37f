"""Read the voxels that a header describes: exactly as many bytes as it claims, with every checksum verified."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from COVIDQuantLib.ct.files.data_files import DataPart, damaged
from COVIDQuantLib.ct.files.inflate import DamagedDataError, check_claim, fill, skip, unpacked
from COVIDQuantLib.ct.files.volume_header import VolumeHeader

# Least number of characters of a number in text, with its separator.
_TEXT_CHUNK = 1 << 18
_LONGEST_NUMBER = 64
# Enough of a gzip file to contain any header.
_PACKED_START = 1 << 16


@dataclass(frozen=True)
class Voxels:
    """The voxels of a volume as stored, and as scaled values slice by slice, so that scaling needs no second copy.

    Attributes:
        stored: ``[k, j, i]``, with several values per voxel ``[k, j, i, value]``, in the number type of the file.
        scale: slope and intercept from stored to true values, None if they are the same.
    """

    stored: np.ndarray
    scale: tuple[float, float] | None = None

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.stored)

    def __getitem__(self, k: int) -> np.ndarray:
        """True values of a slice: the number type of the file, or real numbers where the header scales them.

        Computed in double precision; single precision suffices for 16-bit data.
        """
        plane: np.ndarray = self.stored[k]
        if self.scale is None:
            return plane
        slope, intercept = self.scale
        return (plane.astype(np.float64) * slope + intercept).astype(self.dtype, copy=False)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The slices."""
        return (self[k] for k in range(len(self)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that :meth:`whole` returns."""
        return self.stored.shape

    @property
    def dtype(self) -> np.dtype:
        """Number type of the true values."""
        if self.scale is None:
            return self.stored.dtype
        small = self.stored.dtype.itemsize <= 2 or self.stored.dtype == np.float32
        return np.dtype(np.float32 if small else np.float64)

    def whole(self) -> np.ndarray:
        """True values of all slices in one array: larger than what is stored where the header scales."""
        if self.scale is None:
            return self.stored
        values = np.empty(self.stored.shape, self.dtype)
        for k, plane in enumerate(self):
            values[k] = plane
        return values


def read_voxels(header: VolumeHeader) -> Voxels:
    """The voxels of a volume.

    Args:
        header: of its file.

    Raises:
        UnfitInputError: fewer or more bytes than claimed, or damaged.
    """
    total = header.voxel_bytes
    if total % len(header.parts):
        raise damaged(header.name, f"its voxels are not a multiple of its {len(header.parts)} data files")
    each = total // len(header.parts)
    try:
        for part in header.parts:
            _check_part(part, each, header)
        stored = np.empty(total, np.uint8)
        for number, part in enumerate(header.parts):
            _read_part(part, stored[number * each : (number + 1) * each], header)
    except DamagedDataError as error:
        raise damaged(header.name, error) from error
    return Voxels(_shaped(stored, header), header.scale)


def _check_part(part: DataPart, wanted: int, header: VolumeHeader) -> None:
    """Before anything is allocated: can the file hold what the header claims?"""
    size = part.path.stat().st_size
    if header.encoding in {"text", "hex"}:
        # A digit and a blank; two digits of a byte.
        least = 2 * wanted // header.dtype.itemsize - 1 if header.encoding == "text" else 2 * wanted
        if size < least:
            raise DamagedDataError(f"{size} bytes of text cannot hold the voxels that its header claims")
    elif part.offset >= 0 and not part.lines:
        check_claim(size - part.start - part.offset, wanted, header.encoding)
    elif size < wanted and header.encoding == "raw":
        check_claim(size, wanted, "raw")
    if header.encoding == "bzip2":
        # bzip2 has no maximum ratio, so it is unpacked once to count the bytes.
        with part.path.open("rb") as file:
            skip(_placed(file, part, wanted, header.encoding), wanted)


def _read_part(part: DataPart, buffer: np.ndarray, header: VolumeHeader) -> None:
    with part.path.open("rb") as file:
        stream = _placed(file, part, len(buffer), header.encoding)
        if header.encoding == "text":
            _fill_from_text(stream, buffer.view(header.dtype))
        else:
            fill(stream, buffer)


def _placed(file: BinaryIO, part: DataPart, wanted: int, encoding: str) -> BinaryIO:
    """The unpacked stream of a part, positioned at its first voxel."""
    if part.offset < 0:
        if encoding != "raw":
            raise DamagedDataError("only raw voxels can be located from the end of the file")
        file.seek(-wanted, io.SEEK_END)
        return file
    file.seek(part.start)
    for _ in range(part.lines):
        if not file.readline():
            raise DamagedDataError("it ends before its voxels")
    file.seek(part.offset, io.SEEK_CUR)
    stream = unpacked(file, encoding)
    skip(stream, part.inner)
    return stream


def _fill_from_text(stream: BinaryIO, values: np.ndarray) -> None:
    """Read numbers in text form, separated by blanks."""
    done, rest = 0, b""
    while chunk := stream.read(_TEXT_CHUNK):
        words = (rest + chunk).split()
        rest = words.pop() if words and not chunk[-1:].isspace() else b""
        done = _put(words, values, done)
        if len(rest) > _LONGEST_NUMBER:
            raise DamagedDataError("its text holds something that is not a number")
    done = _put([rest] if rest else [], values, done)
    if done != len(values):
        raise DamagedDataError(f"it holds {done} of {len(values)} numbers")


def _put(words: list[bytes], values: np.ndarray, done: int) -> int:
    if done + len(words) > len(values):
        raise DamagedDataError(f"it holds more than the {len(values)} numbers that its header claims")
    if not words:
        return done
    if max(map(len, words)) > _LONGEST_NUMBER:
        raise DamagedDataError("its text holds something that is not a number")
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise DamagedDataError("its text holds something that is not a number") from error
    if np.issubdtype(values.dtype, np.integer):
        limits = np.iinfo(values.dtype)
        if not ((numbers >= limits.min) & (numbers <= limits.max) & (numbers == np.rint(numbers))).all():
            raise DamagedDataError("its text holds numbers outside the range of its type")
    values[done : done + len(words)] = numbers
    return done + len(words)


def _shaped(stored: np.ndarray, header: VolumeHeader) -> np.ndarray:
    values = stored.view(header.dtype)
    if not header.dtype.isnative:
        # In place: a second copy would double the memory.
        values = values.byteswap(inplace=True).view(header.dtype.newbyteorder("="))
    shape = header.geometry.shape
    if header.components > 1:
        if header.components_last:
            values = np.ascontiguousarray(np.moveaxis(values.reshape(header.components, *shape), 0, -1))
        else:
            values = values.reshape(*shape, header.components)
    else:
        values = values.reshape(shape)
    return values


def first_bytes(path: Path, count: int, *, packed: bool) -> bytes:
    """The first bytes of a file, unpacked if it is gzip; fewer if it ends or is damaged before."""
    with path.open("rb") as file:
        if not packed:
            return file.read(count)
        try:
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(file.read(_PACKED_START), count)
        except zlib.error:
            return b""
