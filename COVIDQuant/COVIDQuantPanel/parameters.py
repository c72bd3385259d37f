"""The reader's settings; saved with the scene."""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper

METHODS = ("network", "model-free")
DEVICES = ("auto", "cpu", "cuda", "mps")


@parameterNodeWrapper
class COVIDQuantParameterNode:
    """The settings of one scene.

    inputVolume - The chest CT.
    segmentation - The segmentation whose figures are shown.
    method - How lungs, lobes and pneumonia are found.
    device - Where the networks run.
    lobesModel, lesionsModel - Model bundles by name; empty for the defaults.
    lobesFrom - A segmentation whose lobes are used.
    columns - Figures that the table shows; empty for the defaults.
    densityColours, surfaces, rendering - How the pneumonia is shown.
    keepInChest - Whether what is painted as lobe outside the chest is left out.
    exportFolder, exports - Where and what to export; empty exports means the defaults.

    Thresholds, statuses, findings and the AI result are stored with each segmentation, not here.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    method: Annotated[str, Choice(METHODS)] = "network"
    device: Annotated[str, Choice(DEVICES)] = "auto"
    lobesModel: str = ""
    lesionsModel: str = ""
    lobesFrom: vtkMRMLSegmentationNode
    columns: list[str]
    densityColours: bool = False
    surfaces: bool = False
    rendering: bool = False
    keepInChest: bool = True
    exportFolder: str = ""
    exports: list[str]
