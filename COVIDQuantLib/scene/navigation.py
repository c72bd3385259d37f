"""Navigation: find the most informative point of a region and move the slice views there."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from COVIDQuantLib.anatomy import REGIONS
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.node_geometry import volume_to_world
from COVIDQuantLib.scene.nodes.result_links import nodes_of_class
from COVIDQuantLib.scene.nodes.volumes import world_of_voxel
from COVIDQuantLib.voxels.box import Box, in_threads

Point = tuple[float, float, float]
# The share of a slice view's side that counts as its edge.
_EDGE = 0.1
__all__ = ["Point", "look_at", "place_of_region", "voxel_of_world", "world_of_voxel"]


def voxel_of_world(volume: Any, point: Point) -> tuple[int, int, int]:
    """The voxel ``(k, j, i)`` of a volume node's array nearest to a RAS point; it may lie outside the array."""
    i, j, k = np.rint((np.linalg.inv(volume_to_world(volume)) @ (*point, 1.0))[:3]).astype(int)
    return int(k), int(j), int(i)


def place_of_region(live: LiveQuantification, region: str) -> Point | None:
    """The point at which to view a region: the middle of its pneumonia, or else its lung, in the slice with most of it.

    Args:
        live: the figures; the labels as last counted are used.
        region: name of a row of the table.

    Returns:
        A RAS point; None if the region has no voxel.
    """
    labels = next((region_.labels for region_ in REGIONS if region_.name == region), ())
    table = np.zeros(256, bool)
    table[list(labels)] = True

    def count(box: Box) -> tuple[Box, np.ndarray, np.ndarray]:
        inside, diseased = _masks(live, table, box)
        return box, np.count_nonzero(inside, axis=(1, 2)), np.count_nonzero(diseased, axis=(1, 2))

    i, j, k = live.volume.GetImageData().GetDimensions()
    inside_by_slice, diseased_by_slice = np.zeros(k, int), np.zeros(k, int)
    for box, inside, diseased in in_threads(count, Box.of_shape((k, j, i))):
        inside_by_slice[box.slices[0]], diseased_by_slice[box.slices[0]] = inside, diseased
    if not inside_by_slice.any():
        return None
    ill = bool(diseased_by_slice.any())
    fullest = int((diseased_by_slice if ill else inside_by_slice).argmax())
    shown = _masks(live, table, Box((fullest, 0, 0), (fullest + 1, j, i)))[ill][0]
    row, column = np.argwhere(shown).mean(axis=0)
    return world_of_voxel(live.volume, (float(fullest), float(row), float(column)))


def _masks(live: LiveQuantification, table: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Masks of a box: the voxels whose label is marked in the table, and the pneumonia among them."""
    lobes, lesions = live.labels(box)
    # Outside the lobes only pneumonia is of interest.
    inside = table[lobes] & ((lobes != 0) | lesions)
    return inside, inside & lesions


def look_at(scene: Any, point: Point) -> None:
    """Show a RAS point in every slice view of a scene and put the crosshair there.

    A view is scrolled to the point and moved sideways only if the point is near its edge or beyond, so that the chest
    stays where the reader has it.
    """
    for view in nodes_of_class(scene, "vtkMRMLSliceNode"):
        if _is_well_inside(view, point):
            view.JumpSliceByOffsetting(*point)
        else:
            view.JumpSliceByCentering(*point)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*point)


def _is_well_inside(view: Any, point: Point) -> bool:
    """Whether a slice view shows a RAS point, were it scrolled there, and not at its very edge."""
    from_world = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(view.GetXYToRAS(), from_world)
    pixel = from_world.MultiplyPoint((*point, 1.0))[:2]
    sizes = view.GetDimensions()[:2]
    return all(_EDGE * size <= at <= (1.0 - _EDGE) * size for at, size in zip(pixel, sizes, strict=True))
