"""Locks on files that the system itself lifts when their owner ends, however it ends."""

from __future__ import annotations

import errno
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

# What file systems answer that have no locks: some network drives, some drives of phones.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
# Windows locks bytes, and nobody reads a locked one: this one lies far beyond the text.
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
        path: the file, made if ``make``; afterwards it holds who locked it.
        make: whether the file may be made; otherwise it must be there.

    Raises:
        HeldError: somebody who is alive has it.
        OSError: the file cannot be opened or made.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        self.path = path
        self._handle: int | None = _locked_handle(path, make=make)

    def release(self, *, remove: bool = False) -> None:
        """Let go of the file; once more does no harm.

        Args:
            remove: remove the file as well.
        """
        handle, self._handle = self._handle, None
        if handle is None:
            return
        # Removed while locked, so that whoever opened it meanwhile finds that it is no longer the file of the name.
        gone = remove and sys.platform != "win32"
        if gone:
            with suppress(OSError):
                self.path.unlink()
        os.close(handle)
        if remove and not gone:
            # Windows removes no open file, and none that somebody else has opened by now.
            with suppress(OSError):
                self.path.unlink()


class HeldError(Exception):
    """Somebody else has the lock.

    Attributes:
        owner: the process ID that the file names; empty if it names none.
    """

    def __init__(self, owner: str) -> None:
        super().__init__(owner)
        self.owner = owner


def try_to_lock(handle: int) -> bool:
    """Lock an open file until it is closed; whether that could be done. Nothing is written into it."""
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
        # Its last owner removed it between our opening and our locking.
        os.close(handle)


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags, 0o666)
    except PermissionError:
        # Another user's, left in a folder that both may write to; a lock needs no right to write.
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
    """Whether the process that a file names may still be there; asked only where there are no locks."""
    if not pid:
        return False
    return host != platform.node() or process_lives(int(pid))


def process_lives(pid: int) -> bool:
    """Whether there is a process of an ID on this machine; where it cannot be told, yes."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
