"""Arrays in memory that two processes share.

The parent makes a block and removes it; the child only looks into it. One block serves a whole job: the results take
the place of the CT that the child has taken out.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker, shared_memory, spawn
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.system.file_lock import process_lives, try_to_lock
from COVIDQuantLib.worker.failures import WorkerError

# Arrays begin at multiples of this many bytes, the length of a line of the processor's cache.
_ALIGNMENT = 64
# Where Linux shows shared blocks as files.
_SHARED_FOLDER = Path("/dev/shm")  # noqa: S108 - no temporary file is made there by name
_BLOCK = re.compile(r"covidquant-(\d{1,9})-[0-9a-f]{8}")
_SECONDS_NEW = 60.0


@dataclass(frozen=True)
class Slot:
    """Where an array lies in a block: offset in bytes, shape, and numpy's name of its type."""

    offset: int
    shape: tuple[int, ...]
    dtype: str

    def view(self, buffer: memoryview) -> np.ndarray:
        """The array, not copied; the block cannot be closed while it lives."""
        return np.ndarray(self.shape, self.dtype, buffer, self.offset)


def lay_out(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, Slot], int]:
    """Where each array goes, in the order given, and the bytes that all of them need."""
    slots, offset = {}, 0
    for name, array in arrays.items():
        slots[name] = Slot(offset, array.shape, array.dtype.str)
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return slots, max(offset, 1)


class Block:
    """A block of shared memory that this process made; freed by :meth:`free`, at exit, or by its last reference.

    Should this process be killed, Python's resource tracker frees it (on Windows the system does). Should the tracker
    be killed with it, the next block that anybody makes on this machine does, where Linux shows blocks as files.

    Args:
        size: bytes.

    Raises:
        WorkerError: there is too little room, or Python's resource tracker cannot be had.
    """

    def __init__(self, size: int) -> None:
        _name_interpreter()
        clear_gone_blocks()
        name = _new_name()
        try:
            self._memory = shared_memory.SharedMemory(name, create=True, size=size)
        except BrokenPipeError as error:
            # The block is there, but the tracker that would free it after a crash is not.
            (_SHARED_FOLDER / name).unlink(missing_ok=True)
            raise WorkerError(
                "Python's helper process for shared memory cannot be started", sys.executable, "Restart the program."
            ) from error
        except OSError as error:
            raise _no_room(size) from error
        self._free = weakref.finalize(self, _remove, self._memory, _hold(self._memory.name))
        try:
            _reserve(self._memory.name, size)
        except OSError as error:
            self.free()
            raise _no_room(size) from error

    @property
    def name(self) -> str:
        """What the other process opens it by."""
        return self._memory.name

    @property
    def buffer(self) -> memoryview:
        """The bytes."""
        buffer = self._memory.buf
        if buffer is None:
            raise ValueError("the block was freed")
        return buffer

    def free(self) -> None:
        """Give the memory back; once more does no harm."""
        self._free()


def _name_interpreter() -> None:
    """Tell multiprocessing which program Python is: its helper for shared memory could not be started otherwise.

    Slicer names its Python while it starts, and whatever had imported multiprocessing before was told of none.
    """
    if not spawn.get_executable():
        spawn.set_executable(sys.executable)


def _new_name() -> str:
    """A name that tells whose block it is; macOS allows 30 characters."""
    return f"covidquant-{os.getpid()}-{secrets.token_hex(4)}"


def clear_gone_blocks() -> None:
    """Remove blocks whose makers are gone; only Linux shows them."""
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
        # Its maker locks it; just made, it is not locked yet.
        new = time.time() - os.fstat(handle).st_ctime < _SECONDS_NEW
        if try_to_lock(handle) and not (new and process_lives(int(found[1]))):
            path.unlink()
    finally:
        os.close(handle)


def _hold(name: str) -> int | None:
    """Lock a block of our own for as long as the handle is open; None where blocks are no files."""
    try:
        handle = os.open(_SHARED_FOLDER / name, os.O_RDWR)
    except OSError:
        return None
    try_to_lock(handle)
    return handle


def _remove(memory: shared_memory.SharedMemory, held: int | None) -> None:
    # Unlinked first: the name must go even if somebody still looks at the bytes.
    with suppress(FileNotFoundError):
        memory.unlink()
    with suppress(BufferError):
        memory.close()
    if held is not None:
        os.close(held)


def _reserve(name: str, size: int) -> None:
    """Have Linux set the memory aside now; without this, writing into a full /dev/shm would kill the process."""
    path = _SHARED_FOLDER / name
    if not hasattr(os, "posix_fallocate") or not path.exists():
        return
    handle = os.open(path, os.O_RDWR)
    try:
        os.posix_fallocate(handle, 0, size)
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
    """The bytes of a block that the other process made; leave no array that looks into them behind."""
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
    """Open a block without making this process answer for it: only its maker removes it."""
    untracked: dict[str, Any] = {"track": False}
    if sys.version_info >= (3, 13):
        return shared_memory.SharedMemory(name, **untracked)
    # Before 3.13 opening registers too; a tracker of this process would remove the block when this process ends.
    register = resource_tracker.register
    resource_tracker.register = _register_nothing
    try:
        return shared_memory.SharedMemory(name)
    finally:
        resource_tracker.register = register


def _register_nothing(name: Any, rtype: str) -> None:
    """Takes the place of the tracker's own while a block is opened."""
