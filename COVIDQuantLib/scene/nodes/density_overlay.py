"""The pneumonia coloured by density, cold to warm: a volume of colour numbers that follows every edit.

One byte a voxel: 0 is no pneumonia and transparent, 1..255 are CT numbers in steps of five HU. Thresholds change only
the colours of the numbers. The same volume is what is volume-rendered.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from COVIDQuantLib.export.sheet.colours import lesion_rgb
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.result_links import companion
from COVIDQuantLib.scene.nodes.volumes import array_of_image, image_of_array, voxels_of, whole_hu
from COVIDQuantLib.voxels.box import Box, in_threads

DENSITY_ROLE = "COVIDQuant.density"
_COLOURS_ROLE = "COVIDQuant.density.colours"
_FIRST_HU, _STEP_HU, _COLOURS = -1024, 5, 255
# Opacity of a millimetre when rendered: consolidation is to be seen through the ground glass around it.
_THIN, _DENSE = 0.04, 0.3


def colour_numbers(hu: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    """Colour numbers of voxels: 0 outside the pneumonia, else 1..255 by density.

    Args:
        hu: whole Hounsfield units ``[k, j, i]``.
        lesions: bool, same shape.

    Returns:
        uint8, same shape.
    """
    numbers = np.clip((hu.astype(np.int32) - _FIRST_HU) // _STEP_HU, 0, _COLOURS - 1) + 1
    return np.where(lesions, numbers, 0).astype(np.uint8)


def hu_of_colour(number: int) -> float:
    """The middle of the CT numbers that share a colour number."""
    return _FIRST_HU + _STEP_HU * (number - 0.5)


class DensityOverlay:
    """The density volume of one segmentation, made when it is first shown.

    It is not saved with the scene: it follows from CT and segments.

    Args:
        live: the figures whose counted labels it shows.
    """

    def __init__(self, live: LiveQuantification) -> None:
        self._live = live
        self._thresholds: Thresholds | None = None
        name = f"{live.segmentation.GetName()} density"
        self.volume = companion(live.segmentation, DENSITY_ROLE, "vtkMRMLScalarVolumeNode", name)
        self.colours = companion(live.segmentation, _COLOURS_ROLE, "vtkMRMLColorTableNode", f"{name} colours")
        self._prepare()
        self.recolour()

    def update(self) -> None:
        """Take in what the last update of the figures changed; nothing outside the changed boxes is looked at."""
        numbers = array_of_image(self.volume.GetImageData())
        if numbers.shape != voxels_of(self._live.volume).shape:
            self._prepare()
            return
        boxes = self._live.changed_boxes
        for box in boxes:
            in_threads(lambda part: self._fill(numbers, part), box)
        if boxes:
            self._tell()

    def recolour(self) -> None:
        """Colour by the thresholds in force; no voxel is looked at."""
        if self._thresholds == self._live.thresholds:
            return
        self._thresholds = self._live.thresholds
        numbers = np.arange(1, _COLOURS + 1)
        rgb = lesion_rgb(_FIRST_HU + _STEP_HU * (numbers - 0.5), self._thresholds)
        table = self.colours.GetLookupTable()
        for number, (red, green, blue) in zip(numbers, rgb, strict=True):
            table.SetTableValue(int(number), red, green, blue, 1.0)
        table.Modified()
        self.colours.Modified()

    def rendering_functions(self) -> tuple[Any, Any]:
        """How the volume is rendered in three dimensions: what is no pneumonia is clear, the rest has its colour.

        Returns:
            A vtkColorTransferFunction and a vtkPiecewiseFunction of opacity, over colour numbers.
        """
        colour, opacity = vtk.vtkColorTransferFunction(), vtk.vtkPiecewiseFunction()
        table = self.colours.GetLookupTable()
        for number in range(1, _COLOURS + 1):
            red, green, blue, _ = table.GetTableValue(number)
            colour.AddRGBPoint(number, red, green, blue)
        step = (self._live.thresholds.consolidation_hu - _FIRST_HU) / _STEP_HU
        for position, alpha in (
            (0.5, 0.0),
            (1.0, _THIN),
            (step, _THIN),
            (step + 1.0, _DENSE),
            (float(_COLOURS), _DENSE),
        ):
            opacity.AddPoint(position, alpha)
        return colour, opacity

    def _prepare(self) -> None:
        live, volume = self._live, self.volume
        k, j, i = voxels_of(live.volume).shape
        numbers, whole = np.zeros((k, j, i), np.uint8), Box.of_shape((k, j, i))
        in_threads(lambda part: self._fill(numbers, part), whole)
        volume.SetSaveWithScene(False)
        # It is no CT that could be chosen.
        volume.SetHideFromEditors(True)
        self.colours.SetSaveWithScene(False)
        matrix = vtk.vtkMatrix4x4()
        live.volume.GetIJKToRASMatrix(matrix)
        volume.SetIJKToRASMatrix(matrix)
        volume.SetAndObserveTransformNodeID(live.volume.GetTransformNodeID())
        volume.SetAndObserveImageData(image_of_array(numbers))
        self._prepare_colours()
        volume.CreateDefaultDisplayNodes()
        display = volume.GetDisplayNode()
        if display is None:
            return
        display.SetSaveWithScene(False)
        display.SetAndObserveColorNodeID(self.colours.GetID())
        display.AutoWindowLevelOff()
        # Colour number n is entry n of the table.
        display.SetWindowLevel(_COLOURS, _COLOURS / 2)
        display.SetInterpolate(False)
        display.AutoThresholdOff()
        display.SetThreshold(1, _COLOURS)
        display.SetApplyThreshold(True)

    def _prepare_colours(self) -> None:
        if self.colours.GetNumberOfColors() == _COLOURS + 1:
            return
        self.colours.SetTypeToUser()
        self.colours.SetHideFromEditors(True)
        self.colours.SetNumberOfColors(_COLOURS + 1)
        table = self.colours.GetLookupTable()
        table.SetRange(0, _COLOURS)
        table.SetTableValue(0, 0.0, 0.0, 0.0, 0.0)

    def _fill(self, numbers: np.ndarray, box: Box) -> None:
        _, lesions = self._live.labels(box)
        if not lesions.any():
            numbers[box.slices] = 0
            return
        hu, padding = whole_hu(voxels_of(self._live.volume)[box.slices])
        if padding is not None:
            lesions &= ~padding
        numbers[box.slices] = colour_numbers(hu, lesions)

    def _tell(self) -> None:
        image = self.volume.GetImageData()
        image.GetPointData().GetScalars().Modified()
        image.Modified()
