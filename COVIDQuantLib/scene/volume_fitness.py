"""A quick check whether a volume node can be quantified, shown beside the selector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from COVIDQuantLib.ct.volume import MIN_SLICES
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.nodes.volumes import voxels_of


@dataclass(frozen=True)
class Fitness:
    """The result of the quick check; the full checks of a CT are part of its quantification.

    Attributes:
        text: why it is refused, or its size; empty without a volume.
        refused: whether it cannot be quantified.
        megavoxels: millions of voxels; None if it has none.
    """

    text: str
    refused: bool
    megavoxels: float | None = None


def look_at_volume(volume: Any) -> Fitness:
    """Check a vtkMRMLScalarVolumeNode, or None."""
    if volume is None:
        return Fitness("", refused=False)
    try:
        return refuse_unfit(volume)
    except UnfitInputError as error:
        return Fitness(error.line(), refused=True)


def refuse_unfit(volume: Any) -> Fitness:
    """The same, with a refusal as an error.

    Raises:
        UnfitInputError: it cannot be quantified; says why.
    """
    name = volume.GetName()
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        raise UnfitInputError("this is a label map, not a CT", name, "Choose the CT itself.")
    voxels = voxels_of(volume)
    shape = voxels.shape
    spacing = geometry_of(volume).spacing
    if shape[0] < MIN_SLICES:
        raise UnfitInputError(f"only {shape[0]} slices, at least {MIN_SLICES} are needed", name)
    # A CT has air in its first slice; VTK's range would visit every voxel, which takes a second for a large CT.
    if not any((part < 0).any() for part in voxels):
        low, high = volume.GetImageData().GetScalarRange()
        raise UnfitInputError(f"not Hounsfield units: values run from {low:g} to {high:g}", name, "Choose a CT.")
    size = " × ".join(str(n) for n in reversed(shape))
    text = f"{size} voxels of {' × '.join(f'{mm:.3g}' for mm in spacing)} mm"
    return Fitness(text, refused=False, megavoxels=shape[0] * shape[1] * shape[2] / 1e6)
