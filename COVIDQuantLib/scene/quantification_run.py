"""One quantification at a time in the background: start, poll from a timer, cancel at any time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer

from COVIDQuantLib.errors import Cancelled, COVIDQuantError
from COVIDQuantLib.pipeline import Plan
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.scene.nodes.observers import Observers
from COVIDQuantLib.scene.quantification_job import Taken, VolumeJob
from COVIDQuantLib.worker.worker import Worker


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        segmentation: the new vtkMRMLSegmentationNode, still hidden; None if there is none.
        error: why it failed; None if it did not.
        cancelled: whether it was stopped, by the reader or because its scene or CT was removed.
        plan: how the CT was quantified.
        megavoxels: size of the CT.
        seconds: how long it took.
        counts: of the segmentation, int64 ``[6, 2, 4096]``; None if it must be counted anew.
        place: RAS position (mm) where most of the pneumonia is; None if there is no segmentation, or no lung.
        was_first: whether the process was new, and had to load what it needs.
    """

    segmentation: Any
    error: COVIDQuantError | None
    cancelled: bool
    plan: Plan
    megavoxels: float
    seconds: float
    counts: np.ndarray | None = None
    place: tuple[float, float, float] | None = None
    was_first: bool = False


class QuantifyRun:
    """At most one quantification of a CT node in a worker process.

    The scene is modified only by the poll that has taken in the last piece of the result. The run ends, leaving nothing
    in the scene, when its CT is removed, when the scene closes, when it is cancelled, and when this object is closed;
    the worker process ends with this process in any case.

    Args:
        make_worker: creates the worker at the first run; it then stays warm.
    """

    def __init__(self, make_worker: Callable[[], Worker]) -> None:
        self._make_worker = make_worker
        self._worker: Worker | None = None
        self._job: VolumeJob | None = None
        self._volume: Any = None
        self._scene: Any = None
        self._plan = Plan()
        self._began = 0.0
        self._megavoxels = 0.0
        self._outcome: Outcome | None = None
        self._is_first = True
        self._warm: tuple[Plan, int | None] | None = None
        self._observers = Observers()

    @property
    def is_running(self) -> bool:
        """Whether a quantification is running, or its outcome was not polled yet."""
        return self._job is not None or self._outcome is not None

    def is_warm(self, plan: Plan) -> bool:
        """Whether the process has done a run like this and is still there, so that nothing has to be loaded."""
        return self._worker is not None and self._worker.pid is not None and self._warm == (plan, self._worker.pid)

    @property
    def volume(self) -> Any:
        """The CT that is being quantified; None if none is."""
        return self._volume

    def start(self, volume: Any, name: str, plan: Plan, lobes_from: Any = None) -> None:
        """Start a run; the CT is copied by the polls that follow.

        Args:
            volume: vtkMRMLScalarVolumeNode in HU.
            name: for the new segmentation node.
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
        self._is_first = not self.is_warm(plan)
        self._began = time.monotonic()
        self._job = VolumeJob(volume, name, self._worker, plan, lobes_from)
        self._volume, self._plan = volume, plan
        self._megavoxels = volume.GetImageData().GetNumberOfPoints() / 1e6
        self._scene = scene = volume.GetScene()
        self._observers.on(scene, (slicer.vtkMRMLScene.StartCloseEvent,), self.cancel)
        self._observers.on_node(scene, slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_node_removed)

    def poll(self) -> ProgressState | Outcome | None:
        """The progress, the outcome (returned once), or None if nothing is running; never blocks.

        A result is returned by the poll after the one that put it into the scene, so that the window reacts in between.
        """
        if self._job is not None:
            try:
                state, taken = self._job.poll()
            except Cancelled:
                self._end(cancelled=True)
            except COVIDQuantError as error:
                self._end(error=error)
            else:
                if taken is None:
                    return state
                self._end(taken)
                return ProgressState("figures", 1.0, None)
        outcome, self._outcome = self._outcome, None
        if outcome is None or outcome.segmentation is None or self._scene.IsNodePresent(outcome.segmentation):
            return outcome
        # It was removed in between, by itself or with the scene.
        return replace(outcome, segmentation=None, cancelled=True)

    def cancel(self) -> None:
        """Cancel the run; the next poll reports it. A result that is in the scene already stays."""
        if self._job is not None:
            self._job.cancel()
            self._end(cancelled=True)

    def close(self) -> None:
        """Cancel the run and end the process; a later run starts another."""
        self.cancel()
        self._outcome = None
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _end(
        self, taken: Taken | None = None, error: COVIDQuantError | None = None, *, cancelled: bool = False
    ) -> None:
        self._observers.close()
        seconds = time.monotonic() - self._began
        self._outcome = Outcome(
            None if taken is None else taken.segmentation,
            error,
            cancelled,
            self._plan,
            self._megavoxels,
            seconds,
            None if taken is None else taken.counts,
            None if taken is None else taken.place,
            self._is_first,
        )
        self._warm = (self._plan, self._worker.pid) if taken is not None and self._worker is not None else None
        self._job = self._volume = None

    def _on_node_removed(self, node: Any) -> None:
        if node is self._volume:
            self.cancel()
