"""Open a bundle from an untrusted folder or zip file; a zip is checked and unpacked safely."""

from __future__ import annotations

import errno
import lzma
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from COVIDQuantLib.errors import OutputError, UnfitInputError
from COVIDQuantLib.models.metadata import METADATA, leaves
from COVIDQuantLib.models.weights import MAX_WEIGHT_BYTES

# A bundle is a handful of files; anything more or larger is not a bundle.
MAX_MEMBERS = 1000
MAX_TOTAL_BYTES = 2 * MAX_WEIGHT_BYTES
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
# RuntimeError: a member needs a password. The others: headers with contradictory numbers.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)
_OF_NAMES = {
    errno.ENAMETOOLONG,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EINVAL,
    errno.EILSEQ,
    errno.ENOENT,
    errno.ELOOP,
}
_REMEDY = "Do not use this file; get the bundle from a source you trust."


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """The folder of the single bundle in a folder or zip, at the top or one level below.

    Args:
        source: a folder, or a zip file, which is unpacked to a temporary folder until the block ends.

    Raises:
        UnfitInputError: nothing there, no bundle, several, or a damaged or dangerous zip.
        OutputError: the zip cannot be unpacked here.
    """
    if source.is_dir():
        yield _bundle_in(source, source)
        return
    if not source.is_file():
        raise UnfitInputError("there is no such folder or file", str(source))
    if not zipfile.is_zipfile(source):
        what = "neither a bundle's folder nor a zip file"
        raise UnfitInputError(what, str(source), "For weights of other programs use --format.")
    with tempfile.TemporaryDirectory(prefix="covidquant-") as unpacked:
        _unpack(source, Path(unpacked))
        yield _bundle_in(Path(unpacked), source)


def _bundle_in(folder: Path, source: Path) -> Path:
    if (folder / METADATA).is_file():
        return folder
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and (path / METADATA).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found[:5])
        raise UnfitInputError(f"there are several bundles: {names}", str(source), "Import them one at a time.")
    raise UnfitInputError("there is no model bundle: configs/metadata.json is missing", str(source))


def _unpack(source: Path, folder: Path) -> None:
    where = str(source)
    if source.stat().st_size > MAX_TOTAL_BYTES:
        raise UnfitInputError("the zip is too large to be a bundle", where, _REMEDY, code="zip-too-large")
    with _damage_told(where), zipfile.ZipFile(source) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _check_members(members, where)
        left = MAX_TOTAL_BYTES
        for member in members:
            left -= _extract(archive, member, folder, left)
            if left < 0:
                what = "unpacked, the zip is too large to be a bundle"
                raise UnfitInputError(what, where, _REMEDY, code="zip-too-large")


@contextmanager
def _damage_told(where: str) -> Iterator[None]:
    """Turn any error from reading a damaged zip or writing its contents into a message."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_NAMES:
            what = f"the zip contains an invalid file name ({error.strerror})"
            raise UnfitInputError(what, where, _REMEDY, code="zip-names") from error
        if error.errno is None:  # what bz2 raises
            raise _damaged(where, error) from error
        what = f"the zip cannot be unpacked ({error.strerror or error})"
        raise OutputError(what, where, "Free some space, or import the unpacked folder.", "zip-not-unpacked") from error
    except _DAMAGE as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> UnfitInputError:
    reason = (
        "a name in it is not UTF-8" if isinstance(error, UnicodeError) else str(error)[:120] or type(error).__name__
    )
    return UnfitInputError(f"the zip is damaged ({reason})", where, "Download it again.", code="zip-damaged")


def _check_members(members: list[zipfile.ZipInfo], where: str) -> None:
    """Check a zip's list of members before anything is unpacked."""
    if len(members) > MAX_MEMBERS:
        raise UnfitInputError(f"a zip of {len(members)} files is not a bundle", where, _REMEDY)
    if sum(member.file_size for member in members) > MAX_TOTAL_BYTES:
        raise UnfitInputError("unpacked, the zip is too large to be a bundle", where, _REMEDY)
    seen = set()
    for member in members:
        name = member.filename
        if leaves(name):
            raise UnfitInputError(f"the zip would write outside its folder ({name!r:.80})", where, _REMEDY)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnfitInputError(f"the zip holds a link ({name!r:.80})", where, _REMEDY)
        if member.flag_bits & _ENCRYPTED:
            raise UnfitInputError("the zip is encrypted", where, "Unpack it and import the folder.")
        # Two names that are equal on Windows and macOS would hide one file behind another.
        if name.casefold() in seen:
            raise UnfitInputError(f"the zip holds {name!r:.80} twice", where, _REMEDY)
        seen.add(name.casefold())


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, most: int) -> int:
    """Write one file; returns its size, counted while unpacking since the list may be wrong."""
    target = folder.joinpath(*PurePosixPath(member.filename).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as packed, target.open("xb") as file:
        while written <= most and (chunk := packed.read(_CHUNK)):
            written += file.write(chunk)
    return written
