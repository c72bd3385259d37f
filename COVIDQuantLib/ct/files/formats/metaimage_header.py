"""Parser and checks for the header of a MetaImage file (.mha, .mhd).

Ours because MetaIO trusts what it reads: it uses the data file's name as a format string, and the number of dimensions
as the length of arrays on its stack.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from COVIDQuantLib.ct.files.data_files import DataPart, bad_header, damaged, data_parts, numbered_files
from COVIDQuantLib.ct.files.input_files import quoted
from COVIDQuantLib.ct.files.size_limits import check_size
from COVIDQuantLib.ct.files.volume_header import (
    VolumeHeader,
    check_dimensions,
    check_one_time,
    grid,
    integers,
    numbers,
)
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

HEADER_BYTES = 1 << 20
_TYPES = {
    "CHAR": "i1", "ASCII_CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4",
    "LONG": "i4", "ULONG": "u4", "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8",
}  # fmt: skip
_FIELD = re.compile(rb"[ \t]*([A-Za-z_][\w ]{0,60}?)[ \t]*[=:][ \t]*(.*)")
_UNITS_MM = {"um": 0.001, "cm": 10.0}


def is_meta(start: bytes) -> bool:
    """Whether bytes start like a MetaImage header."""
    return re.search(rb"^[ \t]*(NDims|ObjectType|DimSize)[ \t]*[=:]", start[:2048], re.MULTILINE) is not None


def parse_meta(start: bytes, path: Path, name: str) -> VolumeHeader:
    """Read a MetaImage header.

    Args:
        start: the first :data:`HEADER_BYTES` bytes.
        path: the file.
        name: the file, for messages.

    Raises:
        UnfitInputError: a field is missing or invalid.
    """
    fields, end = _fields(start, name)
    if fields.get("ObjectType", "Image").lower() != "image":
        raise bad_header(name, f"describes a {quoted(fields['ObjectType'])}, not an image")
    sizes = _sizes(fields, name)
    components = _one_integer(fields, "ElementNumberOfChannels", 1, name)
    dtype = _type(fields, name)
    check_size((*sizes, components), dtype.itemsize, name)
    geometry, warnings, tells_spacing, tells_direction = _grid(fields, sizes, name)
    return VolumeHeader(
        kind="MetaImage",
        name=name,
        geometry=geometry,
        dtype=dtype,
        parts=_parts(fields, start, end, path, name),
        encoding=_encoding(fields),
        components=components,
        scale=_scale(fields, name),
        tells_spacing=tells_spacing,
        tells_direction=tells_direction,
        warnings=warnings,
    )


def _fields(start: bytes, name: str) -> tuple[dict[str, str], int]:
    """All fields up to the one that names the data, and the position after it."""
    fields: dict[str, str] = {}
    place = 0
    while place < len(start):
        end = start.find(b"\n", place)
        if end < 0:
            end = len(start)
        line = start[place:end].rstrip(b"\r")
        place = end + 1
        found = _FIELD.fullmatch(line)
        if found is None:
            if line.strip():
                raise damaged(name, "a line of its header is not a field")
            continue
        key = found[1].decode().strip()
        if key in fields:
            raise bad_header(name, f"gives “{key}” twice")
        fields[key] = found[2].decode("utf-8", errors="surrogateescape").strip()
        if key == "ElementDataFile":
            return fields, place
    raise damaged(name, "its header has no end (ElementDataFile)")


def _any(fields: dict[str, str], *names: str) -> str | None:
    return next((fields[name] for name in names if name in fields), None)


def _one_integer(fields: dict[str, str], key: str, default: int, name: str) -> int:
    values = integers(fields[key], name, key) if key in fields else [default]
    if len(values) != 1:
        raise bad_header(name, f"field “{key}” holds no number")
    return values[0]


def _true(fields: dict[str, str], *names: str) -> bool:
    return (_any(fields, *names) or "").strip().lower() in {"true", "1", "t", "yes"}


def _sizes(fields: dict[str, str], name: str) -> tuple[int, int, int]:
    if "NDims" not in fields or "DimSize" not in fields:
        raise damaged(name, "its header does not give the image's size (NDims, DimSize)")
    count = _one_integer(fields, "NDims", 0, name)
    if not 1 <= count <= 10:
        raise bad_header(name, f"claims {count} dimensions (NDims)")
    sizes = integers(fields["DimSize"], name, "DimSize")
    check_dimensions(count, name)
    if len(sizes) != count:
        raise bad_header(name, f"claims {count} dimensions and gives {len(sizes)} sizes")
    for more in sizes[3:]:
        check_one_time(more, name)
        if more < 1:
            raise bad_header(name, f"claims a size of {more}")
    return sizes[0], sizes[1], sizes[2]


def _type(fields: dict[str, str], name: str) -> np.dtype:
    described = fields.get("ElementType", "").strip().upper().removeprefix("MET_").removesuffix("_ARRAY")
    if described not in _TYPES:
        raise UnfitInputError(
            f"its number type ({quoted(fields.get('ElementType', 'none'))}) is not supported",
            name,
            "Save it as integers or real numbers.",
            "unknown-type",
        )
    big = _true(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    return np.dtype((">" if big else "<") + _TYPES[described])


def _encoding(fields: dict[str, str]) -> str:
    if _true(fields, "CompressedData"):
        return "zlib"
    return "raw" if "BinaryData" not in fields or _true(fields, "BinaryData") else "text"


def _scale(fields: dict[str, str], name: str) -> tuple[float, float] | None:
    slope, offset = (
        numbers(fields.get(f"ElementToIntensityFunction{part}", default), name, part)
        for part, default in (("Slope", "1"), ("Offset", "0"))
    )
    if slope[:1] not in ([1.0], []) or offset[:1] not in ([0.0], []):
        raise bad_header(name, "asks for values to be scaled in an unsupported way (ElementToIntensityFunction)")
    return None


def _grid(
    fields: dict[str, str], sizes: tuple[int, int, int], name: str
) -> tuple[Geometry, list[CTWarning], bool, bool]:
    count = _one_integer(fields, "NDims", 3, name)
    spacing_text = _any(fields, "ElementSpacing", "ElementSize")
    direction_text = _any(fields, "TransformMatrix", "Orientation", "Rotation")
    origin_text = _any(fields, "Offset", "Origin", "Position")
    spacing = _some(spacing_text, count, [1.0] * count, "ElementSpacing", name)[:3]
    origin = _some(origin_text, count, [0.0] * count, "Offset", name)[:3]
    matrix = _some(direction_text, count * count, np.eye(count).ravel().tolist(), "TransformMatrix", name)
    axes = np.reshape(matrix, (count, count))[:3, :3].T
    lengths = np.sqrt((axes**2).sum(axis=0))
    if np.isfinite(axes).all() and not np.allclose(lengths, 1, rtol=0, atol=1e-3):
        raise UnfitInputError(
            "the header's directions (TransformMatrix) are not of length 1, so the voxel size is not known",
            name,
            "Export it again.",
            "bad-orientation",
        )
    unit = _UNITS_MM.get(fields.get("DistanceUnits", "").strip().lower(), 1.0)
    millimetres = [s * unit for s in spacing]
    with np.errstate(invalid="ignore"):
        columns = axes * np.where(np.isfinite(millimetres) & (np.array(millimetres) > 0), millimetres, 1.0)
    geometry, warnings = grid(sizes, columns, [o * unit for o in origin], name, millimetres)
    return geometry, warnings, spacing_text is not None, direction_text is not None


def _some(text: str | None, count: int, default: list[float], key: str, name: str) -> list[float]:
    if text is None:
        return default
    values = numbers(text, name, key)
    if len(values) != count:
        raise bad_header(name, f"field “{key}” holds {len(values)} numbers instead of {count}")
    return values


def _parts(fields: dict[str, str], start: bytes, end: int, path: Path, name: str) -> tuple[DataPart, ...]:
    """The files that hold the voxels: this one, another, or one for every few slices."""
    described = fields["ElementDataFile"]
    skipped = _one_integer(fields, "HeaderSize", 0, name)
    if not -1 <= skipped <= 1 << 26:
        raise bad_header(name, f"field “HeaderSize” is {skipped}")
    if described.upper() == "LOCAL":
        return (DataPart(path, end),)
    words = described.split()
    if words[:1] == ["LIST"]:
        listed = start[end:].decode("utf-8", errors="surrogateescape").splitlines()
        files = [line.strip() for line in listed if line.strip()]
    elif "%" in described and len(words) == 4:
        files = numbered_files(words[0], integers(" ".join(words[1:]), name, "ElementDataFile"), name)
    else:
        files = [described]
    return data_parts(path, files, offset=skipped)
