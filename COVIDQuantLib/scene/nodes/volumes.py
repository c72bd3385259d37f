"""Conversion between CT volume nodes and CTVolume, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN, CTVolume, not_measured
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.scene.nodes.node_geometry import as_vtk, geometry_of, ras_matrix, volume_to_world
from COVIDQuantLib.scene.nodes.windows import LUNG, apply_window

# A usual filler value outside the field of view; far enough below air to be recognised on reading back.
PADDING_HU = -3024


def array_of_image(image: Any, name: str = "") -> np.ndarray:
    """The voxels of a vtkImageData as a view ``[k, j, i]`` of its memory.

    Raises:
        UnfitInputError: no voxels, or more than one number per voxel.
    """
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        raise UnfitInputError("the image has no voxels", name, "Load it again.")
    if scalars.GetNumberOfComponents() != 1:
        raise UnfitInputError(
            f"the image has {scalars.GetNumberOfComponents()} numbers per voxel (a colour or vector image)",
            name,
            "Choose the CT itself.",
        )
    i, j, k = image.GetDimensions()
    return vtk_to_numpy(scalars).reshape(k, j, i)


def voxels_of(volume: Any) -> np.ndarray:
    """The voxels of a volume node as a view ``[k, j, i]`` of its memory, in its own number type.

    Raises:
        UnfitInputError: see :func:`array_of_image`.
    """
    return array_of_image(volume.GetImageData(), volume.GetName())


def whole_hu(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Whole HU and the padding mask of any box of raw voxels, by the rule of ``CTVolume.from_values``.

    Args:
        values: raw voxels in HU, any number type.

    Returns:
        The values, rounded if they were not whole (not clipped; counting clips), and a bool array of voxels
        that were not measured (``ct.volume.not_measured``), or None if there are none.
    """
    padding = not_measured(values)
    if np.issubdtype(values.dtype, np.integer):
        return values, padding if padding.any() else None
    rounded = np.rint(np.where(padding, HU_MIN, values)).clip(HU_MIN, HU_MAX).astype(np.int16)
    return rounded, padding if padding.any() else None


def source_of_node(volume: Any) -> dict[str, Any]:
    """The origin of a volume node's CT, for the provenance."""
    return {"node": volume.GetName(), "uids": volume.GetAttribute("DICOM.instanceUIDs") or ""}


def ct_of_node(volume: Any) -> CTVolume:
    """The CT in a scalar volume node, linear parent transforms applied.

    int16 voxels within −1024..3071 are a view of the node's memory, not a copy: do not write to them.

    Args:
        volume: vtkMRMLScalarVolumeNode in HU, any scalar type, any orientation.

    Raises:
        UnfitInputError: no voxels, several numbers per voxel, or a grid that is not linear or is sheared.
    """
    values = voxels_of(volume)
    geometry = geometry_of(volume)
    source = CTSource(source_of_node(volume))
    if values.dtype == np.int16 and values.min() >= HU_MIN and values.max() <= HU_MAX:
        return CTVolume(values, geometry, source=source)
    ct = CTVolume.from_values(values, geometry)
    ct.source = source
    return ct


def node_of_ct(scene: Any, ct: CTVolume, name: str) -> Any:
    """A new scalar volume node that holds a copy of the CT, shown in the lung window.

    Args:
        scene: the vtkMRMLScene that gets the node.
        ct: any orientation; padding is written as −3024.
        name: name of the node.
    """
    values = ct.hu.astype(np.int16, copy=True)
    if ct.padding is not None:
        values[ct.padding] = PADDING_HU
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    volume.SetIJKToRASMatrix(as_vtk(ras_matrix(ct.geometry)))
    volume.SetAndObserveImageData(image_of_array(values))
    volume.CreateDefaultDisplayNodes()
    apply_window(volume, LUNG)
    return volume


def image_of_array(array: np.ndarray, image: Any = None) -> Any:
    """A vtkImageData (or the one given) that holds a copy of an array ``[k, j, i]``, its extent from 0."""
    image = image if image is not None else vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    return image


def world_of_voxel(volume: Any, kji: tuple[float, float, float]) -> tuple[float, float, float]:
    """The RAS position (mm) of voxel ``(k, j, i)`` of a volume node's array, transforms applied."""
    k, j, i = kji
    r, a, s = (volume_to_world(volume) @ (i, j, k, 1.0))[:3]
    return float(r), float(a), float(s)
