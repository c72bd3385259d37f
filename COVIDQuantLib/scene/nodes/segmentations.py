"""Segmentation nodes with five lobes on one layer and the pneumonia on another, and conversion back to arrays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from COVIDQuantLib.anatomy import LESION, LOBES, LesionKind, Lobe
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.scene.live.histogram_tracker import HistogramTracker
from COVIDQuantLib.scene.live.layer_counts import merge
from COVIDQuantLib.scene.nodes.volumes import voxels_of
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.terminology_text import TAG, serialize
from COVIDQuantLib.voxels.box import Box, occupied_box

PROVENANCE_ATTRIBUTE = "COVIDQuant.provenance"
LESION_LABEL = 1
# Chunks of about a million voxels each.
_CHUNKS_AT_ONCE = 8
# Opacity of the fill in slices: translucent for the pneumonia, faint for the lobes.
LESION_FILL, LOBE_FILL = 0.45, 0.15


def create_segmentation_node(scene: Any, volume: Any, result: Segmentation, name: str) -> Any:
    """A new segmentation node with the five lobe segments and the pneumonia segment, shown over the CT.

    The segments have the IDs, names, colours and terminology of ``anatomy.py``. The lobes share a layer, so
    that painting one can overwrite its neighbour; the pneumonia has its own layer. The node gets the CT's parent
    transform.

    Args:
        scene: the vtkMRMLScene of the CT.
        volume: the CT's vtkMRMLScalarVolumeNode.
        result: arrays on the CT's grid; may be all zero.
        name: name of the node.

    Raises:
        UnfitInputError: the arrays do not have the CT's shape.
    """
    shape = voxels_of(volume).shape
    if result.lobes.shape != shape or result.lesions.shape != shape:
        raise UnfitInputError(
            f"the segmentation has shape {result.lobes.shape}, the CT {shape}", name, "Segment this CT again."
        )
    lobes = _cropped_labelmap(volume, result.lobes.astype(np.uint8, copy=False))
    lesions = _cropped_labelmap(volume, (result.lesions != 0).view(np.uint8))
    node = node_of_labelmaps(scene, volume, lobes, lesions, name)
    write_provenance(node, result.provenance, result.warnings)
    node.GetDisplayNode().SetVisibility(True)
    return node


def node_of_labelmaps(scene: Any, volume: Any, lobes: Any, lesions: Any, name: str) -> Any:
    """:func:`create_segmentation_node` from label maps (:func:`labelmap_of_part`), without provenance yet and hidden.

    It enters the scene with its segments and their display, and is hidden while it gets its attributes and links: each
    change of a segmentation that is shown updates every slice view. Show it by ``SetVisibility`` of its display node.
    """
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(name)
    for lobe in LOBES:
        _add_segment(node, lobe, lobes, lobe.label)
    _add_segment(node, LESION, lesions, LESION_LABEL)
    display = scene.CreateNodeByClass("vtkMRMLSegmentationDisplayNode")
    display.UnRegister(None)
    display.SetVisibility(False)
    node.SetAndObserveDisplayNodeID(scene.AddNode(display).GetID())
    scene.AddNode(node)
    _style(display, (*LOBES, LESION))
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return node


def _cropped_labelmap(volume: Any, labels: np.ndarray) -> Any:
    """A vtkOrientedImageData of the labels, cropped to their extent as Slicer does."""
    box = occupied_box(labels, (0, 0, 0), Box.of_shape((labels.shape[0], labels.shape[1], labels.shape[2])))
    return labelmap_of_part(volume, None) if box is None else labelmap_of_part(volume, labels[box.slices], box.start)


def labelmap_of_part(volume: Any, labels: np.ndarray | None, start: tuple[int, int, int] = (0, 0, 0)) -> Any:
    """A vtkOrientedImageData of labels in a part of a CT.

    Args:
        volume: the CT's vtkMRMLScalarVolumeNode.
        labels: uint8 ``[k, j, i]``; None if there are none.
        start: voxel ``(k, j, i)`` of the CT at which they begin.
    """
    return next(made for made in labelmap_in_pieces(volume, labels, start) if made is not None)


def labelmap_in_pieces(
    volume: Any, labels: np.ndarray | None, start: tuple[int, int, int] = (0, 0, 0)
) -> Iterator[Any]:
    """:func:`labelmap_of_part`, with a None after each piece of a few milliseconds before it."""
    labelmap = slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    if labels is None:
        labelmap.SetExtent(0, -1, 0, -1, 0, -1)
    else:
        first = volume.GetImageData().GetExtent()[::2]
        begins = [low + more for low, more in zip(first, start[::-1], strict=True)]
        spans = [(low, low + size - 1) for low, size in zip(begins, labels.shape[::-1], strict=True)]
        labelmap.SetExtent([bound for span in spans for bound in span])
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    if labels is not None:
        into = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(labels.shape)
        for number, chunk in enumerate(Box.of_shape((labels.shape[0], labels.shape[1], labels.shape[2])).chunks()):
            into[chunk.slices] = labels[chunk.slices]
            if number % _CHUNKS_AT_ONCE == _CHUNKS_AT_ONCE - 1:
                yield None
    labelmap.SetGeometryFromImageToWorldMatrix(matrix)
    yield labelmap


def _add_segment(node: Any, kind: Lobe | LesionKind, labelmap: Any, label: int) -> None:
    segment = slicer.vtkSegment()
    segment.SetName(kind.name)
    segment.SetColor(*kind.colour)
    segment.SetTag(TAG, serialize(kind.terminology))
    segment.SetLabelValue(label)
    segment.AddRepresentation(
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(), labelmap
    )
    node.GetSegmentation().AddSegment(segment, kind.segment_id)


def show_segments(node: Any) -> None:
    """Show lobes as faint fill with outline and the pneumonia stronger, in slices only."""
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display, content = node.GetDisplayNode(), node.GetSegmentation()
    kinds: tuple[Lobe | LesionKind, ...] = (*LOBES, LESION)
    _style(display, [kind for kind in kinds if content.GetSegment(kind.segment_id) is not None])
    display.SetVisibility(True)


def _style(display: Any, kinds: Iterable[Lobe | LesionKind]) -> None:
    # Every view is updated once.
    was_modifying = display.StartModify()
    display.SetVisibility2DFill(True)
    display.SetVisibility2DOutline(True)
    display.SetVisibility3D(False)
    for kind in kinds:
        is_lesion = kind is LESION
        display.SetSegmentVisibility(kind.segment_id, True)
        display.SetSegmentOpacity2DFill(kind.segment_id, LESION_FILL if is_lesion else LOBE_FILL)
        display.SetSegmentOpacity2DOutline(kind.segment_id, 1.0 if is_lesion else 0.8)
        display.SetSegmentOpacity3D(kind.segment_id, 1.0 if is_lesion else 0.25)
    display.EndModify(was_modifying)


def show_3d(node: Any, *, visible: bool) -> None:
    """Show or hide the segments as surfaces; created on first use, as every later edit has to update them."""
    if visible:
        node.CreateClosedSurfaceRepresentation()
    else:
        node.RemoveClosedSurfaceRepresentation()
    node.GetDisplayNode().SetVisibility3D(visible)


def write_provenance(node: Any, provenance: Mapping[str, Any], warnings: Sequence[CTWarning]) -> None:
    """Store provenance and warnings with the node."""
    record = {
        "provenance": dict(provenance),
        "warnings": [{"code": warning.code, "message": warning.message} for warning in warnings],
    }
    node.SetAttribute(PROVENANCE_ATTRIBUTE, json.dumps(record))


def provenance_of_node(node: Any) -> dict[str, Any]:
    """The provenance of a node's segments; empty if it was not stored."""
    record: dict[str, Any] = json.loads(node.GetAttribute(PROVENANCE_ATTRIBUTE) or "{}")
    provenance: dict[str, Any] = record.get("provenance", {})
    return provenance


def segmentation_of_node(node: Any, volume: Any) -> Segmentation:
    """The lobes and lesions of a segmentation node as arrays on the CT's grid, by the rules of counting.

    Args:
        node: any vtkMRMLSegmentationNode; segments are identified by ID or terminology.
        volume: the CT's vtkMRMLScalarVolumeNode.

    Raises:
        UnfitInputError: see :meth:`HistogramTracker.refresh`.
    """
    counted = HistogramTracker(volume, node)
    counted.refresh()
    shape = voxels_of(volume).shape
    lobes, lesions, _ = merge(counted.layers, Box.of_shape((shape[0], shape[1], shape[2])))
    record = json.loads(node.GetAttribute(PROVENANCE_ATTRIBUTE) or "{}")
    warnings = [CTWarning(warning["code"], warning["message"]) for warning in record.get("warnings", [])]
    return Segmentation(
        lobes.astype(np.uint8, copy=False),
        lesions.astype(bool),
        record.get("provenance", {}),
        [*warnings, *counted.warnings()],
    )
