"""One quantification at a time beside the window: begun, asked for its progress by a timer, cancelled at any time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer

from COVIDQuantLib.errors import Cancelled, COVIDQuantError
from COVIDQuantLib.pipeline import Plan
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.scene.nodes.observers import Observers
from COVIDQuantLib.scene.quantification_job import VolumeJob
from COVIDQuantLib.worker.worker import Worker


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        segmentation: the new vtkMRMLSegmentationNode; None if there is none.
        error: why it failed; None if it did not.
        cancelled: whether it was stopped, by the reader or because its scene or CT went away.
        plan: how it was done.
        megavoxels: size of the CT.
        seconds: how long it took.
    """

    segmentation: Any
    error: COVIDQuantError | None
    cancelled: bool
    plan: Plan
    megavoxels: float
    seconds: float


class QuantifyRun:
    """At most one quantification of a CT node in a worker's process.

    The scene is touched only by the poll that finds the result. The run ends, without a trace in the scene, when
    its CT leaves the scene, when the scene closes, when it is cancelled, and when this object is closed; the process
    ends with this one in any case.

    Args:
        make_worker: makes the worker at the first run; it then stays warm.
    """

    def __init__(self, make_worker: Callable[[], Worker]) -> None:
        self._make_worker = make_worker
        self._worker: Worker | None = None
        self._job: VolumeJob | None = None
        self._volume: Any = None
        self._plan = Plan()
        self._began = 0.0
        self._megavoxels = 0.0
        self._outcome: Outcome | None = None
        self._observers = Observers()

    @property
    def is_running(self) -> bool:
        """Whether a quantification is under way, or its outcome was not asked for yet."""
        return self._job is not None or self._outcome is not None

    @property
    def volume(self) -> Any:
        """The CT that is being quantified; None if none is."""
        return self._volume

    def start(self, volume: Any, name: str, plan: Plan, lobes_from: Any = None) -> None:
        """Begin; returns as soon as the CT is copied to the worker.

        Args:
            volume: vtkMRMLScalarVolumeNode in HU.
            name: wished for the new segmentation node.
            plan: how lungs, lobes and lesions are found.
            lobes_from: a vtkMRMLSegmentationNode whose lobes are taken; None to find them.

        Raises:
            RuntimeError: one is running.
            UnfitInputError: the CT cannot be quantified; says why.
            WorkerError: the process cannot be started, or there is too little memory to share.
        """
        if self.is_running:
            raise RuntimeError("a quantification is running")
        if self._worker is None:
            self._worker = self._make_worker()
        self._began = time.monotonic()
        self._job = VolumeJob(volume, name, self._worker, plan, lobes_from)
        self._volume, self._plan = volume, plan
        self._megavoxels = volume.GetImageData().GetNumberOfPoints() / 1e6
        scene = volume.GetScene()
        self._observers.on(scene, (slicer.vtkMRMLScene.StartCloseEvent,), self.cancel)
        self._observers.on_node(scene, slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_node_removed)

    def poll(self) -> ProgressState | Outcome | None:
        """How far it is, how it ended (told once), or None if nothing is under way; never waits."""
        if self._job is not None:
            try:
                state, node = self._job.poll()
            except Cancelled:
                self._end(cancelled=True)
            except COVIDQuantError as error:
                self._end(error=error)
            else:
                if node is None:
                    return state
                self._end(segmentation=node)
        outcome, self._outcome = self._outcome, None
        return outcome

    def cancel(self) -> None:
        """End it; the next poll says so. Nothing happens if nothing is under way."""
        if self._job is not None:
            self._job.cancel()
            self._end(cancelled=True)

    def close(self) -> None:
        """End it and the process; a later run starts another."""
        self.cancel()
        self._outcome = None
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _end(self, segmentation: Any = None, error: COVIDQuantError | None = None, *, cancelled: bool = False) -> None:
        self._observers.close()
        seconds = time.monotonic() - self._began
        self._outcome = Outcome(segmentation, error, cancelled, self._plan, self._megavoxels, seconds)
        self._job = self._volume = None

    def _on_node_removed(self, node: Any) -> None:
        if node is self._volume:
            self.cancel()
