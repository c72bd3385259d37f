"""How many processors this process may use."""

from __future__ import annotations

import os
from contextlib import suppress

# The variable that OpenMP, and with it torch and numpy, take their number of threads from.
THREADS_VARIABLE = "OMP_NUM_THREADS"


def usable_processors() -> int:
    """Number of processors available to this process, which a batch system or container may limit."""
    with suppress(AttributeError, OSError):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def usable_threads() -> int:
    """Number of threads for one computation: the processors, or fewer if ``OMP_NUM_THREADS`` says so.

    The workers of a batch are given it so that two of them on two processors do not run four threads.
    """
    with suppress(ValueError):
        return max(1, min(int(os.environ.get(THREADS_VARIABLE, "")), usable_processors()))
    return usable_processors()
