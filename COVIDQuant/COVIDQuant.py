"""The Slicer module: choose a CT, quantify it, review it, and see the figures follow every edit of the segments.

Computation and node handling are in COVIDQuantLib; the panel is in COVIDQuantPanel. This file has the classes that
Slicer looks for: the module, its widget, its logic and its test.
"""

import sys
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# The panel is beside this file, and so is the library when installed; in the source tree it is one folder up.
_HERE = Path(__file__).resolve().parent
for _folder, _package in ((_HERE, "COVIDQuantPanel"), (_HERE, "COVIDQuantLib"), (_HERE.parent, "COVIDQuantLib")):
    if (_folder / _package / "__init__.py").is_file() and str(_folder) not in sys.path:
        sys.path.append(str(_folder))
# Priority of an observer that must be called before others.
_FIRST = 100.0
_OURS = ("COVIDQuantPanel", "COVIDQuantLib")


class COVIDQuant(ScriptedLoadableModule):
    """What Slicer shows about the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("COVIDQuant")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["Segmentations", "SegmentEditor", "Terminologies", "Tables", "Plots"]
        self.parent.contributors = ["COVIDQuant contributors"]
        self.parent.helpText = _(
            "Finds the five lobes and the pneumonia on a chest CT and quantifies them. The segments can be edited; the "
            "figures follow. <b>Not a medical device.</b> See the "
            '<a href="https://github.com/COVIDQuant/COVIDQuant">documentation</a>.'
        )
        self.parent.acknowledgementText = _(
            "The measures are those of four published systems; docs/definitions.md names them."
        )
        # Other modules may not be loaded yet.
        slicer.app.connect("startupCompleted()", _register)


def _register():
    """Register the sample CT and the measures with Slicer's own modules."""
    from COVIDQuantPanel import sample, statistics_plugin

    from COVIDQuantLib.scene.followup.layouts import layout_node, register_layouts

    sample.register()
    statistics_plugin.register()
    # Before a scene that uses them is loaded.
    layout = layout_node(slicer.mrmlScene)
    if layout is not None:
        register_layouts(layout)


class COVIDQuantWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module widget, which Slicer opens, leaves and reloads."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None

    def setup(self):
        """Build the panel when it is first opened."""
        from COVIDQuantPanel.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = COVIDQuantLogic()
        self.logic.loadTerminologies()
        self.panel = Panel(self.layout, self.logic, self)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneChanged)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneChanged)
        # Before the panel's selectors switch to another node of the same class.
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeLeaves, priority=_FIRST)
        # Slicer does not enter a module that is reloaded while it is shown.
        self.onSceneChanged(None, None)

    def cleanup(self):
        """Release everything when Slicer closes or the module is reloaded."""
        if self.panel is not None:
            self.panel.quit()
            self.panel = None
        self.removeObservers()

    def enter(self):
        """Called each time the reader opens the module."""
        self.panel.enter()

    def exit(self):
        """Called each time the reader leaves the module; a running job and the figures continue."""
        self.panel.exit()

    def onSceneStartClose(self, _caller, _event):
        """Release the nodes before they are removed."""
        self.panel.close()

    def onSceneChanged(self, _caller, _event):
        """Start anew, or show what was loaded, if the module is open."""
        if self.parent.isEntered:
            self.panel.enter()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeLeaves(self, _caller, _event, node):
        """Deselect a node that is being removed."""
        self.panel.drop(node)

    def onReload(self):
        """Reload the panel and the library too, for development."""
        self.cleanup()
        for name in [name for name in sys.modules if name.split(".")[0] in _OURS]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class COVIDQuantLogic(ScriptedLoadableModuleLogic):
    """Quantification of nodes, with or without the panel; see docs/scripting.md."""

    def getParameterNode(self):
        """The reader's choices."""
        from COVIDQuantPanel.parameters import COVIDQuantParameterNode

        return COVIDQuantParameterNode(super().getParameterNode())

    def loadTerminologies(self):
        """Load the codes of lobes and pneumonia into Slicer's terminology selector."""
        from COVIDQuantLib.resources import resource_path

        for path in sorted(resource_path("Terminologies").glob("*.term.json")):
            slicer.modules.terminologies.logic().LoadTerminologyFromFile(str(path))

    def quantify(self, volume, plan=None, lobesFrom=None, progress=None):
        """Find lobes and pneumonia on a CT and compute the figures; returns when done.

        Args:
            volume: vtkMRMLScalarVolumeNode in HU.
            plan: ``COVIDQuantLib.pipeline.Plan``: method, device, models; None for networks if they are installed.
            lobesFrom: a vtkMRMLSegmentationNode whose lobes are used; None to find them.
            progress: called regularly with a ``ProgressState``; may raise ``Cancelled``.

        Returns:
            The new vtkMRMLSegmentationNode and the vtkMRMLTableNode of its figures.

        Raises:
            COVIDQuantError: the CT cannot be quantified; says why.
        """
        from COVIDQuantLib.pipeline import plan_for_here
        from COVIDQuantLib.progress import StagedProgress
        from COVIDQuantLib.scene.quantification_job import quantify_volume

        staged = StagedProgress((plan or plan_for_here()[0]).stages, progress) if progress else None
        segmentation = quantify_volume(volume, self.resultName(volume), staged, plan, lobesFrom)
        reading = self.follow(volume, segmentation)
        table = reading.live.table
        reading.close()
        return segmentation, table

    def follow(self, volume, segmentation, wake=None, counts=None):
        """Figures that follow every edit of a segmentation: those saved with it, or new ones.

        Args:
            volume: vtkMRMLScalarVolumeNode for a segmentation that has no CT of its own; may be None.
            segmentation: vtkMRMLSegmentationNode.
            wake: called when the figures are out of date; should arrange for ``update()`` to be called soon.
            counts: of the segments as they are, if they are known; saves a pass over the voxels.

        Returns:
            A ``COVIDQuantLib.scene.reading_session.Reading``; close it when it is no longer needed.

        Raises:
            COVIDQuantError: there is no CT, or the segments cannot be counted.
        """
        from COVIDQuantLib.scene.reading_session import Reading

        return Reading(volume, segmentation, wake, counts)

    def export(self, segmentation, folder, what=("segmentation", "metrics")):
        """Write the files of a segmentation that has figures.

        Args:
            segmentation: vtkMRMLSegmentationNode.
            folder: created if missing; earlier files of the same names are replaced.
            what: names of ``COVIDQuantLib.export.exam_files.EXPORTS``.

        Returns:
            The files.

        Raises:
            COVIDQuantError: they cannot be written; the folder is unchanged.
        """
        from COVIDQuantLib.scene.export.node_exam import export_reading

        reading = self.follow(None, segmentation)
        try:
            return export_reading(reading, Path(folder), what)
        finally:
            reading.close()

    def makeSample(self, settings=None):
        """A simulated chest CT as a new volume node; settings are those of ``COVIDQuantLib.simulation.phantom``."""
        from COVIDQuantPanel.sample import make_sample

        return make_sample(settings)

    def makeRun(self):
        """A quantification in a background process, to be polled."""
        from COVIDQuantLib.scene.quantification_run import QuantifyRun
        from COVIDQuantLib.worker.worker import Worker

        return QuantifyRun(lambda: Worker(slicer.util.startupEnvironment()))

    def startRun(self, run, parameters):
        """Start a run with the settings of the parameter node.

        Raises:
            COVIDQuantError: the choices contradict each other, or the CT cannot be quantified; says why.
        """
        volume = parameters.inputVolume
        run.start(volume, self.resultName(volume), self.plan(parameters), parameters.lobesFrom)

    def plan(self, parameters):
        """The pipeline's plan for the reader's choices."""
        from COVIDQuantLib.pipeline import NETWORK, Plan

        if parameters.method != NETWORK:
            return Plan(parameters.method)
        return Plan(NETWORK, parameters.device, parameters.lobesModel or None, parameters.lesionsModel or None)

    def resultName(self, volume):
        """The name for the segmentation of a CT."""
        return _("{ct} pneumonia").format(ct=volume.GetName())


class COVIDQuantTest(ScriptedLoadableModuleTest):
    """Runs the whole workflow on a simulated CT, inside Slicer, by clicks."""

    def setUp(self):
        """Start with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run the test; Slicer's 'Reload and Test' calls this."""
        from COVIDQuantPanel.self_test import Story

        self.setUp()
        story = Story(self)
        for step in story.steps:
            self.delayDisplay(step.__doc__)
            step()
        self.delayDisplay("Test passed")
