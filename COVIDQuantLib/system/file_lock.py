"""File locks that the system releases when their owner ends, however it ends."""

from __future__ import annotations

import errno
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

# Error codes of file systems without locks: some network drives, some phones.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
# Windows locks bytes, and locked bytes cannot be read: this one is far beyond the text.
_BYTE = 1 << 30

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """A file that is locked while this object holds it.

    Args:
        path: the file, created if ``make``; it then records who locked it.
        make: whether the file may be created; otherwise it must exist.

    Raises:
        HeldError: a living process holds it.
        OSError: the file cannot be opened or made.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        self.path = path
        self._handle: int | None = _locked_handle(path, make=make)

    def release(self, *, remove: bool = False) -> None:
        """Release the lock; calling it again is harmless.

        Args:
            remove: remove the file as well.
        """
        handle, self._handle = self._handle, None
        if handle is None:
            return
        # Removed while locked, so that others who opened it meanwhile notice that the name now refers to another file.
        gone = remove and sys.platform != "win32"
        if gone:
            with suppress(OSError):
                self.path.unlink()
        os.close(handle)
        if remove and not gone:
            # Windows cannot remove an open file, or one that another process has opened meanwhile.
            with suppress(OSError):
                self.path.unlink()


class HeldError(Exception):
    """Another process holds the lock.

    Attributes:
        owner: the process ID that the file names; empty if it names none.
    """

    def __init__(self, owner: str) -> None:
        super().__init__(owner)
        self.owner = owner


def try_to_lock(handle: int) -> bool:
    """Try to lock an open file until it is closed; returns whether it worked. Nothing is written to it."""
    try:
        _lock(handle)
    except OSError:
        return False
    return True


def _locked_handle(path: Path, *, make: bool) -> int:
    flags = os.O_RDWR | (os.O_CREAT if make else 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        handle = _opened(path, flags)
        try:
            _take(handle)
            if _is_file_of(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        # Its last owner removed it between opening and locking.
        os.close(handle)


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags, 0o666)
    except PermissionError:
        # Left by another user in a shared folder; a lock needs no write permission.
        return os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))


def _take(handle: int) -> None:
    try:
        _lock(handle)
    except OSError as error:
        pid, host = _named(handle)
        if error.errno in _HELD or (error.errno in _NO_LOCKS and _may_live(pid, host)):
            raise HeldError(pid) from error
        if error.errno not in _NO_LOCKS:
            raise
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"{os.getpid()} {platform.node()}\n".encode())


def _is_file_of(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _named(handle: int) -> tuple[str, str]:
    os.lseek(handle, 0, os.SEEK_SET)
    pid, _, host = os.read(handle, 300).decode("utf-8", errors="replace").strip().partition(" ")
    return (pid, host) if pid.isascii() and pid.isdigit() and len(pid) < 12 else ("", "")


def _may_live(pid: str, host: str) -> bool:
    """Whether the process that a file names may still be alive; used only where locks are unavailable."""
    if not pid:
        return False
    return host != platform.node() or process_lives(int(pid))


def process_lives(pid: int) -> bool:
    """Whether a process with this ID exists on this machine; true if unknown."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
