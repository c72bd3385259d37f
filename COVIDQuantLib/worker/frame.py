"""A value as one run of bytes, in shared memory or in a file: JSON first, then the arrays."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from COVIDQuantLib.worker.blocks import ALIGNMENT, Block, Slot, opened
from COVIDQuantLib.worker.channel import Message
from COVIDQuantLib.worker.values import decode, encode


class Frame:
    """The layout of a value; nothing is copied until it is written.

    Args:
        value: see :func:`~COVIDQuantLib.worker.values.encode`.

    Attributes:
        text_bytes: length of the JSON at the beginning; all that is needed to read the frame.
        size: total length in bytes.

    Raises:
        TypeError: a value that cannot be sent.
    """

    def __init__(self, value: Any) -> None:
        self._arrays: list[tuple[Slot, np.ndarray]] = []
        self._end = 0
        self._text = json.dumps(encode(value, self._store), allow_nan=False).encode("ascii")
        self.text_bytes = len(self._text)
        self.size = _aligned(self.text_bytes) + self._end

    def _store(self, array: np.ndarray) -> dict[str, Any]:
        slot = Slot(self._end, array.shape, array.dtype.str)
        self._end += _aligned(array.nbytes)
        self._arrays.append((slot, array))
        return asdict(slot)

    def write(self, buffer: memoryview, blank: frozenset[int] = frozenset()) -> None:
        """Write the value to the start of a buffer, leaving out arrays whose ``id`` is in ``blank``."""
        buffer[: self.text_bytes] = self._text
        for slot, array in self._arrays:
            if id(array) not in blank:
                np.copyto(slot.after(self.text_bytes).view(buffer), array)

    def write_file(self, file: IO[bytes]) -> None:
        """Write the value to an empty file.

        Raises:
            OSError: the disk is full.
        """
        file.write(self._text)
        for slot, array in self._arrays:
            file.seek(slot.after(self.text_bytes).offset)
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        file.truncate(self.size)

    def slot(self, array: np.ndarray) -> Slot:
        """Where an array of the value goes."""
        return next(slot for slot, known in self._arrays if known is array).after(self.text_bytes)


def read_frame(buffer: memoryview, text_bytes: int) -> Any:
    """The value of a frame; its arrays are copies.

    Raises:
        ValueError, TypeError, KeyError: the bytes are not a frame.
    """

    def load(record: dict[str, Any]) -> np.ndarray:
        slot = Slot(record["offset"], tuple(record["shape"]), record["dtype"]).after(text_bytes)
        return slot.view(buffer).copy()

    return decode(json.loads(bytes(buffer[:text_bytes])), load)


def read_frame_file(path: Path, text_bytes: int) -> Any:
    """The value of a frame in a file.

    Raises:
        OSError: the file cannot be read.
        ValueError, TypeError, KeyError: it is not a frame.
    """
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as buffer,
    ):
        return read_frame(buffer, text_bytes)


class SharedArguments:
    """Arguments of a function in shared memory, for the process that calls it.

    Args:
        blank: arrays with the wanted shapes and types, to be filled through :meth:`view`; their values are not copied.
        arguments: the other arguments, copied immediately.
        room: extra bytes to reserve for the return value.
        at_once: reserve the memory now; otherwise :meth:`prepare` must do so before a blank array is filled.

    Attributes:
        size: length in bytes.

    Raises:
        WorkerError: there is too little memory to share.
        TypeError: an argument that cannot be sent.
    """

    def __init__(
        self, blank: Mapping[str, np.ndarray], arguments: Mapping[str, Any], room: int = 0, *, at_once: bool = True
    ) -> None:
        frame = Frame({**blank, **arguments})
        self.size = frame.size + room
        self._slots = {name: frame.slot(array) for name, array in blank.items()}
        self._text_bytes = frame.text_bytes
        self._block = Block(self.size, at_once=False)
        self._frame: Frame | None = frame
        self._blank = frozenset(map(id, blank.values()))
        if at_once:
            self.prepare()

    def prepare(self, seconds: float = math.inf) -> bool:
        """Reserve more of the memory, and once all of it is reserved write the arguments; whether that is done.

        Args:
            seconds: stop after about this long.

        Raises:
            WorkerError: there is too little memory to share.
        """
        if self._frame is not None and self._block.reserve(seconds):
            self._frame.write(self.buffer, self._blank)
            self._frame = None
        return self._frame is None

    @property
    def buffer(self) -> memoryview:
        """The memory itself."""
        return self._block.buffer

    def view(self, name: str) -> np.ndarray:
        """A view of one of the blank arrays, to be filled; do not keep it."""
        return self._slots[name].view(self.buffer)

    def order(self) -> Message:
        """Where the arguments are, for the other process."""
        return {"block": self._block.name, "text": self._text_bytes}

    def free(self) -> None:
        """Release the memory; may be called repeatedly."""
        self._block.free()


def read_arguments(message: Message) -> dict[str, Any]:
    """In the child: copies of the arguments of an order."""
    if "block" not in message:
        return dict(decode(message["arguments"]))
    with opened(message["block"]) as buffer:
        return dict(read_frame(buffer, message["text"]))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
