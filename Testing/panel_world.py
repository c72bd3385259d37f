"""The panel opened on an empty scene, and what a reader does there: real nodes and logics, stand-ins for Qt."""

import functools
import importlib
import inspect
import pathlib
import sys
import time
import types
from unittest.mock import Mock, create_autospec

import numpy as np
import pytest
import slicer
import vtk
from panel_slicer import modules, qt_calls, qt_table, utilities

from COVIDQuantLib.scene.followup.layouts import VIEWS
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.nodes.volumes import array_of_image, ct_of_node, node_of_ct
from COVIDQuantLib.scene.quantification_job import _add_segmentation
from COVIDQuantLib.scene.review.segment_edits import remove_from_lesion
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.box import Box

MODULE = pathlib.Path(__file__).resolve().parents[1] / "COVIDQuant"
PATIENCE = 600.0
LAYOUT_VIEWS = [view.name for view in VIEWS]


class PanelWorld:
    """The panel opened on an empty scene.

    Attributes:
        scene: the vtkMRMLScene.
        errors: what ``slicer.util.errorDisplay`` was told.
        questions: what the reader was asked; ``answer`` is given to each.
        plot: the vtkMRMLPlotViewNode of the only plot view, and ``axis`` the one at its bottom.
        qt: the panel's calls of Qt, each of which is recorded.
        tables: name of a QTableWidget → what its table was told, and what is called when the reader does something.
        keys: each key with its widget and what it does.
    """

    def __init__(self):
        self.session = HeadlessScene()
        self.scene = self.session.scene
        self.errors, self.questions, self.dialogs = [], [], []
        self.timers, self.shots, self.keys, self.tables = [], [], [], {}
        self.answer, self.shown = True, ""
        self.window, self.parent = Mock(["statusBar"]), types.SimpleNamespace(isEntered=False)
        self._patch = pytest.MonkeyPatch()
        self._make_plot_view()
        self._put_in_place()
        self.widget = importlib.import_module("COVIDQuant").COVIDQuantWidget()
        self.widget.setup()
        self._tag = self.scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_removed)
        self.open()

    def _make_plot_view(self):
        self.axis, node = vtk.vtkAxis(), slicer.vtkMRMLPlotViewNode()
        # Views outlive a scene that is closed.
        node.SetSingletonTag("PlotView1")
        self.plot = self.scene.AddNode(node)

    def _put_in_place(self):
        self._patch.syspath_prepend(MODULE)
        self._patch.setattr(slicer, "mrmlScene", self.scene, raising=False)
        # Slicer without its main window has no layout manager.
        answers = {"layoutManager": lambda: None, "testingEnabled": lambda: False, "processEvents": self.process_events}
        self._patch.setattr(slicer, "app", types.SimpleNamespace(**answers), raising=False)
        self._patch.setattr(slicer, "modules", self._logics(), raising=False)
        for name, content in modules(self).items():
            self._patch.setitem(sys.modules, name, types.ModuleType(name))
            vars(sys.modules[name]).update(content)
        for name, function in utilities(self).items():
            self._patch.setattr(slicer.util, name, function)
        self.qt, table = (importlib.import_module(f"COVIDQuantPanel.widgets.qt_{name}") for name in ("calls", "table"))
        table.QtTable = functools.partial(qt_table, self, table.QtTable)
        calls = qt_calls(self)
        for name, function in inspect.getmembers(self.qt, inspect.isfunction):
            setattr(self.qt, name, create_autospec(function, return_value=None, side_effect=calls.pop(name, None)))
        assert not calls, "these are no calls of Qt any more"

    def _logics(self):
        """``slicer.modules``: Slicer's own logics."""
        self.rendering, terms = slicer.vtkSlicerVolumeRenderingLogic(), slicer.vtkSlicerTerminologiesModuleLogic()
        # Terminologies are loaded without a scene, for which Slicer's default ones would be looked for.
        plots, self.application = slicer.vtkSlicerPlotsLogic(), slicer.vtkSlicerApplicationLogic()
        for logic in (self.rendering, plots, self.application):
            logic.SetMRMLScene(self.scene)
        plots.SetMRMLApplicationLogic(self.application)
        logics = {"plots": plots, "terminologies": terms, "volumerendering": self.rendering}
        return types.SimpleNamespace(**{n: types.SimpleNamespace(logic=lambda v=v: v) for n, v in logics.items()})

    @property
    def module(self):
        return sys.modules["COVIDQuant"]

    @property
    def panel(self):
        return self.widget.panel

    @property
    def ui(self):
        """The widgets of all sections; names are the panel's own, so none is twice."""
        return types.SimpleNamespace(**{k: v for s in self.panel.sections for k, v in vars(s.ui).items()})

    def open(self):
        self.parent.isEntered = True
        self.widget.enter()

    def leave(self):
        self.parent.isEntered = False
        self.widget.exit()

    def close(self):
        self.widget.cleanup()
        self.scene.RemoveObserver(self._tag)
        self._patch.undo()
        for name in [n for n in sys.modules if n == "COVIDQuant" or n.startswith("COVIDQuantPanel")]:
            del sys.modules[name]

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_removed(self, _caller, _event, node):
        """Selectors go on to another node before theirs leaves the scene, as Slicer's do."""
        others = [] if self.scene.IsClosing() else slicer.util.getNodesByClass(node.GetClassName())
        ids = [one.GetID() for one in others if one is not node and not one.GetHideFromEditors()]
        for widget in vars(self.ui).values() if self.panel else ():
            if widget.kind == "qMRMLNodeComboBox" and widget.currentNodeID == node.GetID():
                widget.currentNodeID = ids[0] if ids else ""

    @property
    def running(self):
        """The timers that run."""
        return [timer for timer in self.timers if timer.active]

    def process_events(self, *_arguments):
        while self.shots:
            self.shots.pop()()
        for timer in self.running:
            timer.fire()
        self.settle()

    def settle(self):
        """Do what the panel has left to later turns of the event loop."""
        while self.panel is not None and self.panel.turns.are_waiting:
            self.panel.turns._timer.fire()

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert time.monotonic() < end, "waited in vain"
            self.process_events()
            time.sleep(0.01)
        return value

    def make_views(self):
        """The views that Slicer's layout manager makes as the layout changes; the vtkMRMLLayoutNode."""
        self._layouts = slicer.vtkMRMLLayoutLogic()
        self._layouts.SetMRMLScene(self.scene)
        for name in (*LAYOUT_VIEWS, "Red", "Yellow", "Green"):
            composite = slicer.vtkMRMLSliceCompositeNode()
            composite.SetSingletonTag(name)
            composite.SetLayoutName(name)
            self.scene.AddNode(composite)
        return self._layouts.GetLayoutNode()

    def press(self, key, table=None):
        """Press a key while a table has the focus, or anywhere in the window."""
        widget = self.window if table is None else table
        (command,) = (command for known, of, command in self.keys if known == key and of is widget)
        command()

    def add_ct(self, phantom, name="CT"):
        """A phantom's CT, chosen in the panel."""
        volume = node_of_ct(self.scene, phantom.ct, name)
        self.panel.parameters.inputVolume = volume
        return volume

    def add_result(self, phantom, volume):
        """The phantom's truth with its artefacts as pneumonia, as if the networks had found it, chosen in the panel."""
        lesions = (phantom.lesions | phantom.artefacts).astype(bool)
        found = Segmentation(phantom.lobes.astype(np.uint8), lesions, {"lobes": {"method": "given"}})
        node = _add_segmentation(volume, f"{volume.GetName()} pneumonia", ct_of_node(volume), found)
        self.panel.parameters.segmentation = node
        self.settle()
        return node

    def whole(self, measure="extent_percent"):
        """A figure of the whole lung."""
        return self.panel.reading.live.metrics.value("whole lung", measure)

    def lesions(self):
        """The pneumonia as it is, and its box, which is the whole CT."""
        reading = self.panel.reading
        box = Box.of_shape(reading.volume.GetImageData().GetDimensions()[::-1])
        return reading.live.labels(box)[1], box

    def erase(self, lesions=None):
        """Erase some of the pneumonia, or all of it."""
        reading, (everything, box) = self.panel.reading, self.lesions()
        remove_from_lesion(reading.segmentation, reading.volume, everything if lesions is None else lesions, box)
        self.process_events()

    def stroke(self, part):
        """Draw over a box of the CT with the tool in hand: Slicer's own logic does what the editor's effects ask it."""
        logic = self.ui.editor.logic
        modes = {"Erase": logic.ModificationModeRemove, "Paint": logic.ModificationModeAdd}
        logic.UpdateReferenceGeometryImage()
        logic.UpdateMaskLabelmap()
        logic.ResetModifierLabelmapToDefault()
        brush = logic.GetModifierLabelmap()
        array_of_image(brush)[part.slices] = 1
        logic.SaveStateForUndo()
        # It would log that this scene has no subject hierarchy.
        logic.SetVerbose(False)
        mode = modes[logic.GetSegmentEditorNode().GetActiveEffectName()]
        logic.ModifySegmentByLabelmap(
            self.panel.reading.segmentation, logic.GetCurrentSegmentID(), brush, mode, False, False
        )
        self.process_events()

    def ticks(self):
        """What stands below the axis of the plot view, if it is not numbers."""
        labels = self.axis.GetTickLabels()
        return [labels.GetValue(place) for place in range(labels.GetNumberOfValues())] if labels else []

    def view(self, name):
        """A table of the panel by the name of its widget."""
        _, results, review, readers, followup, *_ = self.panel.sections
        return {
            "figuresTable": results.view,
            "findingsTable": review.findings.view,
            "aidsTable": readers.aids,
            "examsTable": followup.exam_list,
            "changesTable": followup.views.changes,
            "lesionsTable": followup.views.lesions,
        }[name]

    def cells(self, name):
        """Every cell of a table as text."""
        return self.view(name).table.texts
