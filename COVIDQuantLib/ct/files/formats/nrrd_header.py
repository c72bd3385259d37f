"""Parser and checks for the header of an NRRD file (.nrrd, .nhdr, Slicer's .seg.nrrd)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from COVIDQuantLib.ct.files.data_files import DataPart, bad_header, damaged, data_parts, numbered_files
from COVIDQuantLib.ct.files.formats.nrrd_axes import Axes, axes_of, grid_of, names_anatomy
from COVIDQuantLib.ct.files.input_files import quoted
from COVIDQuantLib.ct.files.size_limits import check_size
from COVIDQuantLib.ct.files.volume_header import VolumeHeader, integers
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

HEADER_BYTES = 1 << 20
MAGIC = b"NRRD000"
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip
_TYPE_OF = {word: code for code, words in _TYPES.items() for word in words} | {"char": "i1"}
_ENCODINGS = {
    "raw": "raw", "txt": "text", "text": "text", "ascii": "text", "hex": "hex", "gz": "gzip", "gzip": "gzip",
    "bz2": "bzip2", "bzip2": "bzip2",
}  # fmt: skip
_ORDERS = {"little": "<", "big": ">"}
_SAME_FIELD = {"centers": "centerings"}
_MOST_SKIPPED = 1 << 26


@dataclass(frozen=True)
class _Text:
    """A parsed header: its fields, its key/value pairs, the lines after ``data file: LIST``, and where it ends."""

    fields: dict[str, str]
    pairs: dict[str, str]
    listed: list[str]
    end: int


def parse_nrrd(start: bytes, path: Path, name: str) -> VolumeHeader:
    """Read an NRRD header.

    Args:
        start: the first :data:`HEADER_BYTES` bytes.
        path: the file.
        name: the file, for messages.

    Raises:
        UnfitInputError: a field is missing or invalid.
    """
    text = _take_apart(start, name)
    fields = text.fields
    for needed in ("type", "dimension", "sizes", "encoding"):
        if needed not in fields:
            raise damaged(name, f"its header lacks the field “{needed}”")
    axes = axes_of(fields, name)
    dtype, encoding = _type(fields, name), _encoding(fields, name)
    check_size((*axes.sizes, axes.components), dtype.itemsize, name)
    geometry, warnings, tells_direction = _grid(axes, fields, name)
    return VolumeHeader(
        kind="NRRD",
        name=name,
        geometry=geometry,
        dtype=dtype,
        parts=_parts(text, encoding, path, name),
        encoding=encoding,
        components=axes.components,
        components_last=axes.components_last,
        fields=text.pairs,
        tells_spacing="spacedirections" in fields or "spacings" in fields,
        tells_direction=tells_direction,
        warnings=warnings,
    )


def _grid(axes: Axes, fields: dict[str, str], name: str) -> tuple[Geometry, list[CTWarning], bool]:
    geometry, warnings = grid_of(axes, fields, name)
    return geometry, warnings, "spacedirections" in fields and names_anatomy(fields)


def _take_apart(start: bytes, name: str) -> _Text:
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    place = start.find(b"\n") + 1
    if not place:
        raise damaged(name, "it ends within its header")
    while place < len(start):
        end = start.find(b"\n", place)
        end = len(start) if end < 0 else end
        line = start[place:end].rstrip(b"\r").decode("utf-8", errors="surrogateescape")
        place = end + 1
        if not line:
            return _Text(fields, pairs, [], place)
        if line.startswith("#"):
            continue
        key, separator, value = line.partition(":")
        if not separator:
            raise damaged(name, "a line of its header is not a field")
        if value.startswith("="):
            pairs.setdefault(_clean(key), _unescaped(value[1:]))
            continue
        key = key.strip().lower().replace(" ", "")
        key = _SAME_FIELD.get(key, key)
        if key in fields:
            raise bad_header(name, f"gives “{quoted(key)}” twice")
        fields[key] = value.strip()
        if key == "datafile" and fields[key].split()[:1] == ["LIST"]:
            rest = start[place:].decode("utf-8", errors="surrogateescape").splitlines()
            return _Text(fields, pairs, [entry.strip() for entry in rest if entry.strip()], len(start))
    if "datafile" not in fields:
        raise damaged(name, "its header has no end")
    return _Text(fields, pairs, [], len(start))


def _clean(text: str) -> str:
    return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace").replace("\0", "")


def _unescaped(value: str) -> str:
    r"""The value of a pair: NRRD writes a line break as ``\n`` and the backslash twice."""
    return re.sub(r"\\(n|\\)", lambda found: "\n" if found[1] == "n" else "\\", _clean(value))


def _type(fields: dict[str, str], name: str) -> np.dtype:
    code = _TYPE_OF.get(" ".join(fields["type"].lower().split()))
    if code is None:
        raise UnfitInputError(
            f"its number type ({quoted(fields['type'])}) is not supported",
            name,
            "Save it as integers or real numbers.",
            "unknown-type",
        )
    if code[1] == "1" or _ENCODINGS.get(fields["encoding"].lower()) == "text":
        return np.dtype(code)
    order = _ORDERS.get(fields.get("endian", "").lower())
    if order is None:
        raise bad_header(name, "does not give the byte order (endian)")
    return np.dtype(order + code)


def _encoding(fields: dict[str, str], name: str) -> str:
    encoding = _ENCODINGS.get(fields["encoding"].lower())
    if encoding is None:
        raise UnfitInputError(
            f"its encoding ({quoted(fields['encoding'])}) is not supported",
            name,
            "Save it raw or gzip.",
            "unknown-encoding",
        )
    return encoding


def _parts(text: _Text, encoding: str, path: Path, name: str) -> tuple[DataPart, ...]:
    """The files that hold the voxels: this one, another, or one for every few slices."""
    (skipped, lines) = (_count(text.fields, key, name) for key in ("byteskip", "lineskip"))
    if not -1 <= skipped <= _MOST_SKIPPED or not 0 <= lines <= _MOST_SKIPPED:
        raise bad_header(name, "skips an impossible number of bytes or lines (byte skip, line skip)")
    # In a compressed file the bytes to skip are counted after unpacking.
    offset, inner = (0, skipped) if encoding in {"gzip", "bzip2"} and skipped > 0 else (skipped, 0)
    described = text.fields.get("datafile")
    if described is None:
        return (DataPart(path, text.end, lines, offset, inner),)
    words = described.split()
    if words[:1] == ["LIST"]:
        files = text.listed
    elif "%" in described and len(words) >= 4:
        files = numbered_files(words[0], integers(" ".join(words[1:4]), name, "data file"), name)
    else:
        files = [described]
    return data_parts(path, files, lines=lines, offset=offset, inner=inner)


def _count(fields: dict[str, str], key: str, name: str) -> int:
    values = integers(fields.get(key, "0"), name, key)
    if len(values) != 1:
        raise bad_header(name, f"field “{key}” holds no number")
    return values[0]
