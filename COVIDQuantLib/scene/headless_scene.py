"""An MRML scene without the Slicer application: command line, batch, tests with slicer-core."""

from __future__ import annotations

import tempfile

import slicer


class HeadlessScene:
    """A scene with the module logics that segmentations need, kept alive together.

    In desktop Slicer the application has all of this; use ``slicer.mrmlScene`` there.

    Attributes:
        scene: the vtkMRMLScene.
        segmentations: the vtkSlicerSegmentationsModuleLogic; it registers the conversions between
            representations, without which Slicer cannot even create an empty segment.
    """

    def __init__(self) -> None:
        self.scene = slicer.vtkMRMLScene()
        # Scene bundles (.mrb) are unpacked into the cache folder.
        self._unpacked = tempfile.TemporaryDirectory(prefix="covidquant-scene-")
        cache = slicer.vtkCacheManager()
        cache.SetRemoteCacheDirectory(self._unpacked.name)
        data = slicer.vtkDataIOManager()
        data.SetCacheManager(cache)
        self.scene.SetCacheManager(cache)
        self.scene.SetDataIOManager(data)
        self._application = slicer.vtkSlicerApplicationLogic()
        self._application.SetMRMLScene(self.scene)
        self.segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
        self.segmentations.SetMRMLApplicationLogic(self._application)
        self.segmentations.SetMRMLScene(self.scene)
        self._volumes = slicer.vtkSlicerVolumesLogic()
        self._volumes.SetMRMLApplicationLogic(self._application)
        self._volumes.SetMRMLScene(self.scene)
        self._colours = slicer.vtkMRMLColorLogic()
        self._colours.SetMRMLScene(self.scene)
        # In Slicer the module Colors does this.
        self.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
