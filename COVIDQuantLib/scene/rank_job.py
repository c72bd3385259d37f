"""The search for suspected artefacts in a process of its own, asked for its progress by a timer."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from COVIDQuantLib.ct.geometry import Geometry, Reorientation
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.suspicion import Finding
from COVIDQuantLib.worker.blocks import Block, lay_out
from COVIDQuantLib.worker.channel import Message
from COVIDQuantLib.worker.failures import death_of
from COVIDQuantLib.worker.process import ChildProcess, child_command, clean_environment

_RUN = "from COVIDQuantLib.scene.rank_child import main; main()"


class RankJob:
    """``review.suspicion.rank`` of arrays in any orientation, beside the application.

    Args:
        hu: whole Hounsfield units ``[k, j, i]``; copied, as the others.
        lesions: bool, same shape.
        lobes: label values 0..5, same shape.
        geometry: their grid.
        counts: their joint histogram.
        thresholds: for what a removal would change.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        WorkerError: the process cannot be started, or there is too little memory to share.
    """

    def __init__(
        self,
        hu: np.ndarray,
        lesions: np.ndarray,
        lobes: np.ndarray,
        geometry: Geometry,
        counts: JointHistogram,
        thresholds: Thresholds,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        turn = Reorientation.of(geometry)
        upright = {"hu": hu, "lesions": lesions, "lobes": lobes}
        arrays = {name: turn.apply(array) for name, array in upright.items()} | {"counts": counts.counts}
        slots, size = lay_out(arrays)
        self._fraction = 0.0
        self._findings: list[Finding] | None = None
        self._block = Block(size)
        try:
            for name, array in arrays.items():
                np.copyto(slots[name].view(self._block.buffer), array)
            self._process: ChildProcess | None = ChildProcess(child_command(_RUN), clean_environment(environment))
        except BaseException:
            self._block.free()
            raise
        self._process.send(
            {
                "block": self._block.name,
                "slots": {name: asdict(slot) for name, slot in slots.items()},
                "spacing_kji": turn.canonical.spacing_kji,
                "voxel_volume_ml": counts.voxel_volume_ml,
                "thresholds": thresholds.as_record(),
            }
        )

    def poll(self) -> float | list[Finding]:
        """The fraction done, or the findings on the canonical grid; never waits.

        Raises:
            WorkerError: the process failed.
        """
        if self._process is not None:
            for message in self._process.receive():
                self._hear(message)
            if self._findings is None and self._process is not None and self._process.ended:
                raise death_of(*self._end())
        return self._fraction if self._findings is None else self._findings

    def cancel(self) -> None:
        """End it; nothing happens if it is over."""
        if self._process is not None:
            self._end()

    def _hear(self, message: Message) -> None:
        if "progress" in message:
            self._fraction = float(message["progress"])
        elif "done" in message:
            self._findings = pickle.loads(Path(message["done"]).read_bytes())  # noqa: S301 - our own child's file
            self._end()

    def _end(self) -> tuple[int | None, str]:
        process, self._process = self._process, None
        self._block.free()
        return process.end() if process is not None else (None, "")
