"""Voxels and labels copied for a background process in pieces, each so short that the window does not notice."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from COVIDQuantLib.scene.live.layer_counts import CountedLayer, merge
from COVIDQuantLib.scene.nodes.layers import Layer, layers_of
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of, geometry_of_matrix, volume_to_world
from COVIDQuantLib.scene.nodes.volumes import voxels_of
from COVIDQuantLib.voxels.box import Box, in_threads
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.voxels.placed_labels import PlacedLabels
from COVIDQuantLib.worker.frame import SharedArguments

# A window that is held for less than a tenth of a second seems to react at once.
PIECE_SECONDS = 0.03
_SLICES = 8
# Lungs are laid over each other with so much of what is around them.
_MARGIN_MM = 24.0


class _SeenLayer(CountedLayer):
    """A layer as it is now, without a copy of its own."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer.members, layer.dtype)
        self._seen = layer.read()

    @property
    def labels(self) -> PlacedLabels:
        return self._seen


class LabelledBox:
    """The part of a CT that holds a result's segments, to be copied in pieces.

    Args:
        volume: the CT, a vtkMRMLScalarVolumeNode.
        segmentation: the vtkMRMLSegmentationNode.

    Raises:
        UnfitInputError: the CT or the segments cannot be read.

    Attributes:
        geometry: of the part, its linear parent transforms applied.
    """

    def __init__(self, volume: Any, segmentation: Any) -> None:
        self._volume, self._segmentation = volume, segmentation
        self._stamp = self._now()
        self._box = self._whole_box()
        self._next = self._box.start[0]
        to_box = np.eye(4)
        to_box[:3, 3] = self._box.start[::-1]
        name = volume.GetName()
        self.geometry: Geometry = geometry_of_matrix(volume_to_world(volume) @ to_box, self._box.shape, name)

    @property
    def fraction(self) -> float:
        """How much was copied, 0 to 1."""
        first, last = self._box.start[0], self._box.stop[0]
        return (self._next - first) / max(1, last - first)

    def blank(self, number: int) -> dict[str, np.ndarray]:
        """Arguments to be filled by :meth:`copy`, by name; their values are not copied."""
        shape = self._box.shape
        return {
            f"values_{number}": np.broadcast_to(voxels_of(self._volume).dtype.type(0), shape),
            f"lobes_{number}": np.broadcast_to(np.uint8(0), shape),
            f"lesions_{number}": np.broadcast_to(np.bool_(0), shape),
        }

    def copy(self, shared: SharedArguments, number: int) -> bool:
        """Copy the next piece; whether everything is copied.

        If the CT or a segment was changed since the last piece, copying begins anew, so that what is copied is one
        state. The segments may not leave the box meanwhile.

        Raises:
            EditedError: the segments have left the box.
            UnfitInputError: the CT or the segments cannot be read.
        """
        if self._stamp != self._now():
            if self._whole_box() != self._box:
                raise EditedError
            self._stamp, self._next = self._now(), self._box.start[0]
        voxels, layers = voxels_of(self._volume), self._layers()
        into = [shared.view(f"{name}_{number}") for name in ("values", "lobes", "lesions")]

        def fill(chunk: Box) -> None:
            here = chunk.shift(self._box.start, -1).slices
            into[0][here] = voxels[chunk.slices]
            into[1][here], into[2][here], _ = merge(layers, chunk)

        end = time.monotonic() + PIECE_SECONDS
        while self._next < self._box.stop[0]:
            last = min(self._next + _SLICES, self._box.stop[0])
            in_threads(fill, Box((self._next, *self._box.start[1:]), (last, *self._box.stop[1:])))
            self._next = last
            if time.monotonic() >= end:
                break
        return self._next >= self._box.stop[0]

    def _layers(self) -> list[_SeenLayer]:
        # Read anew for each piece: Slicer may have moved them to other memory.
        return [_SeenLayer(layer) for layer in self._found()]

    def _found(self) -> list[Layer]:
        k, j, i = voxels_of(self._volume).shape
        return layers_of(self._segmentation, volume_to_world(self._volume), (k, j, i))

    def _now(self) -> tuple[Any, ...]:
        stamps = tuple((layer.members, layer.stamp) for layer in self._found())
        return self._volume.GetImageData().GetMTime(), stamps

    def _whole_box(self) -> Box:
        """What holds all segments, and a margin."""
        shape = voxels_of(self._volume).shape
        whole = Box.of_shape((shape[0], shape[1], shape[2]))
        hull: Box | None = None
        for layer in self._layers():
            if layer.labels.box.voxels:
                hull = layer.labels.box if hull is None else hull.hull(layer.labels.box)
        if hull is None:
            return whole
        room = [int(np.ceil(_MARGIN_MM / mm)) for mm in geometry_of(self._volume).spacing_kji]
        start, stop = (
            tuple(n + sign * more for n, more in zip(corner, room, strict=True))
            for corner, sign in ((hull.start, -1), (hull.stop, 1))
        )
        return whole.intersect(Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))) or whole


class EditedError(Exception):
    """The segments were changed so much while they were copied that the copy must begin anew."""
