"""The Slicer module: choose a CT, quantify it, and see the figures follow every edit of the segments.

What is computed, and how nodes follow each other, is in COVIDQuantLib; here are the panel and its connections.
"""

import sys
from contextlib import contextmanager
from pathlib import Path

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# The library lies beside this file once installed, and one folder up in the source tree.
_HERE = Path(__file__).resolve().parent
for _folder in (_HERE, _HERE.parent):
    if (_folder / "COVIDQuantLib" / "__init__.py").is_file():
        if str(_folder) not in sys.path:
            sys.path.append(str(_folder))
        break

from COVIDQuantLib.errors import Cancelled, COVIDQuantError  # noqa: E402 - found only now
from COVIDQuantLib.progress import StagedProgress  # noqa: E402

# Edits that come faster than this are counted together.
_UPDATE_MS = 30


class COVIDQuant(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("COVIDQuant")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["Segmentations", "Terminologies", "Tables"]
        self.parent.contributors = ["COVIDQuant contributors"]
        self.parent.helpText = _(
            "Finds the five lobes and the pneumonia on a chest CT and quantifies them. The segments can be edited; the "
            "figures follow. <b>Not a medical device.</b> See the "
            '<a href="https://github.com/COVIDQuant/COVIDQuant">documentation</a>.'
        )
        self.parent.acknowledgementText = _(
            "The measures are those of four published systems; docs/definitions.md names them."
        )


@parameterNodeWrapper
class COVIDQuantParameterNode:
    """What the reader chose; saved with the scene.

    inputVolume - The chest CT.
    segmentation - The segmentation whose figures are shown.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode


class COVIDQuantWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._live = None
        self._timer = None

    def setup(self):
        """Build the panel when it is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/COVIDQuant.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = COVIDQuantLogic()
        self.logic.loadTerminologies()
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_UPDATE_MS)
        self._timer.connect("timeout()", self._updateFigures)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.ui.quantifyButton.connect("clicked(bool)", self.onQuantify)
        self.initializeParameterNode()

    def cleanup(self):
        """Let go of everything when Slicer closes or the module is reloaded."""
        self._stopFollowing()
        self.removeObservers()

    def enter(self):
        """Called each time the reader opens the module."""
        self.initializeParameterNode()

    def exit(self):
        """Called each time the reader leaves the module; the figures go on following."""
        self._disconnectParameterNode()

    def onSceneStartClose(self, _caller, _event):
        """Forget the nodes before they go."""
        self._stopFollowing()
        self.setParameterNode(None)

    def onSceneEndClose(self, _caller, _event):
        """Start afresh if the module is shown."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, _caller, _event):
        """Take up the figures of a scene that was loaded."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        """Make sure there is a parameter node, and propose a CT."""
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            volume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if volume:
                self._parameterNode.inputVolume = volume

    def setParameterNode(self, parameterNode):
        """Connect the panel to a parameter node, or to none."""
        self._disconnectParameterNode()
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
            self._onParametersChanged()

    def _disconnectParameterNode(self):
        if self._parameterNodeGuiTag is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)

    def _onParametersChanged(self, _caller=None, _event=None):
        volume = self._parameterNode.inputVolume if self._parameterNode else None
        self.ui.quantifyButton.enabled = volume is not None
        self.ui.quantifyButton.toolTip = _("Find lobes and pneumonia") if volume else _("Choose a CT first")
        self._follow(volume, self._parameterNode.segmentation if self._parameterNode else None)

    def onQuantify(self):
        """Quantify the chosen CT into a new segmentation; an earlier one stays as the reader left it."""
        try:
            with self._progress() as progress:
                segmentation = self.logic.quantify(self._parameterNode.inputVolume, progress)
        except Cancelled:
            self.ui.statusLabel.text = _("Stopped. Nothing was changed.")
        except COVIDQuantError as error:
            slicer.util.errorDisplay(error.line(), windowTitle=_("COVIDQuant"))
        else:
            self._parameterNode.segmentation = segmentation

    @contextmanager
    def _progress(self):
        """Progress in a dialog whose button stops the job at its next report."""
        from COVIDQuantLib.pipeline import plan_for_here

        dialog = slicer.util.createProgressDialog(
            windowTitle=_("COVIDQuant"), autoClose=False, windowModality=qt.Qt.ApplicationModal
        )

        def show(state):
            left = "" if state.seconds_left is None else _(", {n:.0f} s left").format(n=state.seconds_left)
            dialog.labelText = f"{state.stage.capitalize()}{left}"
            dialog.value = round(100 * state.fraction)
            slicer.app.processEvents()
            if dialog.wasCanceled:
                raise Cancelled

        try:
            yield StagedProgress(plan_for_here()[0].stages, show)
        finally:
            dialog.close()

    def _follow(self, volume, segmentation):
        """Show the figures of a segmentation and keep them up to date."""
        if self._live and self._live.is_attached and self._live.segmentation is segmentation:
            return
        self._stopFollowing()
        if segmentation is None:
            return
        try:
            self._live = self.logic.follow(volume, segmentation, self._timer.start)
        except COVIDQuantError as error:
            self.ui.statusLabel.text = error.line()
            return
        self.ui.tableView.setMRMLTableNode(self._live.table)
        self._showWarnings()

    def _stopFollowing(self):
        if self._timer:
            self._timer.stop()
        if self._live:
            self._live.close()
            self._live = None
        self.ui.tableView.setMRMLTableNode(None)
        self.ui.statusLabel.text = ""

    def _updateFigures(self):
        if not self._live or not self._live.is_attached:
            return
        try:
            self._live.update()
        except COVIDQuantError as error:
            self.ui.statusLabel.text = error.line()
        else:
            self._showWarnings()

    def _showWarnings(self):
        warnings = self.logic.warnings(self._live)
        self.ui.statusLabel.text = "\n".join(warning.message for warning in warnings)


class COVIDQuantLogic(ScriptedLoadableModuleLogic):
    """The job on nodes, without the panel."""

    def getParameterNode(self):
        """The reader's choices."""
        return COVIDQuantParameterNode(super().getParameterNode())

    def loadTerminologies(self):
        """Make the codes of lobes and pneumonia known to Slicer's terminology selector."""
        from COVIDQuantLib.resources import resource_path

        for path in sorted(resource_path("Terminologies").glob("*.term.json")):
            slicer.modules.terminologies.logic().LoadTerminologyFromFile(str(path))

    def quantify(self, volume, progress=None):
        """Find lobes and pneumonia on a CT and return them as a new segmentation node.

        Args:
            volume: vtkMRMLScalarVolumeNode in HU.
            progress: told of the stages; may raise Cancelled.

        Raises:
            COVIDQuantError: the CT cannot be quantified; says why.
        """
        from COVIDQuantLib.scene.job import quantify_volume

        return quantify_volume(volume, _("{ct} pneumonia").format(ct=volume.GetName()), progress)

    def follow(self, volume, segmentation, wake):
        """Live figures of a segmentation: those it was saved with, or new ones over the chosen CT.

        Args:
            volume: vtkMRMLScalarVolumeNode for a segmentation that has no CT of its own; may be None.
            segmentation: vtkMRMLSegmentationNode.
            wake: called when the figures are out of date.

        Raises:
            COVIDQuantError: there is no CT, or the segments cannot be counted.
        """
        from COVIDQuantLib.scene.live import VOLUME_ROLE, LiveQuantification

        if volume is None or segmentation.GetNodeReference(VOLUME_ROLE):
            return LiveQuantification.reattach(segmentation, wake=wake)
        return LiveQuantification(volume, segmentation, wake=wake)

    def warnings(self, live):
        """What the reader should know: of the CT and the segmentation when made, and of the segments as they are."""
        from COVIDQuantLib.scene.job import warnings_of_node

        return [*warnings_of_node(live.segmentation), *live.warnings()]


class COVIDQuantTest(ScriptedLoadableModuleTest):
    """The whole job on a made CT, inside Slicer."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run the test; Slicer's 'Reload and Test' calls this."""
        self.setUp()
        self.test_figuresOfAPhantomFollowAnEdit()

    def test_figuresOfAPhantomFollowAnEdit(self):
        """Quantify a phantom, empty its pneumonia, and see the extent fall to nothing."""
        from COVIDQuantLib.phantom import PhantomSettings, make_phantom
        from COVIDQuantLib.scene.volumes import node_of_ct

        self.delayDisplay("Making a phantom")
        phantom = make_phantom(PhantomSettings(seed=1, thickness_mm=8.0, matrix=96, extent_percent=10.0))
        volume = node_of_ct(slicer.mrmlScene, phantom.ct, "phantom")
        logic = COVIDQuantLogic()
        self.delayDisplay("Quantifying it")
        segmentation = logic.quantify(volume)
        live = logic.follow(volume, segmentation, wake=lambda: None)
        self.assertGreater(live.metrics.value("whole lung", "extent_percent"), 0.0)
        segmentation.GetSegmentation().RemoveSegment("pneumonia")
        live.update()
        self.assertEqual(live.metrics.value("whole lung", "extent_percent"), 0.0)
        self.assertEqual(live.table.GetNumberOfRows(), 9)
        self.delayDisplay("Test passed")
