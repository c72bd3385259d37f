"""The change map as a node: a label map in the later exam's space with its colours and a colour legend."""

from __future__ import annotations

from typing import Any

from COVIDQuantLib.followup.lesions.change_map import CHANGE_COLOURS, CHANGE_LABELS
from COVIDQuantLib.followup.lesions.pair_job import PlacedMask
from COVIDQuantLib.scene.nodes.node_geometry import as_vtk, ras_matrix
from COVIDQuantLib.scene.nodes.volumes import image_of_array

LEGEND_TITLE = "Since {day}"
# On the label map.
MAP_ATTRIBUTE = "COVIDQuant.followup.change"
_LEGEND_CLASS = "vtkMRMLColorLegendDisplayNode"
# Of the view: the legend's height and width, and its place at the right edge.
_LEGEND_SIZE, _LEGEND_PLACE = (0.2, 0.25), (0.98, 0.3)


def fill_change_colours(colours: Any) -> None:
    """The colours and names of a change map's labels in a vtkMRMLColorTableNode; label 0 is transparent."""
    colours.SetTypeToUser()
    colours.SetNumberOfColors(max(CHANGE_LABELS) + 1)
    # The legend leaves out colours without a name.
    colours.SetColor(0, "", 0.0, 0.0, 0.0, 0.0)
    for value, name in CHANGE_LABELS.items():
        red, green, blue = (int(CHANGE_COLOURS[value][place : place + 2], 16) / 255 for place in (1, 3, 5))
        colours.SetColor(value, name, red, green, blue, 1.0)


def fill_change_map(node: Any, changes: PlacedMask, colours: Any, title: str) -> None:
    """Fill a vtkMRMLLabelMapVolumeNode with a change map, and give it a colour legend.

    Args:
        node: the node.
        changes: label values of ``CHANGE_LABELS``, and where they lie.
        colours: the vtkMRMLColorTableNode of :func:`fill_change_colours`.
        title: of the legend.
    """
    node.SetAttribute(MAP_ATTRIBUTE, "1")
    node.SetIJKToRASMatrix(as_vtk(ras_matrix(changes.geometry)))
    node.SetAndObserveImageData(image_of_array(changes.voxels))
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colours.GetID())
    legend = legend_of(node)
    if legend is None:
        legend = node.GetScene().AddNewNodeByClass(_LEGEND_CLASS)
        node.AddAndObserveDisplayNodeID(legend.GetID())
    legend.SetAndObserveColorNodeID(colours.GetID())
    legend.SetAndObservePrimaryDisplayNode(display)
    legend.SetTitleText(title)
    legend.SetUseColorNamesForLabels(True)
    legend.SetSize(*_LEGEND_SIZE)
    legend.SetPosition(*_LEGEND_PLACE)
    # It is drawn where its map is.
    legend.SetVisibility(True)


def legend_of(node: Any) -> Any:
    """The colour legend of a change map; None if it has none."""
    shown = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    return next((one for one in shown if one is not None and one.IsA(_LEGEND_CLASS)), None)
