"""The joint histogram of a CT node and a segmentation node, kept up to date when either changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.scene.live.layer_counts import CountedLayer, Tally, tally
from COVIDQuantLib.scene.nodes.layers import Layer, layers_of
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of, volume_to_world
from COVIDQuantLib.scene.nodes.volumes import voxels_of
from COVIDQuantLib.voxels.box import Box, disjoint
from COVIDQuantLib.voxels.placed_labels import PlacedLabels


@dataclass
class _Change:
    """A change of one layer: ``box`` contains the changed voxels; a removed layer has no new labels."""

    known: CountedLayer
    box: Box | None
    layer: Layer | None = None
    now: PlacedLabels | None = None


class HistogramTracker:
    """Counts of a CT under the segments of a segmentation node.

    :meth:`refresh` compares modified layers with the copies last counted and recounts the boxes in which they differ;
    the result equals a full count.

    Args:
        volume: the CT, a vtkMRMLScalarVolumeNode in HU.
        segmentation: the vtkMRMLSegmentationNode.
        counts: of the segments as they are, int64 ``[6, 2, 4096]``, with no voxel in two lobes; None to count them at
            the first refresh.

    Attributes:
        overlap_voxels: voxels that belong to more than one lobe.
        recounted_voxels: total size of the boxes counted in the last refresh.
        changed_boxes: the boxes outside which the last refresh found no change; the whole CT after a full count.
    """

    def __init__(self, volume: Any, segmentation: Any, counts: np.ndarray | None = None) -> None:
        self._known = counts
        self._volume = volume
        self._segmentation = segmentation
        self._volume_stamp: tuple[Any, ...] | None = None
        self._layers: list[CountedLayer] = []
        self._histogram: JointHistogram | None = None
        self.overlap_voxels = 0
        self.recounted_voxels = 0
        self.changed_boxes: tuple[Box, ...] = ()

    @property
    def histogram(self) -> JointHistogram:
        """The counts as of the last refresh.

        Raises:
            RuntimeError: nothing was counted yet, or the last refresh failed.
        """
        if self._histogram is None:
            raise RuntimeError("nothing is counted: refresh first")
        return self._histogram

    @property
    def layers(self) -> Sequence[CountedLayer]:
        """The layers as last counted."""
        return tuple(self._layers)

    def warnings(self) -> list[CTWarning]:
        """Warnings about overlap and position of the segments."""
        found = []
        if self.overlap_voxels:
            text = f"{self.overlap_voxels} voxels belong to more than one lobe; each is counted in the first of them"
            found.append(CTWarning("lobes-overlap", text))
        for code, text, layers in (
            (
                "segment-off-grid",
                "not drawn on the CT's voxels and counted by nearest neighbour",
                [layer for layer in self._layers if layer.resampled],
            ),
            (
                "segment-beyond-ct",
                "reaching beyond the CT, where nothing can be counted",
                [layer for layer in self._layers if layer.reaches_outside],
            ),
        ):
            names = sorted(name for layer in layers for name, _, _ in layer.members)
            if names:
                found.append(CTWarning(code, f"segments {text}: {', '.join(names)}"))
        return found

    def forget(self) -> None:
        """Do a full count at the next refresh."""
        self._histogram = None
        self._layers = []
        self._volume_stamp = None

    def refresh(self) -> bool:
        """Bring the counts up to date.

        Returns:
            Whether any count changed.

        Raises:
            UnfitInputError: the CT or a segment cannot be counted; the next refresh does a full count.
        """
        try:
            return self._refresh()
        except BaseException:
            self.forget()
            raise

    def _refresh(self) -> bool:
        voxels = voxels_of(self._volume)
        to_world = volume_to_world(self._volume)
        stamp = (self._volume.GetImageData().GetMTime(), voxels.shape, to_world.tobytes())
        fresh = self._histogram is None or stamp != self._volume_stamp
        if fresh:
            self.forget()
        histogram = self._histogram or JointHistogram(geometry_of(self._volume).voxel_volume_ml)
        layers = layers_of(self._segmentation, to_world, (voxels.shape[0], voxels.shape[1], voxels.shape[2]))
        changes = self._changes(layers)
        boxes = disjoint(change.box for change in changes if change.box is not None)
        before = self._tally(voxels, boxes)
        self._apply(changes)
        known, self._known = self._known, None
        after = self._tally(voxels, boxes) if known is None else Tally(known.astype(np.int64))
        histogram.replace(before.counts, after.counts)
        self._histogram = histogram
        self.overlap_voxels = after.overlap - before.overlap + (0 if fresh else self.overlap_voxels)
        self.recounted_voxels = sum(box.voxels for box in boxes)
        whole = Box.of_shape((voxels.shape[0], voxels.shape[1], voxels.shape[2]))
        self.changed_boxes = (whole,) if fresh else tuple(boxes)
        self._volume_stamp = stamp
        return fresh or bool(boxes)

    def _changes(self, layers: Sequence[Layer]) -> list[_Change]:
        known = {_identity(layer.members, layer.labels.array.dtype): layer for layer in self._layers}
        changes = []
        for layer in layers:
            counted = known.pop(_identity(layer.members, layer.dtype), None)
            if counted is not None and counted.stamp == layer.stamp:
                continue
            now = layer.read()
            if counted is None:
                counted = CountedLayer(layer.members, layer.dtype)
                box = _unless_empty(now.box)
            else:
                box = counted.labels.difference(now)
            changes.append(_Change(counted, box, layer, now))
        return changes + [_Change(gone, _unless_empty(gone.labels.box)) for gone in known.values()]

    def _tally(self, voxels: np.ndarray, boxes: Sequence[Box]) -> Tally:
        total = Tally.nothing()
        for box in boxes:
            total.add(tally(voxels, self._layers, box))
        return total

    def _apply(self, changes: Sequence[_Change]) -> None:
        for change in changes:
            if change.layer is None or change.now is None:
                self._layers.remove(change.known)
                continue
            change.known.copy.follow(change.now, change.box)
            change.known.stamp = change.layer.stamp
            change.known.resampled = change.layer.offset is None
            change.known.reaches_outside = change.layer.reaches_outside()
            if change.known not in self._layers:
                self._layers.append(change.known)


def _unless_empty(box: Box) -> Box | None:
    return box if box.voxels else None


def _identity(members: tuple[Any, ...], dtype: np.dtype) -> tuple[Any, ...]:
    return members, dtype.str
