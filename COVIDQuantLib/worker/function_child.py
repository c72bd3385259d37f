"""In a process of its own: call the one function that the parent asks for. Nothing of Slicer is imported here."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.system.staging import clear_gone
from COVIDQuantLib.worker.blocks import Slot, opened
from COVIDQuantLib.worker.channel import Message, Outbox
from COVIDQuantLib.worker.failures import WorkerError, error_record
from COVIDQuantLib.worker.process import FOLDER_PREFIX

_SECONDS_TO_CLEAR = 5.0


def main() -> None:
    """Do the one job that standard input asks for, and tell how it went."""
    orders, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Whatever a library prints goes to the log; the messages have the pipe to themselves.
    os.dup2(2, 1)
    message = json.loads(orders.readline())
    threading.Thread(target=_end_with_parent, args=(orders, message["folders"]), daemon=True).start()
    outbox = Outbox(replies)
    outbox.put({"ready": os.getpid()})
    try:
        outbox.put({"done": str(_call(message, outbox))})
    except COVIDQuantError as error:
        outbox.put({"failed": error_record(error)})
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        traceback.print_exc()
        outbox.put({"failed": error_record(_in_words(error))})
    outbox.close()
    sys.stderr.flush()
    # Not by returning: the thread that listens holds what Python would want to close.
    os._exit(0)


def _call(message: Message, outbox: Outbox) -> Path:
    """Call the function; the file that holds what it returned."""
    slots = {name: Slot(record["offset"], tuple(record["shape"]), record["dtype"]) for name, record in
             message["slots"].items()}  # fmt: skip
    with opened(message["block"]) as buffer:
        arrays: dict[str, Any] = {name: slot.view(buffer).copy() for name, slot in slots.items()}
    # From here on the parent may free the memory: the arrays are held once.
    outbox.put({"taken": True})
    arguments = pickle.loads(arrays.pop("arguments").tobytes())  # noqa: S301 - written by our own parent
    module, name = message["function"].split(":")
    function = getattr(importlib.import_module(module), name)
    result = function(**arrays, **arguments, report=lambda f: outbox.put_progress({"progress": float(f)}))
    path = Path(tempfile.gettempdir(), "result.pickle")
    path.write_bytes(pickle.dumps(result))
    return path


def _end_with_parent(orders: BinaryIO, folders: Iterable[str]) -> None:
    """Wait until the parent closes the channel; if it never ended this process, it is gone, and so is its wish."""
    orders.read()
    temporary = Path(tempfile.gettempdir())
    ours = [str(temporary)] if temporary.name.startswith(FOLDER_PREFIX) else []
    for folder in ours:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in folders:
        _clear(Path(folder).parent)
    # The parent started this process as the head of a session; in any other the group would be somebody else's too.
    if sys.platform != "win32" and os.getpgrp() == os.getsid(0):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


def _clear(folder: Path) -> None:
    """Remove what the parent had begun in a folder; the system lifts its locks a moment after it is gone."""
    end = time.monotonic() + _SECONDS_TO_CLEAR
    with suppress(OSError):
        while not clear_gone(folder) and time.monotonic() < end:
            time.sleep(0.05)


def _in_words(error: Exception) -> COVIDQuantError:
    if isinstance(error, MemoryError):
        return WorkerError("the computer's memory is not enough", remedy="Close other programs and try again.")
    what = f"the job failed by a fault of the program ({type(error).__name__}: {error})"
    return WorkerError(what, remedy="Report it, with the log.")
