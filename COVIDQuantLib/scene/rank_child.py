"""In a process of its own: sort the components of a lesion by suspicion. Nothing of Slicer is imported here."""

from __future__ import annotations

import json
import os
import pickle
import sys
import tempfile
from pathlib import Path
from typing import IO

from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.suspicion import rank
from COVIDQuantLib.worker.blocks import Slot, opened
from COVIDQuantLib.worker.channel import Message, encoded


def main() -> None:
    """Do the one job that standard input asks for, and write its findings to a file."""
    # Whatever a library prints goes to the log; the messages have the pipe to themselves.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    message = json.loads(sys.stdin.buffer.readline())
    _tell(replies, {"ready": os.getpid()})
    slots = {name: Slot(record["offset"], tuple(record["shape"]), record["dtype"]) for name, record in
             message["slots"].items()}  # fmt: skip
    with opened(message["block"]) as buffer:
        arrays = {name: slot.view(buffer).copy() for name, slot in slots.items()}
    findings = rank(
        arrays["hu"],
        arrays["lesions"],
        arrays["lobes"],
        tuple(message["spacing_kji"]),
        histogram=JointHistogram(message["voxel_volume_ml"], arrays["counts"]),
        thresholds=Thresholds(**message["thresholds"]),
        report=lambda fraction: _tell(replies, {"progress": fraction}),
    )
    path = Path(tempfile.gettempdir(), "findings.pickle")
    path.write_bytes(pickle.dumps(findings))
    _tell(replies, {"done": str(path)})


def _tell(replies: IO[bytes], message: Message) -> None:
    replies.write(encoded(message))
    replies.flush()
