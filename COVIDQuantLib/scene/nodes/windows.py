"""The windows in which a chest CT is read: lung, mediastinum, bone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from COVIDQuantLib.scene.nodes.result_links import nodes_of_class

# On a display node: a CT was opened in the lung window once; what the reader sets afterwards stays.
_OPENED = "COVIDQuant.window"


@dataclass(frozen=True)
class Window:
    """A window of CT numbers.

    Attributes:
        name: what it shows.
        width_hu: range from black to white.
        level_hu: its middle.
        key: on the keyboard.
    """

    name: str
    width_hu: float
    level_hu: float
    key: str


LUNG = Window("lung", 1500.0, -600.0, "1")
WINDOWS = (LUNG, Window("mediastinum", 400.0, 40.0, "2"), Window("bone", 1800.0, 400.0, "3"))


def apply_window(volume: Any, window: Window) -> None:
    """Show a volume node in a window, if it has a display node."""
    display = volume.GetDisplayNode()
    if display is None:
        return
    was_modifying = display.StartModify()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(window.width_hu, window.level_hu)
    display.EndModify(was_modifying)


def open_in_lung_window(volume: Any) -> None:
    """Show a CT in the lung window the first time that it is chosen; saved with the scene."""
    display = volume.GetDisplayNode()
    if display is None:
        volume.CreateDefaultDisplayNodes()
        display = volume.GetDisplayNode()
    if display is not None and not display.GetAttribute(_OPENED):
        display.SetAttribute(_OPENED, LUNG.name)
        apply_window(volume, LUNG)


def apply_to_shown(scene: Any, window: Window, also: Iterable[Any] = ()) -> None:
    """Show every CT in the background of a slice view in a window.

    Args:
        scene: the vtkMRMLScene.
        window: the window.
        also: other CTs.
    """
    ids = {node.GetBackgroundVolumeID() for node in nodes_of_class(scene, "vtkMRMLSliceCompositeNode")}
    volumes = [scene.GetNodeByID(node_id) for node_id in sorted(filter(None, ids))]
    for volume in (*volumes, *also):
        # Label maps and colour images have no window.
        if volume is not None and volume.GetClassName() == "vtkMRMLScalarVolumeNode":
            apply_window(volume, window)
