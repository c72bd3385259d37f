"""Available memory, to refuse jobs that would need too much, and the memory that this process holds."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

from COVIDQuantLib.errors import UnfitInputError

# Limit and use of a container: version 2 of Linux's control groups, then version 1.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def refuse_too_large(needed: int, what: str, remedy: str) -> None:
    """Refuse a job that needs more memory than is available.

    Args:
        needed: bytes, about.
        what: the object, for the message.
        remedy: what the user can do.

    Raises:
        UnfitInputError: less is available.
    """
    free = available_bytes()
    if free is not None and needed > free:
        described = f"{what} needs about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"
        raise UnfitInputError(described, "", remedy, code="memory-too-small")


def available_bytes() -> int | None:
    """Available memory without swap; None if the system does not report it."""
    found = [size for size in (_of_system(), *(_of_group(*group) for group in _GROUPS)) if size is not None]
    return max(min(found), 0) if found else None


def held_bytes_now() -> int | None:
    """Memory that this process holds; None where the system does not report it in a file, as on macOS and Windows."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def give_back_memory() -> None:
    """Return to the system what a job no longer uses: objects that refer to each other, and pages of glibc's heap."""
    gc.collect()
    # Not on macOS and Windows, nor with another C library.
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _of_system() -> int | None:
    if sys.platform == "win32":
        return _of_windows()
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # macOS has no simple call for free memory; the total is an upper bound.
    with suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_group(limit: str, used: str) -> int | None:
    try:
        most, now = (Path(path).read_text(encoding="ascii").strip() for path in (limit, used))
        return int(most) - int(now) if most != "max" else None
    except (OSError, ValueError):
        return None


if sys.platform == "win32":

    class _MemoryStatus(ctypes.Structure):
        _fields_ = [
            ("dwLength", ctypes.c_ulong),
            ("dwMemoryLoad", ctypes.c_ulong),
            *(
                (name, ctypes.c_ulonglong)
                for name in ("total", "free", "pages", "free_pages", "virtual", "free_virtual")
            ),
            ("extended", ctypes.c_ulonglong),
        ]

    def _of_windows() -> int | None:
        status = _MemoryStatus()
        status.dwLength = ctypes.sizeof(status)
        described = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.free) if described else None

else:

    def _of_windows() -> int | None:
        return None
