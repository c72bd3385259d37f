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


class EditedError(Exception):
    """The segments were changed so much while they were copied that the copy must begin anew."""


class VoxelCopy:
    """A CT's voxels, to be copied in pieces.

    Args:
        volume: the CT, a vtkMRMLScalarVolumeNode.

    Raises:
        UnfitInputError: the CT cannot be read.

    Attributes:
        geometry: of what is copied, linear parent transforms applied.
    """

    def __init__(self, volume: Any) -> None:
        self._volume = volume
        self._stamp = self._now()
        self._box = self._whole_box()
        self._next = self._box.start[0]
        to_box = np.eye(4)
        to_box[:3, 3] = self._box.start[::-1]
        self.geometry: Geometry = geometry_of_matrix(
            volume_to_world(volume) @ to_box, self._box.shape, volume.GetName()
        )

    @property
    def fraction(self) -> float:
        """How much was copied, 0 to 1."""
        first, last = self._box.start[0], self._box.stop[0]
        return (self._next - first) / max(1, last - first)

    @property
    def stands(self) -> bool:
        """Whether nothing was changed since it was copied."""
        return self._stamp == self._now()

    def blank(self, ending: str = "") -> dict[str, np.ndarray]:
        """Arguments to be filled by :meth:`copy`, by name; their values are not copied."""
        return {f"values{ending}": np.broadcast_to(voxels_of(self._volume).dtype.type(0), self._box.shape)}

    def copy(self, shared: SharedArguments, ending: str = "") -> bool:
        """Copy the next piece; whether everything is copied.

        If anything was changed since the last piece, copying begins anew, so that what is copied is one state.

        Args:
            shared: the arguments with the blank arrays.
            ending: of their names.

        Raises:
            EditedError: the segments have left the box that is copied.
            UnfitInputError: the CT or the segments cannot be read.
        """
        if not self.stands:
            if self._whole_box() != self._box:
                raise EditedError
            self._stamp, self._next = self._now(), self._box.start[0]
        fill = self._filler(shared, ending)
        end = time.monotonic() + PIECE_SECONDS
        while self._next < self._box.stop[0]:
            last = min(self._next + _SLICES, self._box.stop[0])
            in_threads(fill, Box((self._next, *self._box.start[1:]), (last, *self._box.stop[1:])))
            self._next = last
            if time.monotonic() >= end:
                break
        return self._next >= self._box.stop[0]

    def _filler(self, shared: SharedArguments, ending: str) -> Any:
        voxels, into = voxels_of(self._volume), shared.view(f"values{ending}")

        def fill(chunk: Box) -> None:
            into[chunk.shift(self._box.start, -1).slices] = voxels[chunk.slices]

        return fill

    def _now(self) -> tuple[Any, ...]:
        return (self._volume.GetImageData().GetMTime(),)

    def _whole_box(self) -> Box:
        k, j, i = voxels_of(self._volume).shape
        return Box.of_shape((k, j, i))


class _SeenLayer(CountedLayer):
    """A layer as it is now, without a copy of its own."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer.members, layer.dtype)
        self._seen = layer.read()

    @property
    def labels(self) -> PlacedLabels:
        return self._seen


class LabelledCopy(VoxelCopy):
    """The part of a CT that holds a result's segments, with them and a margin.

    Args:
        volume: the CT, a vtkMRMLScalarVolumeNode.
        segmentation: the vtkMRMLSegmentationNode.

    Raises:
        UnfitInputError: the CT or the segments cannot be read.
    """

    def __init__(self, volume: Any, segmentation: Any) -> None:
        self._segmentation = segmentation
        super().__init__(volume)

    def blank(self, ending: str = "") -> dict[str, np.ndarray]:
        """See :class:`VoxelCopy`."""
        shape = self._box.shape
        labels = {"lobes": np.broadcast_to(np.uint8(0), shape), "lesions": np.broadcast_to(np.bool_(0), shape)}
        return super().blank(ending) | {f"{name}{ending}": array for name, array in labels.items()}

    def _filler(self, shared: SharedArguments, ending: str) -> Any:
        # Read anew for each piece: Slicer may have moved the segments to other memory.
        fill_voxels, layers = super()._filler(shared, ending), self._layers()
        lobes, lesions = (shared.view(f"{name}{ending}") for name in ("lobes", "lesions"))

        def fill(chunk: Box) -> None:
            fill_voxels(chunk)
            here = chunk.shift(self._box.start, -1).slices
            lobes[here], lesions[here], _ = merge(layers, chunk)

        return fill

    def _layers(self) -> list[_SeenLayer]:
        return [_SeenLayer(layer) for layer in self._found()]

    def _found(self) -> list[Layer]:
        k, j, i = voxels_of(self._volume).shape
        return layers_of(self._segmentation, volume_to_world(self._volume), (k, j, i))

    def _now(self) -> tuple[Any, ...]:
        return (*super()._now(), *((layer.members, layer.stamp) for layer in self._found()))

    def _whole_box(self) -> Box:
        """What holds all segments, and a margin."""
        whole = super()._whole_box()
        hull: Box | None = None
        for layer in self._layers():
            if layer.labels.box.voxels:
                hull = layer.labels.box if hull is None else hull.hull(layer.labels.box)
        if hull is None:
            return whole
        k, j, i = (int(np.ceil(_MARGIN_MM / mm)) for mm in geometry_of(self._volume).spacing_kji)
        around = Box(hull.shift((k, j, i), -1).start, hull.shift((k, j, i)).stop)
        return whole.intersect(around) or whole


class WholeLabelledCopy(LabelledCopy):
    """A whole CT with the segments of a result; arguments and errors as for :class:`LabelledCopy`."""

    def _whole_box(self) -> Box:
        k, j, i = voxels_of(self._volume).shape
        return Box.of_shape((k, j, i))
