"""What ITK's NIfTI reader passes over in silence: a file that ends early, and voxels that are not numbers.

It fills missing data with whatever is in memory and turns NaN into 0, which would be tissue. So the data are read
once more here, from the fields of the NIfTI-1 and NIfTI-2 headers.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from COVIDQuantLib.errors import UnfitInputError

# Header size names the version; places of dim, datatype, bitpix and vox_offset with their struct letters.
_VERSIONS = {348: ("8h", 40, 70, "f", 108), 540: ("8q", 16, 12, "q", 168)}
_FLOATS = {16: "f4", 64: "f8"}
_CHUNK = 1 << 24
_HEADER_BYTES = 540


def check_nifti_data(path: Path) -> np.ndarray | None:
    """Read a single-file NIfTI through to its end.

    Args:
        path: ``.nii`` or ``.nii.gz``.

    Returns:
        Bool mask (flat, in the order of the file) of voxels that are not finite; None if all are.

    Raises:
        UnfitInputError: the file ends early or its compression is damaged.
    """
    try:
        with _opened(path) as stream:
            return _check(stream, path)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise _damaged(path, str(error)) from error


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _check(stream: BinaryIO, path: Path) -> np.ndarray | None:
    header = stream.read(_HEADER_BYTES)
    order = next((o for o in "<>" if struct.unpack(o + "i", header[:4])[0] in _VERSIONS), None)
    if order is None:
        # Analyze pairs and other relatives keep their data elsewhere.
        return None
    dim_format, dim_at, type_at, offset_format, offset_at = _VERSIONS[struct.unpack(order + "i", header[:4])[0]]
    dims = struct.unpack_from(order + dim_format, header, dim_at)
    datatype, bits = struct.unpack_from(order + "2h", header, type_at)
    offset = int(struct.unpack_from(order + offset_format, header, offset_at)[0])
    voxels = int(np.prod([max(1, n) for n in dims[1 : 1 + dims[0]]]))
    _skip(stream, offset - len(header), path)
    mask = np.zeros(voxels, bool) if datatype in _FLOATS else None
    kind = np.dtype(order + _FLOATS[datatype]) if datatype in _FLOATS else np.dtype(np.uint8)
    done, wanted = 0, voxels * bits // 8
    while done < wanted:
        chunk = stream.read(min(_CHUNK, wanted - done))
        if not chunk:
            raise _damaged(path, f"it holds {done} of {wanted} bytes of voxels")
        if mask is not None:
            first = done // kind.itemsize
            values = np.frombuffer(chunk, kind)
            mask[first : first + len(values)] = ~np.isfinite(values)
        done += len(chunk)
    # To the end, so that the checksum of a compressed file is verified.
    while stream.read(_CHUNK):
        pass
    return mask if mask is not None and mask.any() else None


def _skip(stream: BinaryIO, count: int, path: Path) -> None:
    if count < 0:
        stream.seek(count, 1)
    elif len(stream.read(count)) < count:
        raise _damaged(path, "it ends within its header")


def _damaged(path: Path, why: str) -> UnfitInputError:
    return UnfitInputError(f"the file is truncated or damaged ({why})", path.name, "Copy it again.")
