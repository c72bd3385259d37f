"""What is made once in a test session, by whichever pytest worker needs it first, and read by the others."""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from COVIDQuantLib.system.file_lock import FileLock, HeldError


class Store:
    """Results in a folder that all workers of a session share.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(exist_ok=True)

    def folder(self, name: str, fill: Callable[[Path], object]) -> Path:
        """A folder that ``fill`` has filled; to be read only."""
        with self._alone(name):
            path, done = self._folder / name, self._folder / f"{name}.done"
            if not done.exists():
                path.mkdir(exist_ok=True)
                fill(path)
                done.touch()
        return path

    def value(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` returns; a copy of its own for each caller, to do with as it likes."""
        with self._alone(name):
            path = self._folder / f"{name}.pickle"
            if not path.exists():
                path.write_bytes(pickle.dumps(make()))
            return pickle.loads(path.read_bytes())

    def phantom(self, **settings: Any) -> Any:
        """The ``Phantom`` of some ``PhantomSettings``."""
        from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom

        wanted = PhantomSettings(**settings)
        key = hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]
        return self.value(f"phantom-{key}", lambda: make_phantom(wanted))

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        lock = None
        while lock is None:
            try:
                lock = FileLock(self._folder / f"{name}.lock")
            except HeldError:
                time.sleep(0.05)
        try:
            yield
        finally:
            lock.release()
