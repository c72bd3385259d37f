"""Blocks of memory that two processes share.

The parent creates a block and removes it; the child only opens it. One block can serve a whole job: results overwrite
the arguments once the child has copied those.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker, shared_memory, spawn
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.system.file_lock import process_lives, try_to_lock
from COVIDQuantLib.system.memory import available_bytes
from COVIDQuantLib.worker.failures import WorkerError

# Arrays begin at multiples of this many bytes, the length of a cache line.
ALIGNMENT = 64
# Where Linux exposes shared memory as files.
_SHARED_FOLDER = Path("/dev/shm")  # noqa: S108 - no temporary file is made there by name
_BLOCK = re.compile(r"covidquant-(\d{1,9})-[0-9a-f]{8}")
_SECONDS_NEW = 60.0
# Memory is reserved in pieces of this size; a block from this size on is given back by a thread.
_PIECE, _LARGE = 1 << 23, 1 << 25


@dataclass(frozen=True)
class Slot:
    """Where an array lies in a block: offset in bytes, shape, and NumPy dtype."""

    offset: int
    shape: tuple[int, ...]
    dtype: str

    def view(self, buffer: memoryview) -> np.ndarray:
        """A view of the array; the block cannot be closed while the view exists."""
        return np.ndarray(self.shape, self.dtype, buffer, self.offset)

    def after(self, size: int) -> Slot:
        """The slot moved behind a header of ``size`` bytes, rounded up to the alignment."""
        return replace(self, offset=-(-size // ALIGNMENT) * ALIGNMENT + self.offset)


class Block:
    """A block of shared memory owned by this process; freed by :meth:`free`, at exit, or on garbage collection.

    If this process is killed, Python's resource tracker frees the block (on Windows the system does). If the tracker is
    killed too, the next block created on this machine cleans up, where Linux exposes blocks as files.

    Args:
        size: bytes.
        at_once: reserve the memory now; otherwise :meth:`reserve` must do so before anything is written.

    Raises:
        WorkerError: there is too little memory, or Python's resource tracker cannot be started.
    """

    def __init__(self, size: int, *, at_once: bool = True) -> None:
        _name_interpreter()
        clear_gone_blocks()
        name = _new_name()
        if size > _room():
            raise _no_room(size)
        try:
            self._memory = shared_memory.SharedMemory(name, create=True, size=size)
        except BrokenPipeError as error:
            # The block exists, but not the tracker that would free it after a crash.
            (_SHARED_FOLDER / name).unlink(missing_ok=True)
            raise WorkerError(
                "Python's helper process for shared memory cannot be started", sys.executable, "Restart the program."
            ) from error
        except OSError as error:
            raise _no_room(size) from error
        self._free = weakref.finalize(self, _remove, self._memory, _hold(self._memory.name))
        self._reserved = 0
        if at_once:
            self.reserve()

    @property
    def name(self) -> str:
        """The name by which the other process opens it."""
        return self._memory.name

    @property
    def buffer(self) -> memoryview:
        """The memory itself."""
        buffer = self._memory.buf
        if buffer is None:
            raise ValueError("the block was freed")
        return buffer

    def reserve(self, seconds: float = math.inf) -> bool:
        """Have the system commit more of the memory; whether all of it is committed.

        Otherwise writing to a full /dev/shm would kill the process.

        Args:
            seconds: stop after about this long; a gigabyte takes most of a second.

        Raises:
            WorkerError: there is too little memory.
        """
        size, end = self._memory.size, time.monotonic() + seconds
        while self._reserved < size:
            piece = min(_PIECE, size - self._reserved)
            try:
                _reserve(self._memory.name, self._reserved, piece)
            except OSError as error:
                self.free()
                raise _no_room(size) from error
            self._reserved += piece
            if time.monotonic() >= end:
                break
        return self._reserved >= size

    def free(self) -> None:
        """Release the memory; may be called repeatedly. The system takes back a large block a moment later."""
        self._free()


def _name_interpreter() -> None:
    """Tell multiprocessing the path of the Python executable, which it needs to start its resource tracker.

    Slicer sets the path during startup; a module that imported multiprocessing earlier has read an empty one.
    """
    if not spawn.get_executable():
        spawn.set_executable(sys.executable)


def _new_name() -> str:
    """A new name that contains the owner's process ID; macOS allows 30 characters."""
    return f"covidquant-{os.getpid()}-{secrets.token_hex(4)}"


def clear_gone_blocks() -> None:
    """Remove blocks whose owners no longer run; only Linux lists blocks."""
    with suppress(OSError):
        for path in _SHARED_FOLDER.glob("covidquant-*"):
            with suppress(OSError):
                _clear_if_gone(path)


def _clear_if_gone(path: Path) -> None:
    found = _BLOCK.fullmatch(path.name)
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW) if found else None
    if found is None or handle is None:
        return
    try:
        # The owner locks it, but not at the very moment it is created.
        new = time.time() - os.fstat(handle).st_ctime < _SECONDS_NEW
        if try_to_lock(handle) and not (new and process_lives(int(found[1]))):
            path.unlink()
    finally:
        os.close(handle)


def _hold(name: str) -> int | None:
    """Lock our own block for as long as the handle is open; None where blocks are not files."""
    try:
        handle = os.open(_SHARED_FOLDER / name, os.O_RDWR)
    except OSError:
        return None
    try_to_lock(handle)
    return handle


def _remove(memory: shared_memory.SharedMemory, held: int | None) -> None:
    # Unlink first: the name must go even if a view of the memory still exists.
    with suppress(FileNotFoundError):
        memory.unlink()
    if memory.size >= _LARGE:
        # Giving back a gigabyte takes a fifth of a second, during which a window would be held. It needs no lock of
        # Python; at exit no thread can be started.
        with suppress(RuntimeError):
            threading.Thread(target=_close, args=(memory, held), name="free memory").start()
            return
    _close(memory, held)


def _close(memory: shared_memory.SharedMemory, held: int | None) -> None:
    with suppress(BufferError):
        memory.close()
    if held is not None:
        os.close(held)


def _room() -> float:
    """Bytes that a block may have. Linux fills a /dev/shm larger than the memory until it kills a process."""
    rooms = [math.inf if (free := available_bytes()) is None else free]
    with suppress(OSError):
        rooms.append(shutil.disk_usage(_SHARED_FOLDER).free)
    return min(rooms)


def _reserve(name: str, start: int, size: int) -> None:
    """Have Linux commit a part of the memory now."""
    path = _SHARED_FOLDER / name
    if not hasattr(os, "posix_fallocate") or not path.exists():
        return
    handle = os.open(path, os.O_RDWR)
    try:
        os.posix_fallocate(handle, start, size)
    finally:
        os.close(handle)


def _no_room(size: int) -> WorkerError:
    return WorkerError(
        f"there is no room for {size / 1e6:.0f} MB of shared memory",
        str(_SHARED_FOLDER) if _SHARED_FOLDER.is_dir() else "",
        "Close other programs; in a container, give it more (--shm-size=2g).",
    )


@contextmanager
def opened(name: str) -> Iterator[memoryview]:
    """The memory of a block that the other process created; all views of it must be gone on exit."""
    memory = _attach(name)
    buffer = memory.buf
    if buffer is None:
        raise ValueError(f"the block {name} was freed")
    try:
        yield buffer
    finally:
        del buffer
        memory.close()


def _attach(name: str) -> shared_memory.SharedMemory:
    """Open a block without registering it with this process's resource tracker: only the owner removes it."""
    untracked: dict[str, Any] = {"track": False}
    if sys.version_info >= (3, 13):
        return shared_memory.SharedMemory(name, **untracked)
    # Before Python 3.13 opening registers too, and our tracker would remove the block when this process ends.
    register = resource_tracker.register
    resource_tracker.register = _register_nothing
    try:
        return shared_memory.SharedMemory(name)
    finally:
        resource_tracker.register = register


def _register_nothing(name: Any, rtype: str) -> None:
    """No-op in place of the tracker's ``register`` while a block is opened."""
