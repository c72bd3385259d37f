"""Read stored bytes, compressed or not, exactly as many as the header claims, verifying every checksum.

Ours because ITK's readers stop inflating when they have enough, so they never reach the checksum, and continue where
the stream is broken: three flipped bytes shifted every voxel after them.
"""

from __future__ import annotations

import bz2
import io
import zlib
from typing import BinaryIO

import numpy as np

_CHUNK = 1 << 20
_PACKED_CHUNK = 1 << 16
# zlib detects which of the two wrappers it is by its start.
_EITHER = zlib.MAX_WBITS | 32
# DEFLATE cannot pack better than 1:1032, so a claim above that is false before anything is inflated.
_DEFLATE_RATIO = 1032
_DEFLATE_SLACK = 1 << 16
GZIP_MAGIC = b"\x1f\x8b"
# What bz2 and zlib raise at damage.
BROKEN = (OSError, EOFError, ValueError, zlib.error)


class DamagedDataError(Exception):
    """The bytes do not match the header; the message says why."""


class _Inflated(io.RawIOBase):
    """A gzip or zlib stream read as a file, its CRC-32 and length, or its Adler-32, verified by zlib at its end.

    After the end another gzip member may follow, then only zeros.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._inflater = zlib.decompressobj(_EITHER)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; empty at the end of a whole stream."""
        while not self._inflater.eof or self._next_member():
            packed = self._inflater.unconsumed_tail or self._stream.read(_PACKED_CHUNK)
            data = self._inflater.decompress(packed, max(size, 1))
            if data:
                return data
            if not packed and not self._inflater.eof:
                raise EOFError("its compressed data end early")
        return b""

    def _next_member(self) -> bool:
        """Continue with the next member, if there is one."""
        rest = self._inflater.unused_data.lstrip(b"\0")
        while not rest:
            more = self._stream.read(_PACKED_CHUNK)
            if not more:
                return False
            rest = more.lstrip(b"\0")
        rest += self._stream.read(1) if len(rest) < len(GZIP_MAGIC) else b""
        if not rest.startswith(GZIP_MAGIC):
            raise DamagedDataError("unexpected data follow its compressed data")
        # What is left of the chunk is read again, so that many tiny members do not cost a copy of it each.
        self._stream.seek(-len(rest), io.SEEK_CUR)
        self._inflater = zlib.decompressobj(_EITHER)
        return True


class _HexFile(io.RawIOBase):
    """Bytes written as pairs of hexadecimal digits, with blanks anywhere."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._odd = b""

    def read(self, size: int = -1) -> bytes:
        """About ``size`` bytes, never more; empty at the end."""
        while text := self._stream.read(2 * max(size, 1)):
            digits = self._odd + b"".join(text.split())
            # A leftover digit must not yield one byte more than requested.
            even = min(len(digits) & ~1, 2 * max(size, 1))
            self._odd = digits[even:]
            if even:
                return bytes.fromhex(digits[:even].decode("ascii"))
        if self._odd:
            raise DamagedDataError("its text is not hexadecimal")
        return b""


def unpacked(stream: BinaryIO, encoding: str) -> BinaryIO:
    """A stream of decoded bytes.

    Args:
        stream: at the first encoded byte.
        encoding: ``raw``, ``hex``, ``bzip2``, ``gzip`` or ``zlib``; the last two are distinguished by their start.
    """
    if encoding in {"gzip", "zlib"}:
        return _Inflated(stream)  # type: ignore[return-value]
    if encoding == "hex":
        return _HexFile(stream)  # type: ignore[return-value]
    if encoding == "bzip2":
        return bz2.BZ2File(stream, "rb")  # type: ignore[return-value]
    return stream


def check_claim(packed: int, wanted: int, encoding: str) -> None:
    """Compare the header's claim with the bytes in the file, before anything is allocated.

    Args:
        packed: bytes in the file.
        wanted: bytes that the voxels take.
        encoding: as for :func:`unpacked`.

    Raises:
        DamagedDataError: they cannot match.
    """
    if encoding == "raw" and packed != wanted:
        raise DamagedDataError(f"it holds {packed} bytes of voxels, its header claims {wanted}")
    if encoding in {"gzip", "zlib"} and wanted > _DEFLATE_RATIO * packed + _DEFLATE_SLACK:
        raise DamagedDataError(f"{packed} compressed bytes cannot hold the {wanted} bytes that its header claims")


def fill(stream: BinaryIO, buffer: np.ndarray) -> None:
    """Fill a buffer from a stream that must end exactly there.

    Args:
        stream: of :func:`unpacked`; read up to the buffer's length and one byte more, which verifies the checksum.
        buffer: bytes (uint8) to fill.

    Raises:
        DamagedDataError: too short, too long, or a checksum is wrong.
    """
    try:
        done = 0
        while done < len(buffer):
            chunk = stream.read(min(_CHUNK, len(buffer) - done))
            if not chunk:
                raise DamagedDataError(f"it holds {done} of {len(buffer)} bytes of voxels")
            buffer[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
            done += len(chunk)
        if stream.read(1):
            raise DamagedDataError(f"it holds more than the {len(buffer)} bytes of voxels that its header claims")
    except BROKEN as error:
        raise DamagedDataError(str(error)[:160] or type(error).__name__) from error


def skip(stream: BinaryIO, count: int) -> None:
    """Skip bytes before the voxels.

    Raises:
        DamagedDataError: the stream ends before, or is damaged.
    """
    try:
        while count > 0:
            chunk = stream.read(min(_CHUNK, count))
            if not chunk:
                raise DamagedDataError("it ends before its voxels")
            count -= len(chunk)
    except BROKEN as error:
        raise DamagedDataError(str(error)[:160] or type(error).__name__) from error
