"""Check a DICOM header's claims against the size of its file before any memory is allocated."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from COVIDQuantLib.ct.dicom.open import meta_info
from COVIDQuantLib.ct.files.size_limits import MAX_VOXELS
from COVIDQuantLib.errors import UnfitInputError

if TYPE_CHECKING:
    from COVIDQuantLib.ct.dicom.headers import ImageFile

# Transfer syntaxes with uncompressed pixels: implicit, explicit, deflated, big endian.
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", DEFLATED, "1.2.840.10008.1.2.2"}
# The best compression of a blank image; CT images compress to about a third.
_MAX_PACKING = 1000
_MIN_BYTES = 1 << 16
# Limits for a deflated file: this many times its size, or this many bytes if that is more.
_MAX_INFLATING = 50
_MIN_INFLATED = 1 << 26
_CHUNK = 1 << 20
_AGAIN = "Copy or export the series again."


def check_claims(files: Iterable[ImageFile]) -> None:
    """Refuse files whose headers claim more pixels than the files can hold.

    Args:
        files: the files to be read.

    Raises:
        UnfitInputError: a file is too small for its picture, or all pictures together are too large.
    """
    total = 0
    for file in files:
        rows, columns = file.matrix
        frames = max(file.frames, 1)
        pixels = rows * columns * frames
        total += pixels
        samples = int(file.number("SamplesPerPixel") or 1)
        claimed = pixels * samples * int(file.number("BitsAllocated") or 16) // 8
        packed = file.syntax not in NATIVE or file.syntax == DEFLATED
        if claimed > (_MAX_PACKING * file.size + _MIN_BYTES if packed else file.size):
            raise UnfitInputError(
                f"the header claims {columns}×{rows} pixels in {frames} frame{'s' * (frames > 1)} "
                f"({claimed / 1e6:.4g} MB), but the file has {file.size / 1e6:.4g} MB: it is truncated or damaged",
                file.name,
                _AGAIN,
                code="damaged-file",
            )
        if total > MAX_VOXELS:
            raise UnfitInputError(
                f"the series has more than {MAX_VOXELS / 1e6:.0f} million voxels, the most that is read",
                file.name,
                "Crop the CT to the chest, or give a thicker reconstruction.",
                code="too-large",
            )


def check_deflated(path: Path) -> None:
    """Refuse a deflated file that inflates without bound, before pydicom inflates it in one step.

    Raises:
        ValueError: it does.
        Exception: the file's meta information cannot be parsed.
    """
    with path.open("rb") as stream:
        if DEFLATED.encode() not in stream.read(1024):
            return
    if str(meta_info(path).get("TransferSyntaxUID", "")) != DEFLATED:
        return
    limit = max(_MIN_INFLATED, _MAX_INFLATING * path.stat().st_size)
    inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as stream:
        stream.seek(_meta_end(path))
        while chunk := stream.read(_CHUNK):
            while chunk:
                inflated += len(inflater.decompress(chunk, _CHUNK))
                chunk = inflater.unconsumed_tail
                if inflated > limit:
                    raise ValueError(f"it inflates to more than {limit >> 20} MiB")


def _meta_end(path: Path) -> int:
    """Bytes of preamble, mark and meta information: its first element tells the length of the rest."""
    meta = meta_info(path)
    return 128 + 4 + 12 + int(meta.FileMetaInformationGroupLength)
