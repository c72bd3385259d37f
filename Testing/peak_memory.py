"""How much memory work takes: what Python and numpy allocate, and on Linux by what the whole process grows."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """Bytes at the most while the block ran.

    Attributes:
        traced: of Python's and numpy's allocations.
        grown: of the whole process beyond what it held before, ITK's and GDCM's included; 0 where the system does not
            tell.
    """

    traced: int = 0
    grown: int = 0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure a block; the figures are there when it has ended, however it ends."""
    peak = Peak()
    before = _start()
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak.traced = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if before is not None:
            peak.grown = max(0, _kilobytes("VmHWM") * 1024 - before)


def _start() -> int | None:
    """Bytes that are held now, after the high-water mark is set back to them; None where that is not possible."""
    try:
        RESET.write_text("5")
        return _kilobytes("VmRSS") * 1024
    except OSError:
        return None


def _kilobytes(field: str) -> int:
    lines = STATUS.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
