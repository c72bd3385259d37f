"""What a test session may not leave behind: temporary files, processes, shared memory, files beside the sources."""

from __future__ import annotations

import gc
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED_BLOCKS = Path("/dev/shm")
_VARIABLE = "COVIDQUANT_TEST_SESSION"
_SECONDS_TO_GO = 10.0
# What pytest, its plugins and the tools of a developer keep at the root.
_TOOLS = re.compile(r"\..*|output|build|dist|site|.*\.egg-info|__pycache__|coverage\.xml")
# Temporary folders that torch, matplotlib and multiprocessing keep for a user or until the process ends.
_LIBRARIES = re.compile(r"torchinductor_.*|matplotlib-.*|pymp-.*")
# Python's own keeper of shared memory lives as long as the process that uses any.
_KEEPER = b"resource_tracker"


class Watched:
    """The folder for temporary files that this session and its children use, and how its processes are known.

    Attributes:
        temporary: the folder; it is in place of the system's.
        mark: stands in the environment of every process that is started.
    """

    def __init__(self) -> None:
        self._before = _beside_sources()
        # A short name, made where the system would: paths of sockets may not be long.
        self.temporary = Path(tempfile.mkdtemp(prefix="covidquant-tests-"))
        self.mark = secrets.token_hex(8)

    def left(self) -> list[str]:
        """What there is now and should not be, in words; waits a moment for what is about to go."""
        gc.collect()
        end = time.monotonic() + _SECONDS_TO_GO
        while (found := self._found()) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def remove(self) -> None:
        """Remove the folder, whatever is in it."""
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _found(self) -> list[str]:
        # A folder that is still owned goes with its owner, at this process's end at the latest.
        owned = {Path(one.name) for one in gc.get_objects() if isinstance(one, tempfile.TemporaryDirectory)}
        there = {path for path in self.temporary.iterdir() if not _LIBRARIES.fullmatch(path.name)}
        return [
            *(f"temporary {path.name}" for path in sorted(there - owned)),
            *(f"shared memory {path.name}" for path in sorted(SHARED_BLOCKS.glob(f"covidquant-{os.getpid()}-*"))),
            *(f"process {line}" for line in processes_with(f"{_VARIABLE}={self.mark}".encode())),
            *(f"beside the sources {name}" for name in sorted(_beside_sources() - self._before)),
        ]


@contextmanager
def nothing_left(has_failed: Callable[[], bool]) -> Iterator[Watched]:
    """Fail at the end if anything is left.

    Args:
        has_failed: whether a test failed; what its trace holds cannot go before the session does.
    """
    watched = Watched()
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(watched.temporary))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(watched.temporary))
            # Logs of unexpected errors are for users, not for the home of whoever runs the tests.
            for name, value in {**places, "XDG_STATE_HOME": places["TMPDIR"], _VARIABLE: watched.mark}.items():
                patch.setenv(name, value)
            yield watched
            left = [] if has_failed() else watched.left()
    finally:
        watched.remove()
    if left:
        pytest.fail("the tests left behind: " + "; ".join(left), pytrace=False)


def processes_with(setting: bytes) -> list[str]:
    """The command lines of running processes that were started with a setting in their environment (Linux only)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            started_with = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:  # gone meanwhile, or another user's
            continue
        if setting in started_with and _KEEPER not in command:
            found.append(f"{folder.name} {command.decode(errors='replace')[:200]}")
    return found


def _beside_sources() -> set[str]:
    return {path.name for path in ROOT.iterdir() if not _TOOLS.fullmatch(path.name)}
