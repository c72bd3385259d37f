"""Recognise an exam's images: by their content, and quickly by the sizes and times of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from COVIDQuantLib.ct.dicom.dicomdir import referenced_files
from COVIDQuantLib.ct.dicom.file_search import files_below
from COVIDQuantLib.ct.files.input_files import check_input, shown
from COVIDQuantLib.ct.files.volume_files import read_header
from COVIDQuantLib.errors import UnfitInputError

_BLOCK = 1 << 20
# A header whose voxels are in another file is smaller than this.
_LARGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class Fingerprint:
    """An input as it was when its content was read.

    Attributes:
        content: SHA-256 of the content, whatever its files are called.
        stamp: SHA-256 of names, sizes and times of the files; while it stays, so does the content.
    """

    content: str
    stamp: str


def input_files(path: Path) -> list[Path]:
    """The files that an input consists of, sorted.

    Raises:
        UnfitInputError: there is none.
    """
    status = check_input(path, folder=True)
    if path.is_dir():
        return sorted(files_below(path))
    if path.name.upper() == "DICOMDIR":
        return sorted({path, *(referenced_files(path) or files_below(path.parent))})
    if status.st_size > _LARGEST_HEADER:
        return [path]
    try:
        parts = {part.path for part in read_header(path).parts}
    except (UnfitInputError, OSError):
        # DICOM, or what reading it will refuse.
        parts = set()
    return sorted({path, *parts})


def stamp_of(path: Path) -> str:
    """Names, sizes and times of an input's files, as a SHA-256; no file is read.

    Raises:
        UnfitInputError: it cannot be read.
    """
    try:
        return _stamp(path, input_files(path))
    except OSError as error:
        raise _unreadable(path, error) from error


def fingerprint_of(path: Path, series: str | None = None) -> Fingerprint:
    """Read an input's files for their fingerprint.

    Args:
        path: a file or folder.
        series: the DICOM series that is used of them, which counts as content.

    Raises:
        UnfitInputError: it cannot be read.
    """
    try:
        files = input_files(path)
        # Before the content: a file that is written meanwhile has another stamp next time.
        stamp = _stamp(path, files)
        digests = sorted(_digest(file) for file in files)
    except OSError as error:
        raise _unreadable(path, error) from error
    return Fingerprint(_joined([*digests, f"series {series}"] if series else digests), stamp)


def file_digest(path: Path) -> str:
    """SHA-256 of one file's content."""
    return _digest(path)


def _stamp(path: Path, files: Iterable[Path]) -> str:
    base = path if path.is_dir() else path.parent
    told = []
    for file in files:
        status = file.stat()
        name = file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name
        told.append(f"{name}\0{status.st_size}\0{status.st_mtime_ns}")
    return _joined(told)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _joined(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _unreadable(path: Path, error: OSError) -> UnfitInputError:
    what = f"it cannot be read ({error.strerror or error})"
    return UnfitInputError(what, shown(path), "Check its permissions.", code="unreadable")
