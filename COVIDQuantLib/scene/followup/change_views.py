"""A change map shown over the slices, in the views' label layer.

Segments are drawn over that layer, so the results' own fill is taken away while a map is shown: two translucent colours
would mix to one that stands in no legend.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from COVIDQuantLib.scene.followup.change_nodes import MAP_ATTRIBUTE
from COVIDQuantLib.scene.followup.kept import KeptComparison
from COVIDQuantLib.scene.followup.layouts import composite_nodes
from COVIDQuantLib.scene.nodes.result_links import nodes_of_class

# On a segmentation's display node whose fill was taken away.
_FILLED = "COVIDQuant.followup.filled"
_OPACITY = 0.6


def show_change_map(kept: KeptComparison, before: int, after: int) -> bool:
    """Show a change map in the views whose CT lies in its space, and no other change map.

    Args:
        kept: the comparison.
        before: number of the earlier exam.
        after: number of the later one.

    Returns:
        Whether there is such a map and any view shows it now.
    """
    scene, node = kept.node.GetScene(), kept.change_map(before, after)
    if node is None:
        hide_change_maps(scene)
        return False
    volumes = [kept.volume(after), kept.moved_copy(before) if after == before + 1 else None]
    ids = {volume.GetID() for volume in volumes if volume is not None}
    over = {name for name, one in composite_nodes(scene).items() if one.GetBackgroundVolumeID() in ids}
    _show_only(scene, node, over)
    if over:
        _take_fill_away(kept)
    return bool(over)


def hide_change_maps(scene: Any) -> None:
    """Hide all change maps, and show the results as before."""
    _show_only(scene, None, set())


def shows_change_map(kept: KeptComparison) -> bool:
    """Whether any view shows a change map of a comparison, as after a scene was loaded."""
    ours = {node.GetID() for node in kept.change_maps()}
    return any(one.GetLabelVolumeID() in ours for one in composite_nodes(kept.node.GetScene()).values())


def _show_only(scene: Any, node: Any, names: Collection[str]) -> None:
    """Show a change map in the views of these names and in no other; elsewhere what the reader chose stays."""
    for name, composite in composite_nodes(scene).items():
        shown = scene.GetNodeByID(composite.GetLabelVolumeID() or "")
        if name in names:
            composite.SetLabelVolumeID(node.GetID())
            composite.SetLabelOpacity(_OPACITY)
        elif shown is not None and shown.GetAttribute(MAP_ATTRIBUTE):
            composite.SetLabelVolumeID(None)
    if not names:
        for display in nodes_of_class(scene, "vtkMRMLSegmentationDisplayNode"):
            if display.GetAttribute(_FILLED):
                display.SetAttribute(_FILLED, None)
                display.SetVisibility2DFill(True)


def _take_fill_away(kept: KeptComparison) -> None:
    for exam in range(1, kept.count + 1):
        result = kept.segmentation(exam)
        display = None if result is None else result.GetDisplayNode()
        if display is not None and display.GetVisibility2DFill():
            display.SetAttribute(_FILLED, "1")
            display.SetVisibility2DFill(False)
