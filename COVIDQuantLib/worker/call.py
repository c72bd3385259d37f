"""One function call that another process carries out, as the parent sees it: the order, the progress, the outcome."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.worker.channel import Message
from COVIDQuantLib.worker.failures import error_of_record
from COVIDQuantLib.worker.frame import SharedArguments, read_frame, read_frame_file
from COVIDQuantLib.worker.values import decode, unreadable


class Call:
    """A function call on its way through another process.

    The child answers an order with messages that carry its ``job`` number: ``taken`` once it has copied the arguments,
    ``progress`` any number of times, and either ``done`` or ``failed``.

    Args:
        function: ``module:name``; called with the arguments and ``report``, all by name.
        shared: its arguments; freed once the call is over.
        number: distinguishes this call from others in the same process.
        folders: staging folders of this process, which the child removes if this process dies.
        keep: keep the shared memory for the result; otherwise it is freed as soon as the arguments are taken, and a
            result comes in a file.

    Attributes:
        order: the message that asks for the call.
        taken: whether the child has begun.
        progress: what the function last reported; None before that.
        error: why it failed; None if it has not.
        result: what the function returned.
        is_over: whether there is a result or an error.
    """

    def __init__(
        self, function: str, shared: SharedArguments, *, number: int = 1, folders: Iterable[Path] = (), keep: bool
    ) -> None:
        self._number = number
        self._shared = shared
        self._keep = keep
        self.order: Message = {
            "job": number,
            "function": function,
            "folders": [str(folder) for folder in folders],
            "room": shared.size if keep else 0,
            **shared.order(),
        }
        self.taken = False
        self.progress: Any = None
        self.error: BaseException | None = None
        self.result: Any = None
        self.is_over = False

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return self.is_over and self.error is None

    def check(self) -> None:
        """Raise the error that the call ended by, if it did."""
        if self.error is not None:
            raise self.error

    def fraction(self) -> float:
        """The fraction done, of a function that reports that; raises as :meth:`check` does."""
        self.check()
        return 1.0 if self.is_over else float(self.progress or 0.0)

    def handle(self, message: Message) -> None:
        """Handle a message from the child; one about another call, or after the end, is ignored."""
        if message.get("job") != self._number or self.is_over:
            return
        try:
            self._handle(message)
        except COVIDQuantError as error:
            self.fail(error)
        except (ValueError, TypeError, KeyError, AttributeError, ImportError, OSError) as error:
            self.fail(unreadable(error))

    def _handle(self, message: Message) -> None:
        if "progress" in message:
            self.progress = decode(message["progress"])
        elif "taken" in message:
            self.taken = True
            if not self._keep:
                self._shared.free()
        elif "done" in message:
            self._finish(self._result(message["done"]))
        elif "failed" in message:
            self.fail(error_of_record(message["failed"]))

    def _result(self, where: Message) -> Any:
        if "file" in where:
            path = Path(where["file"])
            result = read_frame_file(path, where["text"])
            # A warm process would collect them.
            path.unlink(missing_ok=True)
            return result
        return read_frame(self._shared.buffer, where["text"])

    def _finish(self, result: Any) -> None:
        self.result = result
        self.is_over = True
        self._shared.free()

    def fail(self, error: BaseException) -> None:
        """End the call with an error and release the shared memory; a call that is over does not change."""
        if not self.is_over:
            self.error = error
            self.is_over = True
        self._shared.free()
