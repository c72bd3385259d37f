"""Programmatic edits of segments: remove voxels from the pneumonia or add them, replace whole segments.

Each is one change of the segmentation, so that one saved state undoes it. Only the named segments are changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.scene.nodes.volumes import image_of_array
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantLib.voxels.box import Box, occupied_box


def segments_of_role(segmentation: Any, role: int) -> list[str]:
    """IDs of the segments of a segmentation node with the role of a lobe (label value) or of the pneumonia."""
    return [segment_id for segment_id, found in roles_of(segmentation.GetSegmentation()).items() if found == role]


def lesion_segment(segmentation: Any) -> str:
    """ID of the pneumonia segment; if there are several, ours or the first.

    Raises:
        UnfitInputError: there is none.
    """
    found = segments_of_role(segmentation, LESION_ROLE)
    if not found:
        raise UnfitInputError(
            "no segment is known as pneumonia", segmentation.GetName(), "Go back to the AI result, or add it."
        )
    return LESION.segment_id if LESION.segment_id in found else found[0]


def remove_from_lesion(segmentation: Any, volume: Any, mask: np.ndarray, box: Box) -> None:
    """Remove voxels from every segment that counts as pneumonia.

    Args:
        segmentation: the vtkMRMLSegmentationNode.
        volume: the CT's vtkMRMLScalarVolumeNode.
        mask: bool ``[k, j, i]``, the voxels of the box to remove.
        box: the position of the mask on the CT.

    Raises:
        UnfitInputError: there is no pneumonia segment.
    """
    lesion_segment(segmentation)
    kept = labelmap_in_box(segmentation, volume, ~mask, box)
    for segment_id in segments_of_role(segmentation, LESION_ROLE):
        _set(segmentation, segment_id, kept, slicer.vtkSlicerSegmentationsModuleLogic.MODE_MERGE_MIN)


def add_to_lesion(segmentation: Any, volume: Any, mask: np.ndarray, box: Box) -> None:
    """Add voxels to the pneumonia; arguments and errors as in :func:`remove_from_lesion`."""
    segment_id = lesion_segment(segmentation)
    added = labelmap_in_box(segmentation, volume, mask, box)
    _set(segmentation, segment_id, added, slicer.vtkSlicerSegmentationsModuleLogic.MODE_MERGE_MAX)


def replace_segment(
    segmentation: Any, volume: Any, segment_id: str, mask: np.ndarray, overwrite: Sequence[str] = ()
) -> None:
    """Replace the voxels of a segment.

    Args:
        segmentation: the vtkMRMLSegmentationNode.
        volume: the CT's vtkMRMLScalarVolumeNode.
        segment_id: the segment.
        mask: bool ``[k, j, i]`` on the whole CT.
        overwrite: IDs of segments of the same layer that are overwritten where they overlap.
    """
    values = mask.view(np.uint8)
    box = occupied_box(values, (0, 0, 0), Box.of_shape((mask.shape[0], mask.shape[1], mask.shape[2])))
    if box is None:
        segmentation.GetSegmentation().ClearSegment(segment_id)
        return
    image = labelmap_in_box(segmentation, volume, mask[box.slices], box)
    _set(segmentation, segment_id, image, slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE, overwrite)


def take_from_other_lobes(segmentation: Any, volume: Any, segment_id: str, mask: np.ndarray, box: Box) -> None:
    """Remove voxels from every lobe except the one just painted.

    Args:
        segmentation: the vtkMRMLSegmentationNode.
        volume: the CT's vtkMRMLScalarVolumeNode.
        segment_id: the lobe that keeps them.
        mask: bool ``[k, j, i]``, the voxels of the box.
        box: the position of the mask on the CT.
    """
    rest = labelmap_in_box(segmentation, volume, ~mask, box)
    for lobe in LOBES:
        for other in segments_of_role(segmentation, lobe.label):
            if other != segment_id:
                _set(segmentation, other, rest, slicer.vtkSlicerSegmentationsModuleLogic.MODE_MERGE_MIN)


def remove_from_segment(segmentation: Any, volume: Any, segment_id: str, mask: np.ndarray, box: Box) -> None:
    """Remove voxels from one segment; the other arguments as in :func:`remove_from_lesion`."""
    kept = labelmap_in_box(segmentation, volume, ~mask, box)
    _set(segmentation, segment_id, kept, slicer.vtkSlicerSegmentationsModuleLogic.MODE_MERGE_MIN)


def labelmap_in_box(segmentation: Any, volume: Any, mask: np.ndarray, box: Box) -> Any:
    """A vtkOrientedImageData of a mask in a box of the CT, in the segmentation node's own space."""
    image = slicer.vtkOrientedImageData()
    image_of_array(np.ascontiguousarray(mask).view(np.uint8), image)
    first = volume.GetImageData().GetExtent()[::2]
    bounds = [(box.start[axis], box.stop[axis] - 1) for axis in (2, 1, 0)]
    image.SetExtent([n + start for (low, high), start in zip(bounds, first, strict=True) for n in (low, high)])
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    relative = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        volume.GetParentTransformNode(), segmentation.GetParentTransformNode(), relative
    )
    vtk.vtkMatrix4x4.Multiply4x4(relative, matrix, matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    return image


def _set(segmentation: Any, segment_id: str, image: Any, mode: int, overwrite: Sequence[str] = ()) -> None:
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        image, segmentation, segment_id, mode, image.GetExtent(), False, list(overwrite)
    )
