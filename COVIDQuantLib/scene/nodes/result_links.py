"""Which segmentation belongs to which CT: several CTs in one scene keep their results apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Roles of the references between a segmentation, its CT and its table; saved with the scene.
TABLE_ROLE = "COVIDQuant.table"
SEGMENTATION_ROLE = "COVIDQuant.segmentation"
VOLUME_ROLE = "COVIDQuant.volume"


def volume_of(segmentation: Any) -> Any:
    """The CT that a segmentation's figures are of; None if it has none (any more)."""
    return segmentation.GetNodeReference(VOLUME_ROLE)


def was_followed(segmentation: Any) -> bool:
    """Whether a segmentation has had figures."""
    return segmentation.GetNodeReference(TABLE_ROLE) is not None


def results_of(volume: Any) -> list[Any]:
    """The segmentations that were made or followed on a CT, oldest first."""
    scene = volume.GetScene()
    if scene is None:
        return []
    return [node for node in nodes_of_class(scene, "vtkMRMLSegmentationNode") if volume_of(node) is volume]


def latest_result(volume: Any) -> Any:
    """The newest segmentation of a CT; None if there is none."""
    results = results_of(volume)
    return results[-1] if results else None


def nodes_of_class(scene: Any, kind: str) -> Iterator[Any]:
    """The nodes of a class in a scene, in their order."""
    for index in range(scene.GetNumberOfNodesByClass(kind)):
        yield scene.GetNthNodeByClass(index, kind)


def link(node: Any, role: str, target: Any) -> None:
    """Refer from a node to another, unless it does already: each change is an event."""
    if node.GetNodeReferenceID(role) != target.GetID():
        node.SetNodeReferenceID(role, target.GetID())


def companion(owner: Any, role: str, kind: str, name: str) -> Any:
    """The node that an owner keeps for a purpose; made if it is not there.

    Args:
        owner: a node in a scene.
        role: of the reference from the owner.
        kind: class of the companion.
        name: of a new one; numbered if the scene has it already.
    """
    there = owner.GetNodeReference(role)
    if there is not None:
        return there
    scene = owner.GetScene()
    node = scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(name))
    owner.SetNodeReferenceID(role, node.GetID())
    return node
