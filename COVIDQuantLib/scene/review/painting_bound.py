"""Keep what a reader paints as lobe inside the chest: the bounds of the segmentation methods, for the brush."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.review.segment_edits import remove_from_segment
from COVIDQuantLib.scene.shared_copy import share_values
from COVIDQuantLib.voxels.box import Box
from COVIDQuantLib.worker.function_job import BackgroundJob

_FUNCTION = "COVIDQuantLib.worker.jobs.painting_bound:packed_chest"


class PaintingBound:
    """Where in a CT lobes may be painted, found once in the background.

    Args:
        volume: the CT's vtkMRMLScalarVolumeNode.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        UnfitInputError: the CT cannot be read.
        WorkerError: the process cannot be started, or there is too little memory to share.
    """

    def __init__(self, volume: Any, environment: Mapping[str, str] | None = None) -> None:
        geometry = geometry_of(volume)
        self._width = geometry.shape[2]
        self._packed: np.ndarray | None = None
        self._job = BackgroundJob(_FUNCTION, share_values(volume, {"geometry": geometry}), environment)

    def poll(self) -> bool:
        """Whether the bound is known; never blocks.

        Raises:
            COVIDQuantError: the chest cannot be found.
            WorkerError: the process failed.
        """
        if self._packed is None:
            self._job.poll()
            if self._job.is_done:
                self._packed = self._job.result
        return self._packed is not None

    def cancel(self) -> None:
        """End the search; does nothing if it is over."""
        if self._packed is None:
            self._job.cancel()

    def outside(self, box: Box) -> np.ndarray:
        """Where in a box of the CT no lung can be, bool ``[k, j, i]``; nowhere while the bound is not known."""
        k, j, i = box.slices
        if self._packed is None:
            return np.zeros([stop - start for start, stop in zip(box.start, box.stop, strict=True)], bool)
        return np.unpackbits(self._packed[k, j], axis=2, count=self._width)[:, :, i] == 0


def keep_in_chest(live: LiveQuantification, segment_id: str, bound: PaintingBound) -> int:
    """Remove from a lobe what lies outside the chest in the boxes that changed at the last update.

    Args:
        live: the figures of the segments, up to date.
        segment_id: the lobe that was just painted.
        bound: of its CT.

    Returns:
        Voxels removed; update the figures if there are any.
    """
    removed = 0
    for box in live.changed_boxes:
        mask = live.segment_mask(segment_id, box)
        if mask is None:
            continue
        beyond = (mask > 0) & bound.outside(box)
        if beyond.any():
            remove_from_segment(live.segmentation, live.volume, segment_id, beyond, box)
            removed += int(np.count_nonzero(beyond))
    return removed
