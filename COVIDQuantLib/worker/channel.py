"""Messages between the two processes: one JSON object per line, through the child's standard input and output."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import IO, Any

Message = dict[str, Any]

_CHUNK = 1 << 16
_GARBAGE_SHOWN = 200


def encoded(message: Message) -> bytes:
    """A message as one line."""
    return json.dumps(message, allow_nan=False).encode("ascii") + b"\n"


def _message(line: bytes) -> Message | None:
    """The message on a line; None if it is not a message."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


class Inbox:
    """The parent's end: reads what has arrived without ever blocking, so that it can be polled from an event loop.

    Args:
        stream: the unbuffered reading end of a pipe.

    Attributes:
        ended: whether the other process has closed its end, as it does on exit, or has sent garbage.
        garbage: the beginning of a line that is not a message; empty if there was none. What a library prints while the
            process starts, before the first message, does not count.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._descriptor = stream.fileno()
        self._rest = b""
        self._begun = False
        self.ended = False
        self.garbage = b""
        if sys.platform != "win32":
            os.set_blocking(self._descriptor, False)

    def take(self) -> list[Message]:
        """The messages that have arrived since the last call."""
        while not self.ended:
            chunk = self._read()
            if chunk is None:
                break
            self.ended = not chunk
            self._rest += chunk
        *lines, self._rest = self._rest.split(b"\n")
        messages: list[Message] = []
        for line in lines:
            message = _message(line)
            if message is not None and not self.garbage:
                messages.append(message)
            elif self._begun and line and not self.garbage:
                self.ended, self.garbage = True, line[:_GARBAGE_SHOWN]
            self._begun = self._begun or message is not None
        return messages

    def _read(self) -> bytes | None:
        """The bytes available; empty at the end of the stream, None if there are none yet."""
        if sys.platform == "win32":
            import _winapi
            import msvcrt

            try:
                available, _ = _winapi.PeekNamedPipe(msvcrt.get_osfhandle(self._descriptor), 0)
                return os.read(self._descriptor, available) if available else None
            except OSError:
                return b""
        try:
            return os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return None


class Outbox:
    """The child's end: a thread writes, so that the job never blocks on a parent that does not read.

    Messages keep their order; of unsent progress only the latest is kept.

    Args:
        stream: the writing end of a pipe.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._queue: deque[bytes] = deque()
        self._latest: bytes | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="outbox", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Send a message; progress that was not sent yet is dropped as out of date."""
        line = encoded(message)
        with self._changed:
            self._latest = None
            self._queue.append(line)
            self._changed.notify()

    def put_progress(self, message: Message) -> None:
        """Send a progress message; it replaces an earlier one that was not sent yet."""
        line = encoded(message)
        with self._changed:
            self._latest = line
            self._changed.notify()

    def close(self) -> None:
        """Wait until everything is sent."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._latest is not None or self._closing)
            if self._queue:
                return self._queue.popleft()
            line, self._latest = self._latest, None
            return line

    def _write(self) -> None:
        # If the parent has died nobody reads this; the listening thread ends the process.
        with suppress(OSError):
            while (line := self._next()) is not None:
                self._stream.write(line)
                self._stream.flush()
