"""The layouts of two exams side by side, as Slicer's layout manager reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import slicer

from COVIDQuantLib.scene.nodes.result_links import nodes_of_class

# Beyond those of Slicer and the numbers that its documentation gives as examples.
SIDE_BY_SIDE, WITH_CHART = 7310, 7311
_FIRST_GROUP = 7310
BEFORE, AFTER = "before", "after"
_PLOT = "PlotView1"


@dataclass(frozen=True)
class SliceView:
    """A slice view of one of the two exams.

    Attributes:
        name: the singleton tag of its nodes.
        side: :data:`BEFORE` or :data:`AFTER`.
        orientation: as Slicer calls it.
        label: shown in the view's bar.
        colour: of the bar.
    """

    name: str
    side: str
    orientation: str
    label: str
    colour: str

    @property
    def group(self) -> int:
        """Views of one orientation are linked with each other and with no other view."""
        return _FIRST_GROUP + _ORIENTATIONS.index(self.orientation)


_ORIENTATIONS = ("Axial", "Coronal")
# The colour of the earlier exam's outline, and that of the pneumonia.
_COLOURS = {BEFORE: "#56B4E9", AFTER: "#E64D1A"}
VIEWS = tuple(
    SliceView(f"COVIDQuant{side.title()}{orientation}", side, orientation, f"{side} {orientation[0]}", _COLOURS[side])
    for orientation in _ORIENTATIONS
    for side in (BEFORE, AFTER)
)


def register_layouts(layout: Any) -> None:
    """Make the layouts known to a vtkMRMLLayoutNode, before a scene that uses them is loaded."""
    for number, description in ((SIDE_BY_SIDE, _rows()), (WITH_CHART, _rows(_chart()))):
        if not layout.IsLayoutDescription(number):
            layout.AddLayoutDescription(number, description)


def is_ours(arrangement: int) -> bool:
    """Whether an arrangement shows two exams side by side."""
    return arrangement in {SIDE_BY_SIDE, WITH_CHART}


def layout_node(scene: Any) -> Any:
    """The vtkMRMLLayoutNode of a scene; None outside the application."""
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def arrange(scene: Any, arrangement: int) -> int | None:
    """Switch to an arrangement of views.

    Returns:
        The one before; None if nothing was switched.
    """
    layout = layout_node(scene)
    if layout is None:
        return None
    register_layouts(layout)
    before = int(layout.GetViewArrangement())
    if before == arrangement:
        return None
    layout.SetViewArrangement(arrangement)
    return before


def usual_arrangement() -> int:
    """Slicer's own arrangement of four views."""
    return int(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def slice_nodes(scene: Any) -> dict[str, Any]:
    """The vtkMRMLSliceNode of each view that exists, by name."""
    return _by_layout_name(scene, "vtkMRMLSliceNode")


def composite_nodes(scene: Any) -> dict[str, Any]:
    """The vtkMRMLSliceCompositeNode of each view that exists, by name."""
    return _by_layout_name(scene, "vtkMRMLSliceCompositeNode")


def _by_layout_name(scene: Any, kind: str) -> dict[str, Any]:
    return {node.GetLayoutName(): node for node in nodes_of_class(scene, kind)}


def _rows(last: str = "") -> str:
    rows = [_row([_slice(view) for view in VIEWS if view.orientation == kind]) for kind in _ORIENTATIONS]
    items = "".join(f"<item>{row}</item>" for row in [*rows, *([last] if last else [])])
    return f'<layout type="vertical" split="true">{items}</layout>'


def _row(views: list[str]) -> str:
    return '<layout type="horizontal">' + "".join(f"<item>{view}</item>" for view in views) + "</layout>"


def _slice(view: SliceView) -> str:
    properties = {
        "orientation": view.orientation,
        "viewlabel": view.label,
        "viewcolor": view.colour,
        "viewgroup": str(view.group),
    }
    return _view("vtkMRMLSliceNode", view.name, properties)


def _chart() -> str:
    return _view("vtkMRMLPlotViewNode", _PLOT, {"viewlabel": "P"})


def _view(kind: str, tag: str, properties: dict[str, str]) -> str:
    lines = "".join(f'<property name="{k}" action="default">{escape(v)}</property>' for k, v in properties.items())
    return f'<view class="{kind}" singletontag="{tag}">{lines}</view>'
