"""What happens in the panel, as signals that the sections connect to."""

from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")


class Signal(Generic[P]):
    """Calls what is connected to it, in the order in which it was connected."""

    def __init__(self) -> None:
        self._slots: list[Callable[P, object]] = []

    def connect(self, slot: Callable[P, object]) -> None:
        """Have a function called from now on."""
        self._slots.append(slot)

    def emit(self, *arguments: P.args, **named: P.kwargs) -> None:
        """Call every connected function."""
        for slot in tuple(self._slots):
            slot(*arguments, **named)


class PanelEvents:
    """The signals of one panel.

    Attributes:
        entered: the reader opened the module.
        exited: the reader left the module.
        parameters_changed: the reader's choices changed.
        reading_changed: another result is followed, or none.
        figures_changed: figures, statuses or thresholds changed.
        accepted: the reader accepted segments.
        segment_chosen: the editor shall take up a segment; its ID.
        closing: the scene closes, the module is reloaded, or Slicer quits; nodes must be let go.
        quitting: the module is reloaded, or Slicer quits; what runs must end.
    """

    def __init__(self) -> None:
        self.entered: Signal[[]] = Signal()
        self.exited: Signal[[]] = Signal()
        self.parameters_changed: Signal[[]] = Signal()
        self.reading_changed: Signal[[]] = Signal()
        self.figures_changed: Signal[[]] = Signal()
        self.accepted: Signal[[]] = Signal()
        self.segment_chosen: Signal[[str]] = Signal()
        self.closing: Signal[[]] = Signal()
        self.quitting: Signal[[]] = Signal()
