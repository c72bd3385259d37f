"""Lobes that another extension or a reader has segmented, taken as given."""

from __future__ import annotations

from typing import Any

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.pipeline import GivenMasks
from COVIDQuantLib.scene.nodes.segmentations import segmentation_of_node
from COVIDQuantLib.scene.nodes.segments import roles_of


def given_lobes(segmentation: Any, volume: Any) -> tuple[GivenMasks, list[CTWarning]]:
    """The lobes of a segmentation node, to be used on a CT instead of finding them.

    Segments are known by ID or by terminology, as TotalSegmentator writes it; others in the node do not matter.

    Args:
        segmentation: vtkMRMLSegmentationNode with all five lobes.
        volume: the CT's vtkMRMLScalarVolumeNode.

    Returns:
        The masks on the CT's grid, and what the reader should know: overlap, segments off the grid or beyond the CT.

    Raises:
        UnfitInputError: a lobe is missing, or the segments cannot be read.
    """
    name = segmentation.GetName()
    roles = set(roles_of(segmentation.GetSegmentation()).values())
    missing = [lobe.name for lobe in LOBES if lobe.label not in roles]
    if missing:
        what = f"no segment is known as {', '.join(missing)}"
        raise UnfitInputError(what, name, "Give each lobe its terminology (Lower lobe of lung, Left, ...).")
    result = segmentation_of_node(segmentation, volume)
    return GivenMasks(lobes=result.lobes, sources={"lobes": name}), result.warnings
