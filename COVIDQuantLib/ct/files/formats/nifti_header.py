"""Parser and checks for the header of a NIfTI-1 or NIfTI-2 file.

Ours because ITK's reader silently accepts a voxel size of NaN or 0 (becomes 1 mm), a quaternion of NaN (another
orientation), two contradictory orientations, truncated voxels, and NaN voxels (become 0, which would be tissue).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from COVIDQuantLib.ct.files.data_files import DataPart, bad_header
from COVIDQuantLib.ct.files.formats.nifti_orientation import Forms, grid_of
from COVIDQuantLib.ct.files.input_files import beside
from COVIDQuantLib.ct.files.volume_header import (
    VolumeHeader,
    check_dimensions,
    check_one_time,
)
from COVIDQuantLib.errors import UnfitInputError

HEADER_BYTES = 540
# NIfTI's type codes as numpy types; the number of values in parentheses for its colour types.
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_COLOURS = {128: 3, 2304: 4}
_UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_MOST_BEFORE_VOXELS = 1 << 26


@dataclass(frozen=True)
class _Layout:
    """Where a NIfTI version stores its fields: struct formats and offsets."""

    magics: dict[bytes, bool]
    magic_at: int
    dim: tuple[str, int]
    type_at: int
    pixdim: tuple[str, int]
    offset: tuple[str, int]
    scale: tuple[str, int]
    units: tuple[str, int]
    codes: tuple[str, int]
    quaternion: tuple[str, int]
    rows: tuple[str, int]
    bytes: int


# The layout for each header size; the magic says whether the voxels follow (n+) or are in an .img file (ni).
_LAYOUTS = {
    348: _Layout(
        {b"n+1\0": True, b"ni1\0": False}, 344, ("8h", 40), 70, ("8f", 76), ("f", 108), ("2f", 112),
        ("B", 123), ("2h", 252), ("6f", 256), ("12f", 280), 352,
    ),
    540: _Layout(
        {b"n+2\0\r\n\x1a\n": True, b"ni2\0\r\n\x1a\n": False}, 4, ("8q", 16), 12, ("8d", 104), ("q", 168), ("2d", 176),
        ("i", 500), ("2i", 344), ("6d", 352), ("12d", 400), 544,
    ),
}  # fmt: skip


def is_nifti(start: bytes) -> bool:
    """Whether bytes start like a NIfTI header (or Analyze 7.5, its predecessor)."""
    return _order(start) is not None


def _order(start: bytes) -> str | None:
    if len(start) < 4:
        return None
    return next((order for order in "<>" if struct.unpack(order + "i", start[:4])[0] in _LAYOUTS), None)


def parse_nifti(start: bytes, path: Path, name: str, *, packed: bool) -> VolumeHeader:
    """Read a NIfTI header.

    Args:
        start: the first :data:`HEADER_BYTES` bytes, unpacked.
        path: the file.
        name: the file, for messages.
        packed: whether the file is compressed as a whole.

    Raises:
        UnfitInputError: a field is invalid.
    """
    order = _order(start) or "<"
    layout = _LAYOUTS[struct.unpack(order + "i", start[:4])[0]]
    if len(start) < layout.bytes - 4:
        raise UnfitInputError("the file ends within its header", name, "Copy it again.", "damaged-file")

    def values(place: tuple[str, int]) -> tuple[float, ...]:
        return struct.unpack_from(order + place[0], start, place[1])

    magic = start[layout.magic_at : layout.magic_at + len(next(iter(layout.magics)))]
    if magic not in layout.magics:
        raise UnfitInputError(
            "this is Analyze 7.5 or not NIfTI: it does not define left and right",
            name,
            "Convert the original to NIfTI.",
            "no-nifti",
        )
    single = layout.magics[magic]
    sizes, components = _sizes(values(layout.dim), name)
    (number,) = struct.unpack_from(order + "h", start, layout.type_at)
    dtype, colours = _type(number, order, name)
    forms = _forms(layout, values)
    geometry, warnings = grid_of(sizes, forms, name)
    offset = _offset(values(layout.offset)[0], layout.bytes if single else 0, name)
    data = path if single else _image_of_pair(path, name)
    packed = packed if single else data.name.lower().endswith(".gz")
    part = DataPart(data, inner=offset) if packed else DataPart(data, offset)
    return VolumeHeader(
        kind="NIfTI",
        name=name,
        geometry=geometry,
        dtype=dtype,
        parts=(part,),
        encoding="gzip" if packed else "raw",
        components=colours if colours > 1 else components,
        components_last=colours == 1,
        scale=_scale(values(layout.scale), name) if colours == 1 else None,
        tells_direction=bool(forms.qform_code or forms.sform_code),
        warnings=warnings,
    )


def _forms(layout: _Layout, read: Callable[[tuple[str, int]], tuple[float, ...]]) -> Forms:
    qform_code, sform_code = read(layout.codes)
    unit = int(read(layout.units)[0]) & 7
    pixdim = read(layout.pixdim)
    quaternion = read(layout.quaternion)
    return Forms(
        pixdim=tuple(pixdim[1:4]),
        handedness=float(pixdim[0]),
        qform_code=int(qform_code),
        sform_code=int(sform_code),
        quaternion=tuple(quaternion[:3]),
        offset=tuple(quaternion[3:]),
        rows=np.reshape(read(layout.rows), (3, 4)).astype(float),
        unit_mm=_UNITS_MM.get(unit, 1.0),
    )


def _sizes(dim: tuple[float, ...], name: str) -> tuple[tuple[int, int, int], int]:
    """Voxels along the three axes, and values per voxel (NIfTI's fifth axis)."""
    count, *all_sizes = (int(n) for n in dim)
    if not 1 <= count <= 7:
        raise bad_header(name, f"claims {count} dimensions")
    sizes = all_sizes[:count]
    check_dimensions(count, name)
    if count > 3:
        check_one_time(sizes[3], name)
    if any(n > 1 for n in sizes[5:]) or any(n < 1 for n in sizes[3:]):
        raise bad_header(name, f"claims sizes of {' × '.join(str(n) for n in sizes)}")
    i, j, k = sizes[:3]
    return (i, j, k), sizes[4] if count > 4 else 1


def _type(number: int, order: str, name: str) -> tuple[np.dtype, int]:
    if number in _COLOURS:
        return np.dtype("u1"), _COLOURS[number]
    if number not in _TYPES:
        raise UnfitInputError(
            f"its number type (NIfTI type {number}) is not supported",
            name,
            "Save it as integers or real numbers.",
            "unknown-type",
        )
    return np.dtype(order + _TYPES[number]), 1


def _offset(offset: float, least: int, name: str) -> int:
    if not math.isfinite(offset) or offset != int(offset) or not 0 <= offset <= _MOST_BEFORE_VOXELS:
        raise bad_header(name, f"places the voxels at byte {offset:g} (vox_offset)")
    if 0 < offset < least:
        raise bad_header(name, f"places the voxels within itself (vox_offset {offset:g})")
    return int(offset) or least


def _scale(scale: tuple[float, ...], name: str) -> tuple[float, float] | None:
    """Slope and intercept; a slope of 0, or none, means that the values are as stored."""
    slope, intercept = scale
    if slope == 0 or math.isnan(slope) or (slope == 1 and intercept == 0):
        return None
    if (
        not math.isfinite(slope)
        or not math.isfinite(intercept)
        or not 1e-12 < abs(slope) < 1e12
        or abs(intercept) > 1e12
    ):
        raise bad_header(name, f"scales its values by {slope:g} and {intercept:g} (scl_slope, scl_inter)")
    return slope, intercept


def _image_of_pair(path: Path, name: str) -> Path:
    base = path.name[: -len(".hdr")] if path.name.lower().endswith(".hdr") else path.stem
    for suffix in (".img", ".img.gz", ".IMG"):
        if (path.parent / (base + suffix)).exists():
            return beside(path, base + suffix)
    raise UnfitInputError("the header's .img file is not beside it", name, "Copy both files together.", "bad-data-file")
