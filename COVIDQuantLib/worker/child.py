"""The background process from inside: runs one function call after another and ends with its parent.

Nothing of Slicer is imported here, and torch only by the functions that need it.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import queue
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
from COVIDQuantLib.inference.device import MemoryRanOutError, is_out_of_memory
from COVIDQuantLib.system.memory import give_back_memory, held_bytes_now
from COVIDQuantLib.system.staging import clear_gone
from COVIDQuantLib.worker.blocks import opened
from COVIDQuantLib.worker.channel import Message, Outbox
from COVIDQuantLib.worker.failures import WorkerError, error_record
from COVIDQuantLib.worker.frame import Frame, read_arguments
from COVIDQuantLib.worker.process import FOLDER_PREFIX
from COVIDQuantLib.worker.values import encode

_SECONDS_TO_CLEAR = 5.0


def main(idle_seconds: float | None = None, calls: int | None = None, held_bytes: int | None = None) -> None:
    """Serve the parent until it closes the channel.

    Args:
        idle_seconds: exit after this long without a job; None: never.
        calls: exit after so many jobs; None: never.
        held_bytes: exit after a job once more memory than this is held; None, or where it is unknown: never.
    """
    orders, replies = _channel()
    # Makes a crash in compiled code log the Python line.
    faulthandler.enable()
    outbox = Outbox(replies)
    jobs: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders, jobs), name="parent", daemon=True).start()
    outbox.put({"ready": os.getpid()})
    served = 0
    with suppress(queue.Empty):
        while _serve(jobs.get(timeout=idle_seconds), outbox):
            served += 1
            give_back_memory()
            if served == calls or _holds_more(held_bytes):
                break
    outbox.close()
    _remove_files()
    sys.stderr.flush()
    # Not by returning: the listening thread holds a stream that Python would try to close.
    os._exit(0)


def _holds_more(limit: int | None) -> bool:
    held = None if limit is None else held_bytes_now()
    return limit is not None and held is not None and held > limit


def _channel() -> tuple[BinaryIO, BinaryIO]:
    """Reserve standard input and output for messages; anything printed goes to the log."""
    orders, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return orders, replies


def _listen(orders: BinaryIO, jobs: queue.SimpleQueue[Message]) -> None:
    """Queue incoming orders; exit at once, whatever is being computed, when the parent has died."""
    folders: list[str] = []
    # An order that cannot be parsed was cut off when the parent was killed.
    with suppress(ValueError):
        for line in orders:
            message = json.loads(line)
            # Those of the latest order: the parent sends one only when the previous one is done.
            folders = message.get("folders", [])
            jobs.put(message)
    _remove_files()
    _clear(folders)
    # The parent would have killed the processes started from here; now this process must. The group is ours alone only
    # if this process leads its session, as the parent arranged.
    if sys.platform != "win32" and os.getpgrp() == os.getsid(0):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


def _remove_files() -> None:
    """Remove the folder for temporary files that the parent created; the parent may no longer run."""
    folder = Path(tempfile.gettempdir())
    if folder.name.startswith(FOLDER_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def _clear(folders: Iterable[str]) -> None:
    """Remove staging folders of the parent; the system releases their locks a moment after it died."""
    end = time.monotonic() + _SECONDS_TO_CLEAR
    for folder in folders:
        with suppress(OSError):
            while not clear_gone(Path(folder).parent) and time.monotonic() < end:
                time.sleep(0.05)


def _serve(message: Message, outbox: Outbox) -> bool:
    """Run one call.

    Returns:
        Whether this process can run another.
    """
    job = message["job"]
    try:
        arguments = read_arguments(message)
        outbox.put({"job": job, "taken": True})
        result = _function_named(message["function"])(
            **arguments, report=lambda state: outbox.put_progress({"job": job, "progress": encode(state)})
        )
        outbox.put({"job": job, "done": _hand_over(result, message)})
    except COVIDQuantError as error:
        outbox.put({"job": job, "failed": error_record(error)})
        # A new process begins with all the memory that this one could not find.
        return not isinstance(error, MemoryRanOutError)
    except Exception as error:  # noqa: BLE001 - the parent must hear of any error
        traceback.print_exc()
        outbox.put({"job": job, "failed": error_record(_presentable(error))})
        # An unexpected error may have left a library or the GPU in a bad state for the next job.
        return False
    return True


def _function_named(name: str) -> Any:
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)


def _hand_over(result: Any, message: Message) -> Message:
    """Write a result where the arguments were if it fits, otherwise to a file.

    Returns:
        Where it is, for the parent.

    Raises:
        WorkerError: the file cannot be written.
    """
    frame = Frame(result)
    if frame.size <= message.get("room", 0):
        with opened(message["block"]) as buffer:
            frame.write(buffer)
        return {"text": frame.text_bytes}
    path = Path(tempfile.gettempdir(), f"result-{message['job']}")
    try:
        with path.open("wb") as file:
            frame.write_file(file)
    except OSError as error:
        what = f"the result cannot be passed on through a temporary file ({error.strerror or error})"
        raise WorkerError(what, str(path.parent.parent), "Free some disk space there and try again.") from error
    return {"text": frame.text_bytes, "file": str(path)}


def _presentable(error: Exception) -> COVIDQuantError:
    """Any exception as an error that can be shown to the user."""
    if is_out_of_memory(error):
        return MemoryRanOutError(
            "the computer's memory is not enough for this job", remedy="Close other programs and try again."
        )
    what = f"the job failed because of a bug ({type(error).__name__}: {error})"
    return WorkerError(what, remedy="Report it, with the log.", log=traceback.format_exc())
