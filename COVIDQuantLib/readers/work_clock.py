"""Seconds of active work on a result: pauses are not counted."""

from __future__ import annotations

import time
from collections.abc import Callable

# A gap longer than this between two signs of work is a pause, and none of it counts.
IDLE_S = 60.0


class WorkClock:
    """Adds up the time between signs of work (an edit, a click, another slice) that follow each other closely.

    Args:
        seconds: worked before, as stored with the result.
        now: a clock in seconds that never goes back.
    """

    def __init__(self, seconds: float = 0.0, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = max(0.0, seconds)
        self._now = now
        self._last: float | None = None

    def touch(self) -> None:
        """A sign of work."""
        now = self._now()
        if self._last is not None and 0.0 <= now - self._last <= IDLE_S:
            self.seconds += now - self._last
        self._last = now

    def pause(self) -> None:
        """The reader went elsewhere: the time until the next sign does not count."""
        self._last = None
