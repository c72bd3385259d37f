"""The registration as a transform node, and under it the earlier exam's CT and the outline of its pneumonia.

The exam's own nodes are never moved: a copy that shares the CT's voxels lies under the transform, so that no figure
can depend on the registration.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from COVIDQuantLib.followup.lesions.pair_job import PlacedMask, SampledMap
from COVIDQuantLib.scene.nodes.node_geometry import as_vtk, ras_matrix, volume_to_world
from COVIDQuantLib.scene.nodes.volumes import image_of_array
from COVIDQuantLib.scene.nodes.windows import LUNG, apply_window

OUTLINE_SEGMENT = "pneumonia_before"
# Okabe and Ito's sky blue, apart from the pneumonia's colour also for the colour-blind.
OUTLINE_COLOUR = (0.34, 0.71, 0.91)
_OUTLINE_WIDTH = 2


def write_transform(node: Any, to_baseline: SampledMap) -> None:
    """Let a vtkMRMLTransformNode bring what lies under it from the earlier exam's space to the later one's.

    Slicer asks the way back for every pixel that it shows; that way is the one that is sampled.

    Args:
        node: the node.
        to_baseline: displacement from the later exam to the earlier one, LPS.
    """
    vectors = to_baseline.vectors.astype(float)
    # From LPS to RAS: x and y of positions and of displacements change their signs.
    vectors = vectors[:, ::-1, ::-1] * (-1.0, -1.0, 1.0)
    size, step = np.array(vectors.shape[2::-1]), to_baseline.spacing_mm
    x, y, z = to_baseline.origin
    image = vtk.vtkImageData()
    image.SetDimensions(*(int(n) for n in size))
    image.SetSpacing(step, step, step)
    image.SetOrigin(-(x + step * (size[0] - 1)), -(y + step * (size[1] - 1)), z)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(vectors).reshape(-1, 3), deep=True))
    grid = slicer.vtkOrientedGridTransform()
    grid.SetDisplacementGridData(image)
    grid.SetInterpolationModeToLinear()
    node.SetAndObserveTransformFromParent(grid)


def fill_copy(copy: Any, volume: Any, transform: Any) -> None:
    """Show a CT's voxels once more, under a transform; they are shared, not copied, and not saved with the scene.

    Args:
        copy: a vtkMRMLScalarVolumeNode, hidden from the selectors.
        volume: the earlier exam's CT; its own linear transforms are taken along.
        transform: the vtkMRMLTransformNode.
    """
    copy.SetSaveWithScene(False)
    copy.SetHideFromEditors(True)
    image = volume.GetImageData()
    if copy.GetImageData() is not image:
        copy.SetAndObserveImageData(image)
    # The image's extent may begin anywhere; the copy's matrix is that of index 0.
    first = np.eye(4)
    first[:3, 3] = [-n for n in image.GetExtent()[::2]]
    copy.SetIJKToRASMatrix(as_vtk(volume_to_world(volume) @ first))
    copy.SetAndObserveTransformNodeID(transform.GetID())
    if copy.GetDisplayNode() is None:
        display = copy.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
        display.SetSaveWithScene(False)
        # First, or Slicer looks through every voxel for a window of its own.
        display.AutoWindowLevelOff()
        display.SetDefaultColorMap()
        copy.SetAndObserveDisplayNodeID(display.GetID())
        apply_window(copy, LUNG)


def fill_outline(node: Any, mask: PlacedMask | None, transform: Any) -> None:
    """Make a segmentation node the outline of the earlier exam's pneumonia.

    Args:
        node: a vtkMRMLSegmentationNode, hidden from the selectors.
        mask: the pneumonia; None leaves no segment.
        transform: the vtkMRMLTransformNode; None without a registration.
    """
    node.SetHideFromEditors(True)
    node.GetSegmentation().RemoveAllSegments()
    node.SetAndObserveTransformNodeID(None if transform is None else transform.GetID())
    if mask is None:
        return
    labelmap = slicer.vtkOrientedImageData()
    image_of_array(mask.voxels, labelmap)
    labelmap.SetGeometryFromImageToWorldMatrix(as_vtk(ras_matrix(mask.geometry)))
    segment = slicer.vtkSegment()
    segment.SetName(node.GetName())
    segment.SetColor(*OUTLINE_COLOUR)
    segment.AddRepresentation(
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(), labelmap
    )
    node.GetSegmentation().AddSegment(segment, OUTLINE_SEGMENT)
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility(False)
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetVisibility3D(False)
    display.SetSliceIntersectionThickness(_OUTLINE_WIDTH)
