"""Files that appear whole or not at all, alone or as a set."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from COVIDQuantLib.errors import OutputError, UsageError

Writer = Callable[[Path], None]

_STAGING_PREFIX = ".covidquant-"
# Per errno: what is wrong, and what the user can do.
_FULL = ("the disk is full", "Free some space or choose another folder.")
_FORBIDDEN = (
    "no permission to write here",
    "Choose a folder you may write to, and close programs that have the file open.",
)
_IN_THE_WAY = ("something of another kind is in the way", "Move it away or choose another name.")
_CAUSES: dict[int, tuple[str, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: ("the file is larger than allowed here", "Choose another folder or raise the limit."),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: ("the disk is read-only", "Choose another folder."),
    errno.EISDIR: ("a folder of this name is in the way", "Move it away or choose another name."),
    errno.ENOTDIR: ("part of the path is a file, not a folder", "Choose another folder."),
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTEMPTY: _IN_THE_WAY,
    errno.ENAMETOOLONG: ("the path is too long", "Choose a shorter one."),
}


def output_error(error: OSError, path: Path) -> OutputError:
    """The user's words for a failed write.

    Args:
        error: what the operating system said.
        path: the file or folder that was to be written.
    """
    fallback = (f"cannot be written ({error.strerror or error})", "Choose another folder.")
    what, remedy = _CAUSES.get(error.errno or 0, fallback)
    return OutputError(what, str(path), remedy)


@contextmanager
def _said_for(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise output_error(error, path) from error


def _flush_to_disk(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise output_error(IsADirectoryError(errno.EISDIR, "is a folder"), path)


def write_atomically(path: Path, writer: Writer) -> None:
    """Write one file so that it is there whole, or is as it was before.

    Args:
        path: the file; missing parent folders are made.
        writer: writes to the path it is given, which has the same ending and lies on the same disk.

    Raises:
        OutputError: the folder cannot be written, the disk is full, a folder is in the way.
    """
    with OutputFolder(path.parent) as out:
        out.write(path.name, writer)


class OutputFolder:
    """A set of files that appears together: ``with OutputFolder(path) as out: out.write("metrics.csv", writer)``.

    Files are written to a hidden folder inside the target, on the same disk, and moved into place when the block
    ends. If it ends by an exception or Ctrl-C, or if a move fails, every file is as it was before, and folders made
    for it are gone.

    Args:
        path: the folder; made with its parents if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._names: list[str] = []
        self._made: list[Path] = []
        self._staging: Path | None = None

    def __enter__(self) -> Self:
        """Make the folder and the staging folder in it.

        Raises:
            OutputError: they cannot be made.
        """
        try:
            with _said_for(self.path):
                self._make_folders()
                self._staging = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=self.path))
        except BaseException:
            self._clear(keep=False)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Move the files into place, or clear away what was begun."""
        done = False
        try:
            if kind is None:
                with _said_for(self.path):
                    self._commit()
                done = True
        finally:
            self._clear(keep=done)

    @property
    def staging(self) -> Path:
        """The hidden folder on the same disk, gone when the block ends; another process may prepare files below it."""
        if self._staging is None:
            raise RuntimeError("an OutputFolder has a staging folder inside its with block")
        return self._staging

    def write(self, name: str, writer: Writer) -> None:
        """Write one file of the set.

        Args:
            name: its name in the folder.
            writer: writes to the path it is given, which ends in ``name``.

        Raises:
            OutputError: it cannot be written.
            UsageError: the set holds this name already, or it is not a plain name.
        """
        if self._staging is None:
            raise RuntimeError("an OutputFolder is written to inside its with block")
        if name in self._names or Path(name).name != name:
            raise UsageError("not a name for one more file of this folder", str(self.path / name))
        target = self.path / name
        _refuse_folder(target)
        with _said_for(target):
            writer(self._staging / name)
            _flush_to_disk(self._staging / name)
        self._names.append(name)

    def _make_folders(self) -> None:
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir()
            self._made.append(folder)

    def _commit(self) -> None:
        """Move all files into place; on any failure put the earlier ones back."""
        staging = self._staging
        if staging is None:
            return
        before = staging / "before"
        before.mkdir()
        moved: list[str] = []
        try:
            for name in self._names:
                target = self.path / name
                _refuse_folder(target)
                moved.append(name)
                # A hard link keeps the earlier file until all are in place, and the name is never empty.
                with _said_for(target):
                    if target.exists():
                        _link_or_copy(target, before / name)
                    (staging / name).replace(target)
        except BaseException:
            for name in moved:
                self._put_back(name, before / name, came=not (staging / name).exists())
            raise

    def _put_back(self, name: str, earlier: Path, *, came: bool) -> None:
        if not came:
            return
        with suppress(OSError):
            if earlier.exists():
                earlier.replace(self.path / name)
            else:
                (self.path / name).unlink()

    def _clear(self, *, keep: bool) -> None:
        if self._staging is not None:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None
        if not keep:
            for folder in reversed(self._made):
                with suppress(OSError):
                    folder.rmdir()


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
