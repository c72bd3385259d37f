"""The data files that a header names; never outside its folder, and patterns are never passed to printf."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from COVIDQuantLib.ct.files.input_files import beside, shown
from COVIDQuantLib.errors import UnfitInputError

# A single number in the pattern of a series of data files; no other printf feature is supported.
_PATTERN = re.compile(r"([^%]*)%(0?)(\d{0,2})[diu]([^%]*)")
_MOST_FILES = 5000


@dataclass(frozen=True)
class DataPart:
    """A file that holds voxels.

    Attributes:
        path: the file.
        start: bytes before anything else: a header in the same file.
        lines: lines of text to skip after that.
        offset: bytes to skip then; −1 if the voxels are the last bytes of the file.
        inner: bytes to skip after unpacking.
    """

    path: Path
    start: int = 0
    lines: int = 0
    offset: int = 0
    inner: int = 0


def bad_header(name: str, why: str) -> UnfitInputError:
    """The error for a header with impossible contents."""
    return UnfitInputError(f"the header {why}", name, "Export it again.", "bad-header")


def damaged(name: str, why: object) -> UnfitInputError:
    """The error for an incomplete or damaged file."""
    return UnfitInputError(f"the file is truncated or damaged ({why})", name, "Copy it again.", "damaged-file")


def data_parts(
    header: Path, files: list[str], *, lines: int = 0, offset: int = 0, inner: int = 0
) -> tuple[DataPart, ...]:
    """The data files that a header names, in its order.

    Raises:
        UnfitInputError: none or absurdly many, or one of them may not be opened.
    """
    if not 1 <= len(files) <= _MOST_FILES:
        raise bad_header(shown(header.name), f"names {len(files)} data files")
    return tuple(DataPart(beside(header, file), 0, lines, offset, inner) for file in files)


def numbered_files(pattern: str, limits: list[int], name: str) -> list[str]:
    """The files that a pattern such as ``slice%03d.raw 1 40 1`` names; the number is put in here, not by printf.

    Raises:
        UnfitInputError: it holds more than one number, or an invalid one.
    """
    found = _PATTERN.fullmatch(pattern)
    first, last, step = limits
    if found is None or step < 1 or first < 0 or not first <= last <= first + step * _MOST_FILES:
        raise bad_header(name, "names its data files by an unsupported pattern")
    before, zero, width, after = found.groups()
    texts = (str(n).rjust(int(width or 0), "0" if zero else " ") for n in range(first, last + 1, step))
    return [f"{before}{text}{after}" for text in texts]
