"""A copy of a CT and the current state of its segments, in memory shared with a background process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.volumes import voxels_of
from COVIDQuantLib.voxels.box import Box, in_threads
from COVIDQuantLib.worker.frame import SharedArguments


def share_labels(live: LiveQuantification, arguments: Mapping[str, object]) -> SharedArguments:
    """The CT's ``values``, ``lobes`` and ``lesions``, all ``[k, j, i]``, copied; later edits do not affect them.

    Args:
        live: the figures of the segments.
        arguments: other arguments of the process's function.

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
    shared = SharedArguments(like, arguments)

    def copy(chunk: Box) -> None:
        where = chunk.slices
        shared.view("values")[where] = voxels[where]
        shared.view("lobes")[where], shared.view("lesions")[where] = live.labels(chunk)

    return _filled(shared, copy, voxels)


def share_values(volume: Any, arguments: Mapping[str, object]) -> SharedArguments:
    """The CT's ``values`` alone, ``[k, j, i]``; the rest as for :func:`share_labels`."""
    voxels = voxels_of(volume)
    shared = SharedArguments({"values": voxels}, arguments)

    def copy(chunk: Box) -> None:
        shared.view("values")[chunk.slices] = voxels[chunk.slices]

    return _filled(shared, copy, voxels)


def _filled(shared: SharedArguments, copy: Callable[[Box], None], voxels: np.ndarray) -> SharedArguments:
    try:
        in_threads(copy, Box.of_shape((voxels.shape[0], voxels.shape[1], voxels.shape[2])))
    except BaseException:
        shared.free()
        raise
    return shared
