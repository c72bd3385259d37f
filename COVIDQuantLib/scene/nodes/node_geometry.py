"""Where nodes and segments lie: matrices from voxel indices to the world, and to each other's voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

# MRML is RAS, CTVolume is LPS.
_RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Directions further from perpendicular than this (cosine) are sheared, not rounded.
_SHEAR = 1e-3
# Axes whose box has less than this share of its edges' product as volume lie in a plane.
_FLAT = 1e-9


def as_numpy(matrix: Any) -> np.ndarray:
    """A vtkMatrix4x4 as a 4×4 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def as_vtk(array: np.ndarray) -> Any:
    """A 4×4 array as a vtkMatrix4x4."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, float).ravel())
    return matrix


def parent_to_world(node: Any) -> np.ndarray:
    """The 4×4 RAS matrix that a node's parent transforms apply to it together; identity if it has none.

    Raises:
        UnfitInputError: a transform is not linear, or has no inverse.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise UnfitInputError(
            "it lies under a transform that bends space",
            node.GetName(),
            "Harden the transform on the node, or take the node out from under it.",
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return _invertible(as_numpy(matrix), node.GetName())


def _invertible(matrix: np.ndarray, name: str) -> np.ndarray:
    """A matrix between spaces, refused if it flattens space or holds what is no number."""
    axes = matrix[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    # Relative to the axes' lengths, so that a small scale is no fault.
    if not np.isfinite(matrix).all() or not lengths.all() or abs(np.linalg.det(axes / lengths)) < _FLAT:
        raise UnfitInputError(
            "it lies under a transform that flattens space: the transform's matrix has no inverse",
            name,
            "Correct the transform, or take the node out from under it.",
            code="singular-transform",
        )
    return matrix


def volume_to_world(volume: Any) -> np.ndarray:
    """4×4 matrix from the array index ``(i, j, k, 1)`` of a volume node to world RAS millimetres."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    first = np.eye(4)
    first[:3, 3] = volume.GetImageData().GetExtent()[::2]
    return parent_to_world(volume) @ as_numpy(matrix) @ first


def labelmap_to_world(segmentation: Any, labelmap: Any) -> np.ndarray:
    """4×4 matrix from the array index ``(i, j, k, 1)`` of a segment's label map to world RAS millimetres.

    Args:
        segmentation: the vtkMRMLSegmentationNode.
        labelmap: a vtkOrientedImageData of it; its array begins at its extent, not at index 0.

    Raises:
        UnfitInputError: its grid is flat, or lies under a transform that is not linear or flattens space.
    """
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    first = np.eye(4)
    first[:3, 3] = labelmap.GetExtent()[::2]
    own = _invertible(as_numpy(matrix), segmentation.GetName())
    return parent_to_world(segmentation) @ own @ first


def geometry_of(volume: Any) -> Geometry:
    """The grid of a volume node in world LPS, its linear parent transforms applied.

    Raises:
        UnfitInputError: no image, or a transform that bends or shears the grid.
    """
    image = volume.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise UnfitInputError("the volume has no voxels", volume.GetName(), "Load the CT again.")
    i, j, k = image.GetDimensions()
    return geometry_of_matrix(volume_to_world(volume), (k, j, i), volume.GetName())


def geometry_of_matrix(to_ras: np.ndarray, shape: tuple[int, int, int], name: str = "") -> Geometry:
    """The grid of an index-to-RAS matrix.

    Raises:
        UnfitInputError: the axes are not perpendicular.
    """
    to_lps = _RAS_LPS @ to_ras
    spacing = np.linalg.norm(to_lps[:3, :3], axis=0)
    if not spacing.all() or not np.isfinite(to_lps).all():
        raise UnfitInputError("the grid has an axis without length", name, "Load the CT again.")
    direction = to_lps[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > _SHEAR:
        raise UnfitInputError(
            "the grid is sheared by gantry tilt or a transform",
            name,
            "Harden the acquisition transform on the volume, or take the volume out from under its transform.",
        )
    a, b, c = (float(value) for value in spacing)
    x, y, z = (float(value) for value in to_lps[:3, 3])
    return Geometry(shape, (a, b, c), (x, y, z), tuple(float(value) for value in direction.ravel()))


def ras_matrix(geometry: Geometry) -> np.ndarray:
    """4×4 matrix from index ``(i, j, k, 1)`` to RAS millimetres."""
    return _RAS_LPS @ geometry.index_to_lps
