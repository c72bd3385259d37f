"""Where to look: the middle of a region, a lobe's densest disease, and slices moved there."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from COVIDQuantLib.anatomy import REGIONS
from COVIDQuantLib.scene.boxes import Box
from COVIDQuantLib.scene.grids import volume_to_world
from COVIDQuantLib.scene.live import LiveQuantification

Point = tuple[float, float, float]


def world_of_voxel(volume: Any, kji: tuple[float, float, float]) -> Point:
    """Where a voxel ``(k, j, i)`` of a volume node's array lies, RAS millimetres, transforms applied."""
    k, j, i = kji
    r, a, s = (volume_to_world(volume) @ (i, j, k, 1.0))[:3]
    return float(r), float(a), float(s)


def voxel_of_world(volume: Any, point: Point) -> tuple[int, int, int]:
    """The voxel ``(k, j, i)`` of a volume node's array nearest to a RAS point; it may lie outside the array."""
    i, j, k = np.rint((np.linalg.inv(volume_to_world(volume)) @ (*point, 1.0))[:3]).astype(int)
    return int(k), int(j), int(i)


def place_of_region(live: LiveQuantification, region: str) -> Point | None:
    """Where to look at a region: in its slice with the most pneumonia, at the middle of that; without any, its middle.

    Args:
        live: the figures; their labels as last counted are used.
        region: name of a row of the table.

    Returns:
        A RAS point; None if the region has no voxel.
    """
    labels = next((region_.labels for region_ in REGIONS if region_.name == region), ())
    ct = live.volume.GetImageData().GetDimensions()
    lobes, lesions = live.labels(Box.of_shape((ct[2], ct[1], ct[0])))
    table = np.zeros(256, bool)
    table[list(labels)] = True
    # Outside the lobes only pneumonia is of interest.
    inside = table[lobes] & ((lobes != 0) | lesions)
    if not inside.any():
        return None
    diseased = inside & lesions
    where = _in_fullest_slice(diseased) if diseased.any() else _middle(inside)
    return None if where is None else world_of_voxel(live.volume, where)


def _in_fullest_slice(mask: np.ndarray) -> tuple[float, float, float]:
    k = int(mask.sum(axis=(1, 2)).argmax())
    j, i = np.argwhere(mask[k]).mean(axis=0)
    return float(k), float(j), float(i)


def _middle(mask: np.ndarray) -> tuple[float, float, float]:
    places = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        counts = mask.sum(axis=others)
        places.append(float(counts @ np.arange(counts.size) / counts.sum()))
    return places[0], places[1], places[2]


def look_at(scene: Any, point: Point) -> None:
    """Centre every slice view of a scene on a RAS point and put the crosshair there."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *point, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*point)
