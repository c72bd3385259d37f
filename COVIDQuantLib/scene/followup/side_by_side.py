"""Two exams side by side in the slice views, the earlier one in the later one's space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from COVIDQuantLib.scene.followup.kept import KeptComparison
from COVIDQuantLib.scene.followup.layouts import (
    AFTER,
    BEFORE,
    VIEWS,
    composite_nodes,
    slice_nodes,
)
from COVIDQuantLib.scene.nodes.result_links import nodes_of_class

# On a display node: which of its settings were changed for the layout.
_CHANGED = "COVIDQuant.followup.views"
_SHOWN = "shown"


def show_pair(kept: KeptComparison, earlier: int, *, outline: bool) -> None:
    """Fill the views of the layout with an exam and the next one.

    The views of one orientation are linked by Slicer. Segments of the later exam are shown in its own views only.

    Args:
        kept: the comparison.
        earlier: number of the earlier exam.
        outline: whether the outline of the earlier exam's pneumonia is shown, in both.
    """
    scene = kept.node.GetScene()
    shown = {BEFORE: kept.moved_volume(earlier), AFTER: kept.volume(earlier + 1)}
    composites = composite_nodes(scene)
    for view in VIEWS:
        composite = composites.get(view.name)
        if composite is None:
            continue
        volume = shown[view.side]
        composite.SetBackgroundVolumeID(None if volume is None else volume.GetID())
        if view.side == BEFORE:
            # Colours of the later exam's density would lie over the earlier one.
            composite.SetForegroundVolumeID(None)
            composite.SetLabelVolumeID(None)
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)
    _keep_results_apart(kept, earlier + 1)
    show_outline(kept, earlier, visible=outline)


def show_outline(kept: KeptComparison, earlier: int, *, visible: bool) -> None:
    """Show or hide the outline of an exam's pneumonia in the space of the next; those of others are hidden."""
    for exam in range(1, kept.count):
        node = kept.outline(exam)
        display = None if node is None else node.GetDisplayNode()
        if display is not None and bool(display.GetVisibility()) != (visible and exam == earlier):
            display.SetVisibility(visible and exam == earlier)


def release_views(scene: Any) -> None:
    """Show results in every view again, and hide the outlines of earlier exams."""
    for display in _displays(scene):
        changed = display.GetAttribute(_CHANGED)
        if not changed:
            continue
        display.SetAttribute(_CHANGED, None)
        display.RemoveAllViewNodeIDs()
        if changed == _SHOWN:
            display.SetVisibility(False)


def _keep_results_apart(kept: KeptComparison, later: int) -> None:
    """The later exam's result in its own views and in those of other layouts; other results not in ours."""
    scene = kept.node.GetScene()
    release_views(scene)
    ours = {node.GetID(): view_side(name) for name, node in slice_nodes(scene).items() if view_side(name)}
    if not ours:
        return
    outlines = [kept.outline(exam) for exam in range(1, kept.count)]
    result = kept.segmentation(later)
    for segmentation in nodes_of_class(scene, "vtkMRMLSegmentationNode"):
        display = segmentation.GetDisplayNode()
        if display is None or segmentation in outlines:
            continue
        is_result = segmentation is result
        was_visible = bool(display.GetVisibility())
        if not (is_result or was_visible):
            continue
        display.SetAttribute(_CHANGED, "limited" if was_visible else _SHOWN)
        for view_id in _view_ids(scene):
            if view_id not in ours or (is_result and ours[view_id] == AFTER):
                display.AddViewNodeID(view_id)
        display.SetVisibility(True)


def view_side(name: str) -> str:
    """Which exam a view of a layout name shows; empty if it is none of the layout's."""
    return next((view.side for view in VIEWS if view.name == name), "")


def _view_ids(scene: Any) -> list[str]:
    return [node.GetID() for node in nodes_of_class(scene, "vtkMRMLAbstractViewNode")]


def _displays(scene: Any) -> Iterator[Any]:
    return nodes_of_class(scene, "vtkMRMLSegmentationDisplayNode")


def align_views(scene: Any, side: str) -> None:
    """Let the views of one exam look where those of the other one look, at the same magnification.

    Args:
        scene: the vtkMRMLScene.
        side: the exam whose views are followed, :data:`AFTER` or :data:`BEFORE`.
    """
    nodes = slice_nodes(scene)
    for view in VIEWS:
        if view.side == side:
            continue
        other = next(one for one in VIEWS if one.side == side and one.orientation == view.orientation)
        own, followed = nodes.get(view.name), nodes.get(other.name)
        if own is None or followed is None:
            continue
        own.GetSliceToRAS().DeepCopy(followed.GetSliceToRAS())
        x, y, z = followed.GetFieldOfView()
        own.SetFieldOfView(x, y, z)
        own.UpdateMatrices()


def point_of_lesion(lesion: dict[str, Any]) -> tuple[float, float, float]:
    """Where a lesion of a comparison's record lies in the later exam, RAS, mm; of a resolved one, where it was."""
    x, y, z = lesion["followup_centre_lps_mm"]
    return -float(x), -float(y), float(z)
