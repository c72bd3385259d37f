"""The layers of a segmentation node as label arrays on the CT's grid.

Slicer keeps segments in layers: one label map may hold several segments that do not overlap, told apart by label
value, cropped to what they fill. A layer is read here as a view of Slicer's memory where it lies on the CT's
voxels, and resampled where it does not: a CT voxel then takes the label of the segmentation voxel that holds its
centre (nearest neighbour). What lies outside the CT has no density and is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtk.util.numpy_support import get_numpy_array_type as vtk_to_numpy_type

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.scene.nodes.node_geometry import labelmap_to_world
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.scene.nodes.volumes import array_of_image
from COVIDQuantLib.voxels.box import Box, in_threads
from COVIDQuantLib.voxels.placed_labels import PlacedLabels

# Voxels whose centres fall this near each other (in voxels) are the same; nearest neighbour would say so too.
_SAME_VOXEL = 0.05
# Keeps centres that fall on the border of two voxels on one side in spite of rounding.
_TIE = 1e-6

Member = tuple[str, int, int]


@dataclass(frozen=True)
class Layer:
    """A label map of a segmentation node that holds at least one lobe or lesion segment.

    Attributes:
        members: (segment ID, label value, role) of the segments that count, sorted; they and the number type
            are the layer's identity, as Slicer replaces the objects themselves on undo.
        labelmap: the vtkOrientedImageData.
        from_ct: 4×4 matrix from the CT's array index ``(i, j, k, 1)`` to the label map's array index.
        ct_shape: voxels of the CT.
        name: of the segmentation node, for messages.
    """

    members: tuple[Member, ...]
    labelmap: Any
    from_ct: np.ndarray
    ct_shape: tuple[int, int, int]
    name: str

    @property
    def stamp(self) -> tuple[Any, ...]:
        """Changes whenever the layer's voxels or place may have changed."""
        return self.labelmap.GetMTime(), self.from_ct.tobytes(), self.ct_shape

    @property
    def dtype(self) -> np.dtype:
        """Number type of the labels; of an emptied label map VTK says double."""
        if self.is_empty:
            return np.dtype(np.uint8)
        return np.dtype(vtk_to_numpy_type(self.labelmap.GetScalarType()))

    @property
    def is_empty(self) -> bool:
        """Whether the layer has no voxels at all (a segment just added or emptied)."""
        extent = self.labelmap.GetExtent()
        return any(extent[axis] > extent[axis + 1] for axis in (0, 2, 4))

    @property
    def offset(self) -> tuple[int, int, int] | None:
        """CT voxel (k, j, i) at which the label map begins; None if it does not lie on the CT's voxels."""
        begin = -np.rint(self.from_ct[:3, 3]).astype(int)
        deviation = self.from_ct - np.eye(4)
        deviation[:3, 3] += begin
        corner = np.array([*self.ct_shape[::-1], 1.0])
        if (np.abs(deviation) @ corner)[:3].max() > _SAME_VOXEL:
            return None
        return int(begin[2]), int(begin[1]), int(begin[0])

    def read(self) -> PlacedLabels:
        """The labels on the CT's grid, cropped to the CT.

        The array is a view of Slicer's memory if the layer lies on the CT's voxels.

        Raises:
            UnfitInputError: not a label map of whole numbers.
        """
        nothing = PlacedLabels.nothing(self.dtype)
        if self.is_empty:
            return nothing
        labels = array_of_image(self.labelmap, self.name)
        if not np.issubdtype(labels.dtype, np.integer):
            raise UnfitInputError("the segments are not binary label maps", self.name, "Convert them in Slicer.")
        whole = Box.of_shape(self.ct_shape)
        offset = self.offset
        if offset is None:
            box = self._reach().intersect(whole)
            return nothing if box is None else PlacedLabels(resample_nearest(labels, self.from_ct, box), box)
        box = Box.of_shape(labels.shape).shift(offset).intersect(whole)
        return nothing if box is None else PlacedLabels(labels[box.shift(offset, -1).slices], box)

    def reaches_outside(self) -> bool:
        """Whether the label map has labels of its segments where the CT has no voxel; only told on its voxels."""
        offset = self.offset
        if self.is_empty or offset is None:
            return False
        labels = array_of_image(self.labelmap, self.name)
        inside = Box.of_shape(self.ct_shape).shift(offset, -1)
        values = [value for _, value, _ in self.members]
        return any(np.isin(labels[part.slices], values).any() for part in Box.of_shape(labels.shape).minus(inside))

    def _reach(self) -> Box:
        extent = self.labelmap.GetExtent()
        spans = [(-0.5, extent[axis + 1] - extent[axis] + 0.5) for axis in (0, 2, 4)]
        corners = np.array([(a, b, c, 1.0) for a in spans[0] for b in spans[1] for c in spans[2]]).T
        in_ct = (np.linalg.inv(self.from_ct) @ corners)[:3]
        low = np.floor(in_ct.min(axis=1)).astype(int)
        high = np.ceil(in_ct.max(axis=1)).astype(int) + 1
        return Box((int(low[2]), int(low[1]), int(low[0])), (int(high[2]), int(high[1]), int(high[0])))


def layers_of(segmentation: Any, ct_to_world: np.ndarray, ct_shape: tuple[int, int, int]) -> list[Layer]:
    """The layers of a vtkMRMLSegmentationNode that hold lobe or lesion segments.

    Args:
        segmentation: the node; its binary label maps are used.
        ct_to_world: 4×4 matrix of the CT's grid (grids.volume_to_world).
        ct_shape: voxels of the CT, ``k, j, i``.

    Raises:
        UnfitInputError: the segments have no binary label map, or lie under a transform that bends space.
    """
    members: dict[int, list[Member]] = {}
    labelmaps: dict[int, Any] = {}
    content = segmentation.GetSegmentation()
    roles = roles_of(content) if content is not None else {}
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    for segment_id, role in roles.items():
        segment = content.GetSegment(segment_id)
        labelmap = segment.GetRepresentation(name)
        if labelmap is None:
            raise UnfitInputError(
                f"segment {segment.GetName()} has no binary label map",
                segmentation.GetName(),
                "Create the binary labelmap representation in Slicer's Segmentations module.",
            )
        labelmaps[id(labelmap)] = labelmap
        # Slicer's filters take a value that the number type cannot hold for the type's highest.
        value = min(segment.GetLabelValue(), int(labelmap.GetScalarTypeMax()))
        members.setdefault(id(labelmap), []).append((segment_id, value, role))
    layers = []
    for key, labelmap in labelmaps.items():
        from_ct = np.linalg.inv(labelmap_to_world(segmentation, labelmap)) @ ct_to_world
        layers.append(Layer(tuple(sorted(members[key])), labelmap, from_ct, ct_shape, segmentation.GetName()))
    return sorted(layers, key=lambda layer: layer.members)


def resample_nearest(labels: np.ndarray, from_ct: np.ndarray, box: Box) -> np.ndarray:
    """Labels of the voxels of a box of the CT from a label map on any other grid, nearest neighbour.

    Args:
        labels: the label map ``[k, j, i]``.
        from_ct: 4×4 matrix from the CT's index ``(i, j, k, 1)`` to the label map's.
        box: the box of the CT to fill.

    Returns:
        Array of the box's shape; 0 where the label map has no voxel.
    """
    out = np.zeros(box.shape, labels.dtype)
    off_axis = np.abs(from_ct[:3, :3] - np.diag(np.diag(from_ct[:3, :3])))
    is_turned = (off_axis @ np.array(box.stop[::-1])).max() > _TIE
    fill = _fill_turned if is_turned else _fill_aligned
    in_threads(lambda chunk: fill(labels, from_ct, chunk, out[chunk.shift(box.start, -1).slices]), box)
    return out


def _fill_aligned(labels: np.ndarray, from_ct: np.ndarray, box: Box, out: np.ndarray) -> None:
    """Grids with the same axes: one line of indices per axis."""
    index, inside = [], []
    for axis, (start, stop) in enumerate(zip(box.start, box.stop, strict=True)):
        row = 2 - axis
        nearest = _nearest(from_ct[row, row] * np.arange(start, stop) + from_ct[row, 3])
        within = (nearest >= 0) & (nearest < labels.shape[axis])
        inside.append(np.flatnonzero(within))
        index.append(nearest[within])
    out[np.ix_(*inside)] = labels[np.ix_(*index)]


def _fill_turned(labels: np.ndarray, from_ct: np.ndarray, box: Box, out: np.ndarray) -> None:
    """Any other grid, slice by slice."""
    i, j = np.arange(box.start[2], box.stop[2]), np.arange(box.start[1], box.stop[1])[:, None]
    for slab, k in enumerate(range(box.start[0], box.stop[0])):
        inside: np.ndarray | None = None
        index = []
        for axis in range(3):
            a, b, c, origin = from_ct[2 - axis]
            nearest = _nearest(a * i + b * j + (c * k + origin))
            within = (nearest >= 0) & (nearest < labels.shape[axis])
            inside = within if inside is None else inside & within
            index.append(nearest)
        out[slab][inside] = labels[index[0][inside], index[1][inside], index[2][inside]]


def _nearest(position: np.ndarray) -> np.ndarray:
    return np.floor(position + (0.5 + _TIE)).astype(np.intp)
