"""A job and its result, packed into one block of shared memory and a short message, and unpacked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.grades import CheckResult
from COVIDQuantLib.pipeline import DEFAULT_PLAN, GivenMasks, Plan
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.worker.blocks import Block, Slot, lay_out, opened
from COVIDQuantLib.worker.channel import Message

_MASKS = ("lungs", "lobes", "lesions")
_TEXT = "text"


@dataclass
class Task:
    """What the child is asked to do: the arguments of ``pipeline.segment_ct``."""

    ct: CTVolume
    given: GivenMasks
    plan: Plan = DEFAULT_PLAN


def pack_task(task: Task) -> tuple[Block, Message]:
    """Put a job into a new block.

    Returns:
        The block, which the caller frees, and the message that tells the child where everything lies.

    Raises:
        WorkerError: there is too little shared memory.
    """
    ct, given = task.ct, task.given
    record = {
        "geometry": asdict(ct.geometry),
        "source": dict(ct.source),
        # So that an error says where; what names a DICOM series is not needed there.
        "path": None if ct.source.path is None else str(ct.source.path),
        "sources": given.sources,
        "plan": asdict(task.plan),
    }
    text = json.dumps(record, default=str)
    # The CT comes first: its two bytes a voxel are where lobes and lesions come back.
    arrays = {"hu": ct.hu.astype(np.int16, copy=False), "padding": ct.padding}
    arrays |= {name: getattr(given, name) for name in _MASKS}
    arrays[_TEXT] = np.frombuffer(text.encode("utf-8"), np.uint8)
    there = {name: array for name, array in arrays.items() if array is not None}
    slots, size = lay_out(there)
    block = Block(size)
    for name, array in there.items():
        np.copyto(slots[name].view(block.buffer), array)
    return block, {"block": block.name, "slots": {name: asdict(slot) for name, slot in slots.items()}}


def unpack_task(message: Message) -> Task:
    """The job, copied out of the block, which is free for the results from then on."""
    slots = {name: _slot(record) for name, record in message["slots"].items()}
    with opened(message["block"]) as buffer:
        arrays = {name: slot.view(buffer).copy() for name, slot in slots.items()}
    record = json.loads(arrays.pop(_TEXT).tobytes().decode("utf-8"))
    geometry = _geometry(record["geometry"])
    source = CTSource(record["source"], None if record["path"] is None else Path(record["path"]))
    ct = CTVolume(arrays.pop("hu"), geometry, arrays.pop("padding", None), source)
    return Task(ct, GivenMasks(**arrays, sources=record["sources"]), Plan(**record["plan"]))


def pack_result(name: str, result: Segmentation) -> Message:
    """Put lobes and lesions where the CT was.

    Args:
        name: of the block.
        result: on the grid of the CT that came in it.
    """
    with opened(name) as buffer:
        for slot, labels in zip(_result_slots(result.lobes.shape), (result.lobes, result.lesions), strict=True):
            np.copyto(slot.view(buffer), labels, casting="unsafe")
    return {
        "provenance": result.provenance,
        "warnings": [asdict(warning) for warning in result.warnings],
        "checks": [check.as_record() for check in result.checks],
    }


def unpack_result(block: Block, shape: tuple[int, ...], message: Message) -> Segmentation:
    """Lobes and lesions, copied out of the block."""
    lobes, lesions = (slot.view(block.buffer).copy() for slot in _result_slots(shape))
    warnings = [CTWarning(**record) for record in message["warnings"]]
    checks = [CheckResult.from_record(record) for record in message["checks"]]
    return Segmentation(lobes, lesions, message["provenance"], warnings, checks)


def _result_slots(shape: tuple[int, ...]) -> tuple[Slot, Slot]:
    return Slot(0, shape, "|u1"), Slot(int(np.prod(shape)), shape, "|b1")


def _slot(record: dict[str, Any]) -> Slot:
    return Slot(record["offset"], tuple(record["shape"]), record["dtype"])


def _geometry(record: dict[str, Any]) -> Geometry:
    return Geometry(**{name: tuple(value) for name, value in record.items()})
