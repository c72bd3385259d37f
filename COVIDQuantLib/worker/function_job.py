"""One call of a function in a process of its own, so that the window need not wait; a timer asks how far it is."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.worker.blocks import Block, lay_out
from COVIDQuantLib.worker.channel import Message
from COVIDQuantLib.worker.failures import death_of, error_of_record
from COVIDQuantLib.worker.process import ChildProcess, child_command, clean_environment

_RUN = "from COVIDQuantLib.worker.function_child import main; main()"
ARGUMENTS = "arguments"


class SharedArrays:
    """Arrays in memory that the process of a :class:`BesideJob` will find; fill them through :meth:`view`.

    Args:
        like: arrays of the shapes and types wanted; what they hold is not looked at.
        arguments: of the function beside the arrays; anything that can be pickled.

    Raises:
        WorkerError: there is too little memory to share.
    """

    def __init__(self, like: Mapping[str, np.ndarray], arguments: Mapping[str, Any]) -> None:
        packed = np.frombuffer(pickle.dumps(dict(arguments)), np.uint8)
        self._slots, size = lay_out({**like, ARGUMENTS: packed})
        self._block = Block(size)
        np.copyto(self.view(ARGUMENTS), packed)

    def view(self, name: str) -> np.ndarray:
        """One of the arrays, to be filled; leave none of these views behind."""
        return self._slots[name].view(self._block.buffer)

    def order(self) -> Message:
        """What tells the process where they are."""
        slots = {name: asdict(slot) for name, slot in self._slots.items()}
        return {"block": self._block.name, "slots": slots}

    def free(self) -> None:
        """Give the memory back; once more does no harm."""
        self._block.free()


class BesideJob:
    """A function called in another process of this interpreter.

    Nothing waits here and nothing goes on unless :meth:`poll` is called. The process ends with the job, when the job
    is cancelled or forgotten, and by itself when this process is gone.

    Args:
        function: ``module:name``; it is called with the arguments, the arrays and ``report``, all by name. Its module
            may import nothing of Slicer.
        shared: its arrays and arguments; the job frees them.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.
        folders: hidden folders of this process that the process clears away should this one be gone before it is done.

    Raises:
        WorkerError: the process cannot be started.
    """

    def __init__(
        self,
        function: str,
        shared: SharedArrays,
        environment: Mapping[str, str] | None = None,
        folders: Iterable[Path] = (),
    ) -> None:
        self._shared = shared
        self._fraction = 0.0
        self._done = False
        self._result: Any = None
        try:
            self._process: ChildProcess | None = ChildProcess(child_command(_RUN), clean_environment(environment))
        except BaseException:
            shared.free()
            raise
        self._process.send({"function": function, "folders": [str(path) for path in folders], **shared.order()})

    @property
    def pid(self) -> int | None:
        """The process's ID; None once it is over."""
        return self._process.pid if self._process is not None else None

    @property
    def is_done(self) -> bool:
        """Whether :meth:`poll` has seen the result."""
        return self._done

    @property
    def result(self) -> Any:
        """What the function returned; None before that."""
        return self._result

    def poll(self) -> float:
        """The fraction done; never waits.

        Raises:
            COVIDQuantError: what the function raised, of the same class.
            WorkerError: the process failed.
        """
        if self._process is not None:
            for message in self._process.receive():
                self._hear(message)
            if not self._done and self._process is not None and self._process.ended:
                raise death_of(*self._end())
        return 1.0 if self._done else self._fraction

    def cancel(self) -> None:
        """End it; nothing happens if it is over."""
        if self._process is not None:
            self._end()

    def _hear(self, message: Message) -> None:
        if "progress" in message:
            self._fraction = float(message["progress"])
        elif "taken" in message:
            self._shared.free()
        elif "done" in message:
            self._result = pickle.loads(Path(message["done"]).read_bytes())  # noqa: S301 - our own child's file
            self._done = True
            self._end()
        elif "failed" in message:
            self._end()
            raise error_of_record(message["failed"])

    def _end(self) -> tuple[int | None, str]:
        process, self._process = self._process, None
        self._shared.free()
        return process.end() if process is not None else (None, "")
