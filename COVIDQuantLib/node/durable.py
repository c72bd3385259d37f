"""Files that are on the disk when they have their names; the names are ours, never a peer's."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from COVIDQuantLib.system.staging import sync_folder

# PS3.5, 9.1: numbers joined by periods, 64 characters at most; a leading zero is common and harmless.
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_MOST_OF_UID = 64
_DIGITS = 32
IMAGE_SUFFIX = ".dcm"
_PART = ".part"
_BLOCK = 4096


def is_uid(text: str) -> bool:
    """Whether a text is a DICOM UID."""
    return len(text) <= _MOST_OF_UID and _UID.fullmatch(text) is not None


def hashed_name(*uids: str) -> str:
    """A name for the file system of what some UIDs name: 32 hexadecimal digits."""
    return hashlib.sha256("\n".join(uids).encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def write_part(folder: Path, data: bytes) -> Path:
    """Write data under a name of its own into a folder on the same disk.

    Returns:
        The file, for :func:`keep_part`.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    part = folder / f"{os.urandom(16).hex()}{_PART}"
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


def keep_part(part: Path, path: Path) -> None:
    """Move a part to its place; on return its name is on the disk.

    Raises:
        OSError: the folder cannot be written.
    """
    part.replace(path)
    sync_folder(path.parent)


def make_durable(folder: Path) -> None:
    """Make a folder whose name is on the disk on return; one that exists stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def clear_parts(folder: Path) -> None:
    """Remove the parts that a killed process has left in a folder."""
    for path in folder.glob(f"*{_PART}"):
        path.unlink(missing_ok=True)


def images_in(folder: Path) -> list[Path]:
    """The complete images below a folder, sorted by name."""
    return sorted(folder.rglob(f"*{IMAGE_SUFFIX}"))


def on_disk(size: int) -> int:
    """What a file of some bytes takes of a disk, about: whole blocks, so that tiny files count for what they take."""
    return -(-size // _BLOCK) * _BLOCK


def bytes_below(folder: Path) -> int:
    """What all files below a folder take of the disk."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += on_disk(path.stat().st_size) if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
