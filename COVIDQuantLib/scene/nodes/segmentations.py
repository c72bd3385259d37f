"""Segmentation nodes: five lobes on one layer, the pneumonia on its own, and the way back to arrays."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
import vtk

from COVIDQuantLib.anatomy import LESION, LOBES, LesionKind, Lobe
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.scene.live.histogram_tracker import HistogramTracker
from COVIDQuantLib.scene.live.layer_counts import merge
from COVIDQuantLib.scene.nodes.volumes import image_of_array, voxels_of
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.terminology_text import TAG, serialize
from COVIDQuantLib.voxels.box import Box, occupied_box

PROVENANCE_ATTRIBUTE = "COVIDQuant.provenance"
LESION_LABEL = 1
# Opacity of the fill in slices: the pneumonia shows through, the lobes hardly show.
LESION_FILL, LOBE_FILL = 0.45, 0.15


def create_segmentation_node(scene: Any, volume: Any, result: Segmentation, name: str) -> Any:
    """A new segmentation node with the five lobe segments and the pneumonia segment, shown over the CT.

    The segments have the IDs, names, colours and terminology of ``anatomy.py``. The lobes share a layer, so
    that painting one can take from its neighbour; the pneumonia lies on a layer of its own. The node follows the
    CT's parent transform.

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
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    lobes = _labelmap(volume, result.lobes.astype(np.uint8, copy=False))
    for lobe in LOBES:
        _add_segment(node, lobe, lobes, lobe.label)
    _add_segment(node, LESION, _labelmap(volume, (result.lesions != 0).view(np.uint8)), LESION_LABEL)
    write_provenance(node, result)
    show_segments(node)
    return node


def _labelmap(volume: Any, labels: np.ndarray) -> Any:
    """A vtkOrientedImageData of the labels, cropped to them as Slicer itself does."""
    labelmap = slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    box = occupied_box(labels, (0, 0, 0), Box.of_shape((labels.shape[0], labels.shape[1], labels.shape[2])))
    if box is None:
        labelmap.SetExtent(0, -1, 0, -1, 0, -1)
        labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    else:
        image_of_array(labels[box.slices], labelmap)
        first = volume.GetImageData().GetExtent()[::2]
        extent = [bound for axis in range(3) for bound in (box.start[2 - axis], box.stop[2 - axis] - 1)]
        labelmap.SetExtent([bound + first[index // 2] for index, bound in enumerate(extent)])
    labelmap.SetGeometryFromImageToWorldMatrix(matrix)
    return labelmap


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
    display = node.GetDisplayNode()
    display.SetVisibility(True)
    display.SetVisibility2DFill(True)
    display.SetVisibility2DOutline(True)
    display.SetVisibility3D(False)
    kinds: tuple[Lobe | LesionKind, ...] = (*LOBES, LESION)
    for kind in kinds:
        if node.GetSegmentation().GetSegment(kind.segment_id) is None:
            continue
        is_lesion = kind is LESION
        display.SetSegmentVisibility(kind.segment_id, True)
        display.SetSegmentOpacity2DFill(kind.segment_id, LESION_FILL if is_lesion else LOBE_FILL)
        display.SetSegmentOpacity2DOutline(kind.segment_id, 1.0 if is_lesion else 0.8)
        display.SetSegmentOpacity3D(kind.segment_id, 1.0 if is_lesion else 0.25)


def show_3d(node: Any, *, visible: bool) -> None:
    """Show or hide the segments as surfaces; made on the first request, for an edit then also updates them."""
    if visible:
        node.CreateClosedSurfaceRepresentation()
    else:
        node.RemoveClosedSurfaceRepresentation()
    node.GetDisplayNode().SetVisibility3D(visible)


def write_provenance(node: Any, result: Segmentation) -> None:
    """Keep how the segments were made, and the warnings, with the node."""
    record = {
        "provenance": result.provenance,
        "warnings": [{"code": warning.code, "message": warning.message} for warning in result.warnings],
    }
    node.SetAttribute(PROVENANCE_ATTRIBUTE, json.dumps(record))


def provenance_of_node(node: Any) -> dict[str, Any]:
    """How the segments of a node were made; empty if it was not kept."""
    record: dict[str, Any] = json.loads(node.GetAttribute(PROVENANCE_ATTRIBUTE) or "{}")
    provenance: dict[str, Any] = record.get("provenance", {})
    return provenance


def segmentation_of_node(node: Any, volume: Any) -> Segmentation:
    """The lobes and lesions of a segmentation node as arrays on the CT's grid, by the rules of counting.

    Args:
        node: any vtkMRMLSegmentationNode; segments are found by ID or terminology.
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
