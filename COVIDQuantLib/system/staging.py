"""Staging folders in which files are prepared, and moving them into place as a set.

Each process that writes into a folder has a hidden folder ``.covidquant-…`` in it, locked while it lives. A set of
files is moved into place by a journal: once all files are ready and on the disk, the journal records it, and from then
on the set is the new one. Should the process be killed between two of the moves, the next process — the next writer, or
a reader of results (:func:`settle`) — makes the remaining ones. Killed before, it leaves the old set, and the hidden
folder is removed by the next writer. No partial file is ever visible; files of different sets can be visible together
only between the first and the last move, and after a kill there until somebody comes.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from COVIDQuantLib.system.file_lock import FileLock, HeldError

PREFIX = ".covidquant-"
# Held while a set is written, so that no other process writes at the same time.
LOCK = f"{PREFIX}lock"
_OWNER, _FILES, _COMMIT = "owner", "files", "commit"
# The journal, under the name that says whether to go forward or back.
_READY, _FORWARD, _BACK = "names.json", "forward.json", "back.json"
_SECONDS_TO_SETTLE = 5.0


class Staging:
    """A hidden folder inside another, locked while it is in use.

    Args:
        folder: where; must exist.

    Attributes:
        path: the hidden folder.
        moving: the file that :meth:`commit` was moving when it failed; empty before.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.moving = ""
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
            try:
                self._owner = FileLock(self.path / _OWNER)
                break
            except (HeldError, FileNotFoundError):
                # Another process took it for a leftover and removed it.
                continue
            except BaseException:
                shutil.rmtree(self.path, ignore_errors=True)
                raise
        self.files.mkdir()

    @property
    def files(self) -> Path:
        """The folder in which files are prepared."""
        return self.path / _FILES

    def commit(self, names: Sequence[str]) -> None:
        """Move files or folders from :attr:`files` into place, all or none; their content must be on the disk.

        A stop request during the move is ignored: it takes milliseconds.

        Raises:
            OSError: one could not be moved; the earlier files are restored.
        """
        log = self.path / _COMMIT
        with _undisturbed():
            _prepare(self.folder, log, names)
            (log / _READY).rename(log / _FORWARD)
            sync_folder(log)
            try:
                for name in names:
                    self.moving = name
                    _move(self.folder, self.path, name)
                self.moving = ""
            except BaseException:
                (log / _FORWARD).rename(log / _BACK)
                _go_back(self.folder, self.path)
                raise
            sync_folder(self.folder)
            (log / _FORWARD).unlink()

    def remove(self) -> None:
        """Remove the hidden folder, unless it is needed to restore earlier files; calling it again is harmless."""
        if (self.path / _COMMIT / _BACK).exists():
            self._owner.release()
            return
        with _undisturbed():
            _remove(self.path, self._owner)


def is_staged(path: Path) -> bool:
    """Whether a file is in a staging folder, so that its writer need not write it atomically."""
    return path.parent.name == _FILES and path.parent.parent.name.startswith(PREFIX)


def clear_gone(folder: Path) -> bool:
    """Complete or remove leftovers of ended processes in a folder; those of living ones stay.

    Returns:
        Whether nothing is left.

    Raises:
        OSError: an interrupted move could not be finished.
    """
    left = False
    for path in _hidden(folder):
        if path.name == LOCK:
            with suppress(OSError, HeldError):
                FileLock(path, make=False).release(remove=True)
        else:
            _clear(folder, path)
        left = left or path.exists()
    return not left


def settle(folder: Path) -> None:
    """Finish a move into a folder that was interrupted, before the folder's files are read.

    Raises:
        OSError: it cannot be finished, as in a folder that is read-only.
    """
    end = time.monotonic() + _SECONDS_TO_SETTLE
    while True:
        journals = [path for path in _hidden(folder) if _journal(path) is not None]
        for path in journals:
            _clear(folder, path)
        # One that is left belongs to a living process, which needs milliseconds.
        if not any(_journal(path) for path in journals) or time.monotonic() > end:
            return
        time.sleep(0.02)


def sync_folder(folder: Path) -> None:
    """Flush a folder's directory entries to disk, if the system supports it."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _hidden(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith(PREFIX))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path for path in found if not path.is_symlink() and (path.is_dir() or path.name == LOCK)]


def _clear(folder: Path, path: Path) -> None:
    try:
        owner: FileLock | None = FileLock(path / _OWNER, make=False)
    except (HeldError, PermissionError):
        return
    except FileNotFoundError:
        # Just made and not locked yet, or left half removed; its maker would make another.
        owner = None
        with suppress(OSError):
            path.rmdir()
            return
    try:
        _recover(folder, path)
    except BaseException:
        if owner is not None:
            owner.release()
        raise
    _remove(path, owner)


def _remove(path: Path, owner: FileLock | None) -> None:
    """Remove a hidden folder, its lock last, so that no other process uses it meanwhile."""
    with suppress(OSError):
        for entry in path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != _OWNER:
                with suppress(OSError):
                    entry.unlink()
    if owner is not None:
        owner.release(remove=True)
    with suppress(OSError):
        path.rmdir()


# ------------------------------------------------------------------------------------------------------ the journal


def _prepare(folder: Path, log: Path, names: Sequence[str]) -> None:
    """Keep the earlier files under a second name and write the journal."""
    before = log / "before"
    before.mkdir(parents=True)
    replaced = [name for name in names if os.path.lexists(folder / name)]
    for name in replaced:
        if not _is_folder(folder / name):
            _link_or_copy(folder / name, before / name)
    with (log / _READY).open("w", encoding="utf-8") as file:
        json.dump({"names": list(names), "replaced": replaced}, file)
        file.flush()
        os.fsync(file.fileno())
    for made in (before, log.parent / _FILES, log.parent, log):
        sync_folder(made)


def _move(folder: Path, staging: Path, name: str) -> None:
    """Move one file or folder into place; does nothing if already done."""
    made, target = staging / _FILES / name, folder / name
    if not os.path.lexists(made):
        return
    if _is_folder(target):
        if not _is_folder(made):
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(target))
        target.rename(staging / _COMMIT / "before" / name)
    made.replace(target)


def _go_back(folder: Path, staging: Path) -> None:
    """Restore every earlier file; what cannot be restored now is left, with the journal, for the next process."""
    record = _read_journal(staging / _COMMIT / _BACK)
    done = True
    for name in record["names"]:
        try:
            _put_back(folder, staging, name, replaced=name in record["replaced"])
        except OSError:
            done = False
    if done:
        (staging / _COMMIT / _BACK).unlink()


def _put_back(folder: Path, staging: Path, name: str, *, replaced: bool) -> None:
    made, target, before = staging / _FILES / name, folder / name, staging / _COMMIT / "before" / name
    if replaced:
        if os.path.lexists(before):
            if _is_folder(before) and os.path.lexists(target):
                target.rename(made)
            before.replace(target)
    elif not os.path.lexists(made) and os.path.lexists(target):
        target.rename(made)


def _journal(staging: Path) -> Path | None:
    log = staging / _COMMIT
    # Another user's hidden folder cannot be read, so it is skipped.
    return next((log / name for name in (_BACK, _FORWARD) if os.path.exists(log / name)), None)  # noqa: PTH110


def _recover(folder: Path, staging: Path) -> None:
    """Complete a move that a killed process had started."""
    journal = _journal(staging)
    if journal is None:
        return
    record = _read_journal(journal)
    if journal.name == _FORWARD:
        for name in record["names"]:
            _move(folder, staging, name)
        journal.unlink()
        return
    _go_back(folder, staging)
    if journal.exists():
        raise OSError(errno.EACCES, "an interrupted move cannot be undone", str(folder))


def _read_journal(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names, replaced = ([str(name) for name in record[key]] for key in ("names", "replaced"))
    except (ValueError, KeyError, TypeError, RecursionError):
        # Ours are written and synced before they get this name, so this is not ours.
        return {"names": [], "replaced": []}
    plain = [name for name in names if name == Path(name).name and name not in {"", ".", ".."}]
    return {"names": plain, "replaced": replaced}


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Defer Ctrl-C and similar signals; only the main thread receives them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    # None: a handler that was not set from Python and could not be set again.
    before = {number: handler for number in wanted if (handler := signal.getsignal(number)) is not None}
    for number in before:
        signal.signal(number, _too_late)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _too_late(number: int, frame: object) -> None:
    """Let a signal pass."""
