"""A copy of a CT and of its segments as they are now, in memory shared with a process beside the application."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.volumes import voxels_of
from COVIDQuantLib.voxels.box import Box, in_threads
from COVIDQuantLib.worker.function_job import SharedArrays


def share_labels(live: LiveQuantification, arguments: Mapping[str, object]) -> SharedArrays:
    """The CT's ``values``, ``lobes`` and ``lesions``, all ``[k, j, i]``, copied; edits that follow do not change them.

    Args:
        live: the figures of the segments.
        arguments: what the process is told besides.

    Raises:
        UnfitInputError: the CT or the segments cannot be read.
        WorkerError: there is too little memory to share.
    """
    voxels = voxels_of(live.volume)
    like = {
        "values": voxels,
        "lobes": np.broadcast_to(np.uint8(0), voxels.shape),
        "lesions": np.broadcast_to(np.bool_(0), voxels.shape),
    }
    shared = SharedArrays(like, arguments)

    def copy(chunk: Box) -> None:
        where = chunk.slices
        shared.view("values")[where] = voxels[where]
        shared.view("lobes")[where], shared.view("lesions")[where] = live.labels(chunk)

    try:
        in_threads(copy, Box.of_shape((voxels.shape[0], voxels.shape[1], voxels.shape[2])))
    except BaseException:
        shared.free()
        raise
    return shared
