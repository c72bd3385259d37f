"""Open DICOM files so that no length in them can allocate more memory than the file has bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

# Meta information is a few hundred bytes.
_META_BYTES = 1 << 16
_MAGIC_AT, _MAGIC = 128, b"DICM"
_META_GROUP = 0x0002
_LARGE = 1 << 16


class _WithinFile(io.BufferedReader):
    """A file whose reads are limited to its size.

    pydicom reads as many bytes as an element claims, and Python allocates them before it reaches the end of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._bytes = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        if size is not None and size > _LARGE:
            size = max(0, min(size, self._bytes - self.tell()))
        return super().read(size)


def open_dicom(path: Path) -> IO[bytes]:
    """A file for pydicom to read.

    Raises:
        OSError: it cannot be opened.
    """
    return _WithinFile(path)


def meta_info(path: Path) -> Dataset:
    """The meta information of a file; nothing after it is read.

    Raises:
        ValueError: the file has none.
        Exception: it cannot be parsed.
    """
    with path.open("rb") as stream:
        start = io.BytesIO(stream.read(_META_BYTES))
    if start.getvalue()[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
        raise ValueError("it has no DICOM meta information")
    start.seek(_MAGIC_AT + len(_MAGIC))
    return read_dataset(start, False, True, stop_when=lambda tag, *_: int(tag) >> 16 != _META_GROUP)
