"""The second process from inside: takes jobs one after another, keeps what it has loaded, ends with its parent."""

from __future__ import annotations

import faulthandler
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
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from COVIDQuantLib import pipeline
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.inference.device import MemoryRanOutError, is_out_of_memory
from COVIDQuantLib.progress import ProgressState, StagedProgress
from COVIDQuantLib.worker.channel import Message, Outbox
from COVIDQuantLib.worker.failures import WorkerError, error_record
from COVIDQuantLib.worker.packing import pack_result, unpack_task
from COVIDQuantLib.worker.process import FOLDER_PREFIX

# More often nobody looks.
_SECONDS_BETWEEN_PROGRESS = 0.05


def main(idle_seconds: float | None = None) -> None:
    """Serve the parent until it closes the channel.

    Args:
        idle_seconds: end after so long without a job; None: never.
    """
    orders, replies = _channel()
    # A crash in compiled code then says in which line it was.
    faulthandler.enable()
    outbox = Outbox(replies)
    jobs: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders, jobs), name="parent", daemon=True).start()
    outbox.put({"ready": os.getpid()})
    with suppress(queue.Empty):
        while _serve(jobs.get(timeout=idle_seconds), outbox):
            pass
    outbox.close()
    _remove_files()
    sys.stderr.flush()
    # Not by returning: the thread that listens holds what Python would want to close.
    os._exit(0)


def _channel() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for the messages alone; whatever anybody prints goes to the log."""
    orders, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return orders, replies


def _listen(orders: BinaryIO, jobs: queue.SimpleQueue[Message]) -> None:
    """Pass orders on; end at once, whatever is being computed, when the parent is gone."""
    for line in orders:
        jobs.put(json.loads(line))
    _remove_files()
    # The parent, which would have ended what this process has started, is gone. It started this process as the head of
    # a session; in any other the group would be somebody else's too.
    if sys.platform != "win32" and os.getpgrp() == os.getsid(0):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


def _remove_files() -> None:
    """Remove the folder that the parent gave for temporary files; the parent may not be there to do it."""
    folder = Path(tempfile.gettempdir())
    if folder.name.startswith(FOLDER_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def _serve(message: Message, outbox: Outbox) -> bool:
    """Do one job; whether another can be done by this process."""
    if "job" not in message:
        _prepare(pipeline.Plan(**message["plan"]))
        return True
    job = message["job"]
    try:
        task = unpack_task(message)
        outbox.put({"taken": job})
        result = pipeline.segment_ct(task.ct, task.given, _progress(task.plan, outbox), task.plan)
        outbox.put({"done": job, **pack_result(message["block"], result)})
    except COVIDQuantError as error:
        outbox.put({"failed": job, **error_record(error)})
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        traceback.print_exc()
        outbox.put({"failed": job, "log": traceback.format_exc(), **error_record(_in_words(error))})
        # An error nobody foresaw may have left a library, or the GPU, in a state that spoils the next job.
        return False
    return True


def _in_words(error: Exception) -> COVIDQuantError:
    if is_out_of_memory(error):
        return MemoryRanOutError(
            "the computer's memory is not enough for this CT", remedy="Close other programs and try again."
        )
    what = f"the job failed by a fault of the program ({type(error).__name__}: {error})"
    return WorkerError(what, remedy="Report it, with the log.")


def _prepare(plan: pipeline.Plan) -> None:
    """Import and load what jobs of a plan need."""
    if plan.method == pipeline.NETWORK:
        # What is wrong with the models is for the job to say.
        with suppress(COVIDQuantError):
            plan.networks()


def _progress(plan: pipeline.Plan, outbox: Outbox) -> StagedProgress:
    last = ("", 0.0)

    def show(state: ProgressState) -> None:
        nonlocal last
        now = time.monotonic()
        if state.stage != last[0] or now - last[1] >= _SECONDS_BETWEEN_PROGRESS:
            last = (state.stage, now)
            outbox.put_progress({"progress": asdict(state)})

    return StagedProgress(plan.stages, show)
