"""Write files atomically, singly or as a set: they appear complete or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from COVIDQuantLib.errors import OutputError, UnfitInputError, UsageError
from COVIDQuantLib.system.file_lock import FileLock, HeldError
from COVIDQuantLib.system.staging import LOCK, Staging, clear_gone, is_staged, settle

Writer = Callable[[Path], object]

# Per errno: what is wrong, what the user can do, and the error's code.
_FULL = ("the disk is full", "Free some space or choose another folder.", "disk-full")
_FORBIDDEN = (
    "no permission to write here",
    "Choose a folder you may write to, and close programs that have the file open.",
    "not-writable",
)
_IN_THE_WAY = (
    "something else with this name is in the way",
    "Move it away or choose another name.",
    "in-the-way",
)
_CAUSES: dict[int, tuple[str, str, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: ("the file is larger than allowed here", "Choose another folder or raise the limit.", "disk-full"),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: ("the disk is read-only", "Choose another folder.", "not-writable"),
    errno.EISDIR: ("a folder of this name is in the way", "Move it away or choose another name.", "in-the-way"),
    errno.ENOTDIR: ("part of the path is a file, not a folder", "Choose another folder.", "not-a-folder"),
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTEMPTY: _IN_THE_WAY,
    errno.ENAMETOOLONG: ("the path is too long", "Choose a shorter one.", "name-too-long"),
}


def output_error(error: OSError, path: Path) -> OutputError:
    """The user-facing error for a failed write.

    Args:
        error: from the operating system.
        path: the file or folder that was to be written.
    """
    fallback = (f"cannot be written ({error.strerror or error})", "Choose another folder.", "cannot-write")
    what, remedy, code = _CAUSES.get(error.errno or 0, fallback)
    return OutputError(what, str(path), remedy, code)


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
    if os.path.isdir(path):  # noqa: PTH112 - a name too long for the system is reported when it is used
        raise output_error(IsADirectoryError(errno.EISDIR, "is a folder"), path)


def write_atomically(path: Path, writer: Writer) -> None:
    """Write one file atomically: it is complete, or unchanged.

    Args:
        path: the file; missing parent folders are created.
        writer: writes to the path it is given, which has the same extension and is on the same disk.

    Raises:
        OutputError: the folder cannot be written, the disk is full, a folder is in the way.
    """
    if is_staged(path):
        # The set that it belongs to makes it atomic.
        writer(path)
        return
    _refuse_folder(path)
    with _staging_beside(path) as staging:
        writer(staging.files / path.name)
        _flush_to_disk(staging.files / path.name)
        (staging.files / path.name).replace(path)


def make_folder(folder: Path) -> None:
    """Make a folder, with its parents, if it is missing, and clear away what killed jobs have left in it.

    Raises:
        OutputError: it cannot be made or written.
    """
    with _said_for(folder):
        _make_folders(folder, [])
        clear_gone(folder)


@contextmanager
def write_folder_atomically(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``target`` when the block ends; else all is as it was before.

    Args:
        target: the folder; missing parent folders are made.

    Raises:
        OutputError: it cannot be written, or the block raised an OSError.
    """
    with _staging_beside(target, clear=True) as staging:
        # Named as the target, so that a refusal of what is in it names it.
        folder = staging.files / target.name
        folder.mkdir()
        yield folder
        for path in folder.rglob("*"):
            if path.is_file():
                _flush_to_disk(path)
        staging.commit([target.name])


def settle_results(folder: Path) -> None:
    """Before reading results, finish moving files that a killed job left half moved.

    Raises:
        UnfitInputError: it cannot be finished, so that the files may be of two jobs.
    """
    try:
        settle(folder)
    except OSError as error:
        what = "a job was killed while moving its files into this folder; the files may belong to two jobs"
        raise UnfitInputError(
            what, str(folder), "Make the folder writable and try again, or run quantify again.", code="half-moved"
        ) from error


def check_file(path: Path) -> None:
    """Check whether :func:`write_atomically` could write a file, without changing anything.

    Raises:
        OutputError: it could not.
    """
    _refuse_folder(path)
    with _staging_beside(path, clear=True, keep_folders=False) as staging:
        (staging.files / path.name).touch()


@contextmanager
def _staging_beside(path: Path, *, clear: bool = False, keep_folders: bool = True) -> Iterator[Staging]:
    """A staging folder beside a path, gone when the block ends; OSErrors of the block are told as for the path.

    Args:
        path: missing parent folders are made; they go again if the block fails.
        clear: clear away first what killed jobs have left there.
        keep_folders: keep the parent folders that were made if the block succeeds.
    """
    made: list[Path] = []
    staging: Staging | None = None
    done = False
    try:
        with _said_for(path):
            _make_folders(path.parent, made)
            if clear:
                clear_gone(path.parent)
            staging = Staging(path.parent)
            yield staging
            done = keep_folders
    finally:
        if staging is not None:
            staging.remove()
        if not done:
            _remove_empty(made)


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Create a folder and its missing parents; the created ones are appended to ``made``, outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        # Another job may have created it meanwhile.
        with suppress(FileExistsError):
            each.mkdir()
            made.append(each)


def _remove_empty(folders: list[Path]) -> None:
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


class OutputFolder:
    """A set of files that appear together: ``with OutputFolder(path) as out: out.write("metrics.csv", writer)``.

    Entering tests the folder: it is created, a file is written in it, and until the block ends no other set can be
    started there. So a command enters before its work, and an unwritable folder is reported at once. Files are
    written to a hidden folder inside the target, on the same disk, and moved into place when the block ends. If it
    ends by an exception or Ctrl-C, or if a move fails, every file is unchanged, and folders created for it are
    removed. :mod:`COVIDQuantLib.system.staging` describes what happens if the process is killed.

    Args:
        path: the folder; made with its parents if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._names: list[str] = []
        self._made: list[Path] = []
        self._lock: FileLock | None = None
        self._staging: Staging | None = None

    def __enter__(self) -> Self:
        """Create the folder and the hidden folder in it; leftovers of killed jobs are completed or removed.

        Raises:
            OutputError: they cannot be created, or another job is writing to the folder.
        """
        try:
            with _said_for(self.path):
                _make_folders(self.path, self._made)
                self._lock = FileLock(self.path / LOCK)
                clear_gone(self.path)
                self._staging = Staging(self.path)
        except HeldError as error:
            self._clear(keep=False)
            raise _in_use(self.path, error.owner) from error
        except BaseException:
            self._clear(keep=False)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Move the files into place, or discard them."""
        done = False
        try:
            if kind is None:
                self._commit()
                done = True
        finally:
            self._clear(keep=done)

    @property
    def staging(self) -> Path:
        """The hidden folder on the same disk, removed when the block ends; another process may prepare files in it."""
        if self._staging is None:
            raise RuntimeError("an OutputFolder has a staging folder inside its with block")
        return self._staging.path

    def staged(self, name: str) -> Path:
        """Where a file of the set that was already written lies until the block ends."""
        if self._staging is None or name not in self._names:
            raise RuntimeError(f"{name} was not written to this set")
        return self._staging.files / name

    def expect(self, names: Collection[str]) -> None:
        """Check now for errors that writing files of these names would raise later.

        Raises:
            OutputError: a folder of one of the names is in the way.
        """
        for name in names:
            with _said_for(self.path / name):
                _refuse_folder(self.path / name)

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
        made = self._staging.files / name
        with _said_for(target):
            _refuse_folder(target)
            try:
                writer(made)
            except OutputError as error:
                # The error names the hidden folder, which the user does not know.
                raise OutputError(error.what, str(target), error.remedy, error.code) from error
            _flush_to_disk(made)
        self._names.append(name)

    def _commit(self) -> None:
        """Move all files into place; on failure restore the earlier ones."""
        staging = self._staging
        if staging is None or not self._names:
            return
        try:
            staging.commit(self._names)
        except OSError as error:
            raise output_error(error, self.path / staging.moving) from error

    def _clear(self, *, keep: bool) -> None:
        if self._staging is not None:
            self._staging.remove()
            self._staging = None
        if self._lock is not None:
            self._lock.release(remove=True)
            self._lock = None
        if not keep:
            _remove_empty(self._made)


def _in_use(path: Path, owner: str) -> OutputError:
    who = f"another job (process {owner})" if owner else "another job"
    return OutputError(
        f"{who} is writing to this folder", str(path), "Wait until it is done, or choose another folder.", "in-use"
    )
