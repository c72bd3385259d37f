"""The second process from outside: started clean, spoken to without waiting, ended with everything it started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from COVIDQuantLib.system.file_lock import FileLock, HeldError
from COVIDQuantLib.worker.channel import Inbox, Message, encoded
from COVIDQuantLib.worker.failures import WorkerError

_LIBRARY_FOLDER = str(Path(__file__).resolve().parents[2])
# This library first, whatever other copy the interpreter has; then whatever else the parent could import.
_CODE = (
    "import json, sys; folder, paths = json.loads(sys.argv.pop()); sys.path.insert(0, folder); import COVIDQuantLib; "
    "sys.path.remove(folder); sys.path += [path for path in paths if path not in sys.path]; "
)
# Slicer sets these for itself; its Python's launcher sets its own.
_OF_SLICER = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "QT_PLUGIN_PATH")
FOLDER_PREFIX = "covidquant-worker-"
_LOG_BYTES = 4000
_SECONDS_TO_DIE = 10.0
_OWNER = "owner"
_SECONDS_UNLOCKED = 7 * 24 * 3600.0


def child_command(run: str) -> list[str]:
    """The command that starts the same interpreter with the same library.

    Args:
        run: Python statements, run once the library can be imported.
    """
    paths = [path for path in sys.path if path]
    # -P: what happens to lie in the current folder is none of its business.
    return [sys.executable, "-P", "-c", _CODE + run, json.dumps([_LIBRARY_FOLDER, paths])]


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the child: the one given, or this process's own less what Slicer set for itself.

    Args:
        environment: in Slicer ``slicer.util.startupEnvironment()``.
    """
    clean = dict(os.environ if environment is None else environment)
    # Elsewhere these are the user's own, and the same interpreter may need them.
    if environment is not None or "SLICER_HOME" in os.environ:
        for name in _OF_SLICER:
            clean.pop(name, None)
    return clean


class ChildProcess:
    """A running child.

    Args:
        command: see :func:`child_command`.
        environment: the child's environment; its temporary files are sent to a folder that goes with it.

    Attributes:
        ready: whether it has said that it is.

    Raises:
        WorkerError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.ready = False
        clear_gone_folders()
        folder = tempfile.mkdtemp(prefix=FOLDER_PREFIX)
        owner = _own(folder)
        # Its own file, not a pipe that somebody would have to empty. Appended to: parent and child share the position.
        self._log: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the process
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - this interpreter
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                env={**environment, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)},
                **_APART,
            )
        except OSError as error:
            self._log.close()
            owner.release()
            shutil.rmtree(folder, ignore_errors=True)
            raise WorkerError("the process that computes cannot be started", sys.executable, str(error)) from error
        self._end = weakref.finalize(self, _end_tree, self._process, folder, owner)
        self._orders, replies = _pipes(self._process)
        self._inbox = Inbox(replies)

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has closed its end of the channel; known after :meth:`receive`."""
        return self._inbox.ended

    def send(self, message: Message) -> None:
        """Send a short message; one that comes too late for a dying child is lost, which ``ended`` soon tells."""
        with suppress(OSError):
            self._orders.write(encoded(message))

    def receive(self) -> list[Message]:
        """The messages that have arrived since; never waits."""
        messages = self._inbox.take()
        self.ready = self.ready or any("ready" in message for message in messages)
        return messages

    def end(self) -> tuple[int | None, str]:
        """End it and everything it started, and remove its temporary files.

        Returns:
            Its exit status (negative: the signal that ended it) and the last lines it wrote.
        """
        self._end()
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _LOG_BYTES))
        log = self._log.read().decode("utf-8", errors="replace")
        self._log.close()
        return self._process.returncode, log


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process was started without pipes")
    return process.stdin, process.stdout


def clear_gone_folders() -> None:
    """Remove folders for temporary files whose processes were killed with those that would have removed them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with suppress(OSError, HeldError):
            if not folder.is_symlink():
                _clear_if_gone(folder)


def _clear_if_gone(folder: Path) -> None:
    try:
        owner = FileLock(folder / _OWNER, make=False)
    except FileNotFoundError:
        # Just made and not locked yet; of an older version that does not lock, it may be in use for days.
        if time.time() - folder.stat().st_mtime < _SECONDS_UNLOCKED:
            return
    else:
        owner.release()
    shutil.rmtree(folder, ignore_errors=True)


def _own(folder: str) -> FileLock:
    return FileLock(Path(folder, _OWNER))


def _end_tree(process: subprocess.Popen[bytes], folder: str, owner: FileLock) -> None:
    _kill_tree(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS_TO_DIE)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    owner.release()
    shutil.rmtree(folder, ignore_errors=True)


if sys.platform == "win32":
    _APART: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}

    def _kill_tree(process: subprocess.Popen[bytes]) -> None:
        taskkill = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        with suppress(OSError):
            subprocess.run(  # noqa: S603 - the system's own tool
                [taskkill, "/T", "/F", "/PID", str(process.pid)],
                capture_output=True,
                check=False,
                creationflags=subprocess.CREATE_NO_WINDOW,
            )
        process.kill()

else:
    _APART: dict[str, Any] = {"start_new_session": True}

    def _kill_tree(process: subprocess.Popen[bytes]) -> None:
        # Never after the child was waited for: then its number, and its group's, may be another's.
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
