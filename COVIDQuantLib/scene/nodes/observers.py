"""Observers of VTK events that never keep their owner alive and all end together."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import vtk


class Observers:
    """The events that one object listens to.

    VTK holds on to a bound method, and so to its object, for ever; here it is handed a weak reference only.
    """

    def __init__(self) -> None:
        self._tags: list[tuple[Any, int]] = []

    @property
    def active(self) -> bool:
        """Whether anything is listened to."""
        return bool(self._tags)

    def on(self, subject: Any, events: Iterable[int], method: Callable[[], None]) -> None:
        """Call a bound method, without arguments, at some events of a vtkObject."""
        weak = weakref.WeakMethod(method)

        def tell(_caller: Any, _event: str) -> None:
            if (target := weak()) is not None:
                target()

        self._add(subject, events, tell)

    def on_node(self, scene: Any, event: int, method: Callable[[Any], None]) -> None:
        """Call a bound method with the node that an event of a scene is about."""
        weak = weakref.WeakMethod(method)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def tell(_caller: Any, _event: str, node: Any) -> None:
            if (target := weak()) is not None:
                target(node)

        self._add(scene, (event,), tell)

    def _add(self, subject: Any, events: Iterable[int], handler: Callable[..., None]) -> None:
        self._tags += [(subject, subject.AddObserver(event, handler)) for event in events]

    def __del__(self) -> None:
        # The garbage collector empties functions, these handlers too, before it drops the scene, whose last events
        # would then crash in them. What has a __del__ comes before that.
        self.close()

    def close(self) -> None:
        """Stop listening; may be called twice."""
        tags, self._tags = self._tags, []
        for subject, tag in tags:
            subject.RemoveObserver(tag)
