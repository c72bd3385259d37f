"""Observers of VTK events that do not keep their owner alive and can be removed together."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import vtk


class Observers:
    """The events that one object observes.

    VTK would hold a bound method, and so its object, indefinitely; it gets only a weak reference here.
    """

    def __init__(self) -> None:
        self._tags: list[tuple[Any, int]] = []

    @property
    def active(self) -> bool:
        """Whether any event is observed."""
        return bool(self._tags)

    def on(self, subject: Any, events: Iterable[int], method: Callable[[], None]) -> None:
        """Call a bound method, without arguments, at given events of a vtkObject."""
        weak = weakref.WeakMethod(method)

        def tell(_caller: Any, _event: str) -> None:
            if (target := weak()) is not None:
                target()

        self._add(subject, events, tell)

    def on_node(self, scene: Any, event: int, method: Callable[[Any], None]) -> None:
        """Call a bound method with the node that a scene event is about."""
        weak = weakref.WeakMethod(method)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def tell(_caller: Any, _event: str, node: Any) -> None:
            if (target := weak()) is not None:
                target(node)

        self._add(scene, (event,), tell)

    def _add(self, subject: Any, events: Iterable[int], handler: Callable[..., None]) -> None:
        self._tags += [(subject, subject.AddObserver(event, handler)) for event in events]

    def __del__(self) -> None:
        # The garbage collector clears functions, including these handlers, before it deletes the scene, whose last
        # events would then crash in them. Objects with a __del__ are finalised earlier.
        self.close()

    def close(self) -> None:
        """Remove all observers; may be called repeatedly."""
        tags, self._tags = self._tags, []
        for subject, tag in tags:
            subject.RemoveObserver(tag)
