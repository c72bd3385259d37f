"""Check which files may be opened: regular, non-empty ones, and detached data beside their header."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

from COVIDQuantLib.errors import UnfitInputError

_MAX_NAME = 1024
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def shown(path: Path | str) -> str:
    """A path made printable whatever bytes are in it; at most 200 characters."""
    text = os.fspath(path).encode("utf-8", errors="backslashreplace").decode()
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= 200 else f"{text[:90]}…{text[-90:]}"


def quoted(text: str) -> str:
    """Text from an untrusted header made printable, at most 40 characters."""
    return shown(text)[:40]


def check_input(path: Path, *, folder: bool = False) -> os.stat_result:
    """Refuse anything that must not be opened: reading a pipe or device could block or never end.

    Args:
        path: the path that the user gave.
        folder: whether a folder is allowed.

    Raises:
        UnfitInputError: missing, unreachable, not a regular file, or empty.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        what = "there is no such file or folder" if folder else "there is no such file"
        raise UnfitInputError(what, shown(path), "Check the path.", "no-such-file") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UnfitInputError(
            f"it cannot be read ({why})", shown(path), "Check its name and permissions.", "unreadable"
        ) from None
    if stat.S_ISDIR(found.st_mode):
        if folder:
            return found
        raise UnfitInputError("it is a folder, not a file", shown(path.name), "Name the file in it.", "not-a-file")
    if not stat.S_ISREG(found.st_mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(found.st_mode)), "something else")
        raise UnfitInputError(
            f"it is not a file but {kind}", shown(path.name), "Save it as a file first.", "not-a-file"
        )
    if not found.st_size:
        raise UnfitInputError("the file is empty", shown(path.name), "Copy or export it again.", "empty-file")
    return found


def beside(header: Path, named: str) -> Path:
    """The data file that a header names: only in the header's own folder, after following links.

    Args:
        header: the header's file.
        named: what it says.

    Raises:
        UnfitInputError: it is outside the folder, missing, not a regular file, or empty.
    """
    name = shown(header.name)
    flat = named.replace("\\", "/")
    outside = PurePosixPath(flat).is_absolute() or PureWindowsPath(named).drive or ".." in PurePosixPath(flat).parts
    if not named or "\0" in named or len(named) > _MAX_NAME:
        raise UnfitInputError("the header names no valid data file", name, "Export it again.", "bad-data-file")
    folder = header.parent
    try:
        data = folder / (named if (folder / named).exists() else flat)
        if not outside and data.exists():
            outside = not data.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        outside = True
    if outside:
        raise UnfitInputError(
            f"the header's data file {shown(named)} is outside its own folder",
            name,
            "Put header and data into one folder and name the data without a path.",
            "data-file-outside",
        )
    try:
        check_input(data)
    except UnfitInputError as error:
        raise UnfitInputError(
            f"the header's data file {shown(named)} cannot be read: {error.what}",
            name,
            "Copy header and data together.",
            "bad-data-file",
        ) from error
    return data
