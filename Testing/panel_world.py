"""A Slicer without a window: real MRML nodes and logics of slicer-core, stand-ins for Qt and Slicer's Python modules.

``PanelWorld()`` puts the stand-ins in place and opens the panel; ``close()`` takes them away again.
"""

# ruff: noqa: N803, N815, PLW0108 - arguments are named as in Slicer
import contextlib
import functools
import importlib
import json
import pathlib
import sys
import time
import types
import typing

import panel_widgets
import slicer
import vtk

from COVIDQuantLib.scene.followup.layouts import VIEWS
from COVIDQuantLib.scene.headless_scene import HeadlessScene

MODULE = pathlib.Path(__file__).resolve().parents[1] / "COVIDQuant"
PATIENCE = 600.0
LAYOUT_VIEWS = [view.name for view in VIEWS]


class Timer:
    """A QTimer that fires when the world's events are processed."""

    running: typing.ClassVar = []
    shots: typing.ClassVar = []

    @staticmethod
    def singleShot(_milliseconds, slot):
        Timer.shots.append(slot)

    def __init__(self):
        self._once = False
        self._slots = []

    def setSingleShot(self, once):
        self._once = once

    def setInterval(self, _milliseconds):
        pass

    def connect(self, signal, slot):
        assert signal == "timeout()"
        self._slots.append(slot)

    def start(self):
        if self not in Timer.running:
            Timer.running.append(self)

    def stop(self):
        if self in Timer.running:
            Timer.running.remove(self)

    def fire(self):
        if self._once:
            self.stop()
        for slot in self._slots:
            slot()


class Shortcut:
    def __init__(self, key, widget):
        self.key, self.slots, self.widget, self.enabled = key, [], widget, True
        assert key not in widget.dynamic.setdefault("shortcuts", {}), "two of a key reach nobody"
        widget.dynamic["shortcuts"][key] = self

    def setContext(self, context):
        self.context = context

    def property(self, _name):
        return None

    def connect(self, signal, slot):
        assert signal == "activated()"
        self.slots.append(slot)

    def disconnect(self, signal):
        assert signal == "activated()"
        self.slots = []

    def setParent(self, parent):
        assert parent is None
        del self.widget.dynamic["shortcuts"][self.key]


class Key(str):
    """A QKeySequence."""

    __slots__ = ()

    def toString(self):
        return str(self)


class EditorShortcut:
    """A digit that Slicer's segment editor has taken."""

    def __init__(self, number):
        self.number, self.enabled = number, True
        self.key = Key("Esc" if number < 1 else f"{'Shift+' if number > 10 else ''}{number % 10}")

    def property(self, name):
        return self.number if name == "effectIndex" else None


class MainWindow(panel_widgets.QWidget):
    def start(self):
        self.keep(of_editor=[EditorShortcut(number) for number in (*range(21), -1)])

    def findChildren(self, kind):
        assert kind == "QShortcut"
        return [*self.of_editor, *self.dynamic.get("shortcuts", {}).values()]


class Observations:
    """``slicer.util.VTKObservationMixin``."""

    def __init__(self):
        self._tags = []

    def addObserver(self, subject, event, method, priority=0.0):
        self._tags.append((subject, event, method, subject.AddObserver(event, method, priority)))

    def hasObserver(self, subject, event, method):
        return any(entry[:3] == (subject, event, method) for entry in self._tags)

    def removeObserver(self, subject, event, method):
        for entry in [e for e in self._tags if e[:3] == (subject, event, method)]:
            subject.RemoveObserver(entry[3])
            self._tags.remove(entry)

    def removeObservers(self):
        for subject, _, _, tag in self._tags:
            subject.RemoveObserver(tag)
        self._tags = []


class Rendering:
    """The volume rendering logic; Slicer's own needs the application's views."""

    def __init__(self, scene):
        self._scene = scene

    def GetFirstVolumeRenderingDisplayNode(self, volume):
        nodes = [volume.GetNthDisplayNode(n) for n in range(volume.GetNumberOfDisplayNodes())]
        return next((node for node in nodes if node.IsA("vtkMRMLVolumeRenderingDisplayNode")), None)

    def CreateVolumeRenderingDisplayNode(self):
        """As Slicer's: whoever asks for it owns it and adds it to the scene."""
        node = slicer.vtkMRMLGPURayCastVolumeRenderingDisplayNode()
        node.Register(None)
        return node

    def UpdateDisplayNodeFromVolumeNode(self, display, volume, how=None, roi=None, with_roi=True):
        assert display.GetScene() is self._scene
        assert not with_roi, "a box would stand in the reader's lists"
        assert self.GetFirstVolumeRenderingDisplayNode(volume) is display
        assert not display.GetVisibility(), "it would be drawn with other colours"
        how = self._scene.AddNode(slicer.vtkMRMLVolumePropertyNode())
        display.SetAndObserveVolumePropertyNodeID(how.GetID())


class PlotViews:
    """The layout manager's widgets: one plot view, which shows what it is told to show, and a slice view."""

    plotViewCount = 1

    def __init__(self, scene):
        node = slicer.vtkMRMLPlotViewNode()
        # Views outlive a scene that is closed.
        node.SetSingletonTag("PlotView1")
        self.node = scene.AddNode(node)
        self.axis = vtk.vtkAxis()

    def plotWidget(self, place):
        assert place == 0
        chart = types.SimpleNamespace(GetAxis=lambda side: self.axis if side == vtk.vtkAxis.BOTTOM else None)
        view = types.SimpleNamespace(chart=lambda: chart)
        return types.SimpleNamespace(mrmlPlotViewNode=lambda: self.node, plotView=lambda: view)

    def sliceWidget(self, name):
        assert name == "Red"
        node = types.SimpleNamespace(GetDimensions=lambda: (400, 300, 1))
        return types.SimpleNamespace(mrmlSliceNode=lambda: node)

    def sliceViewNames(self):
        return ["Red"]

    def names(self):
        """What stands below the axis, if it is not numbers."""
        labels = self.axis.GetTickLabels()
        return [labels.GetValue(place) for place in range(labels.GetNumberOfValues())] if labels else []


class Choice:
    def __init__(self, choices):
        self.choices = choices


class Parameters:
    """Fields of a class kept in a parameter node, its changes told, widgets bound by their SlicerParameterName."""

    FIELDS: typing.ClassVar = {}

    def __init__(self, node):
        object.__setattr__(self, "node", node)
        object.__setattr__(self, "bound", {})

    def __eq__(self, other):
        return isinstance(other, Parameters) and self.node is other.node

    __hash__ = object.__hash__

    def __getattr__(self, name):
        if name not in self.FIELDS:
            raise AttributeError(name)
        base, _, default = self.FIELDS[name]
        if _is_node(base):
            return self.node.GetNodeReference(name)
        text = self.node.GetParameter(name)
        if not text:
            return default if default is not None else typing.get_origin(base)() if typing.get_origin(base) else base()
        value = json.loads(text)
        return pathlib.Path(value) if base is pathlib.Path else value

    def __setattr__(self, name, value):
        base, choice, _ = self.FIELDS[name]
        if choice and value not in choice.choices:
            raise ValueError(value)
        if not _is_node(base):
            self.node.SetParameter(name, json.dumps(str(value) if base is pathlib.Path else value))
        elif value is None or isinstance(value, base):
            self.node.SetNodeReferenceID(name, value.GetID() if value else None)
        else:
            raise TypeError(value)
        self.node.Modified()

    def AddObserver(self, event, method, priority):
        return self.node.AddObserver(event, method, priority)

    def RemoveObserver(self, tag):
        self.node.RemoveObserver(tag)

    def connectGui(self, widget):
        bound = [(w.property("SlicerParameterName"), w) for w in widget.walk() if w.property("SlicerParameterName")]
        for name, child in bound:
            _fill(child, self.FIELDS[name])
            _write(child, getattr(self, name), self.FIELDS[name])
            _listen(child, functools.partial(_read_into, self, name, child))
        tag = self.node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show(bound))
        self.bound[tag] = bound
        return tag

    def disconnectGui(self, tag):
        self.node.RemoveObserver(tag)
        for _, child in self.bound.pop(tag):
            child.dynamic.pop("listener", None)

    def _show(self, bound):
        for name, child in bound:
            listener = child.dynamic.pop("listener", None)
            _write(child, getattr(self, name), self.FIELDS[name])
            if listener:
                child.dynamic["listener"] = listener


def _is_node(base):
    return isinstance(base, type) and issubclass(base, slicer.vtkMRMLNode)


def parameter_node_wrapper(kind):
    """``slicer.parameterNodeWrapper.parameterNodeWrapper``, as far as the panel needs it."""
    fields = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        choice = next((a for a in getattr(hint, "__metadata__", ()) if isinstance(a, Choice)), None)
        fields[name] = (typing.get_args(hint)[0] if choice else hint, choice, getattr(kind, name, None))
    return type(kind.__name__, (Parameters,), {"FIELDS": fields})


_SIGNALS = {
    "QComboBox": "currentIndexChanged(int)",
    "QCheckBox": "toggled(bool)",
    "ctkPathLineEdit": "currentPathChanged(QString)",
    "qMRMLNodeComboBox": "currentNodeChanged(vtkMRMLNode*)",
}


def _listen(widget, tell):
    widget.dynamic["listener"] = tell
    if not widget.dynamic.get("listened"):
        widget.dynamic["listened"] = True
        widget.connect(_SIGNALS[type(widget).__name__], lambda: widget.dynamic.get("listener", lambda: None)())


def _fill(widget, field):
    if type(widget).__name__ == "QComboBox":
        widget.clear()
        widget.addItems([str(choice) for choice in field[1].choices])


def _write(widget, value, field):
    kind = type(widget).__name__
    if kind == "QComboBox":
        widget.currentIndex = field[1].choices.index(value)
    elif kind == "QCheckBox":
        widget.checked = value
    elif kind == "ctkPathLineEdit":
        widget.currentPath = str(value)
    else:
        widget.setCurrentNode(value)


def _read_into(parameters, name, widget):
    field = parameters.FIELDS[name]
    kind = type(widget).__name__
    value = {
        "QComboBox": lambda: field[1].choices[widget.currentIndex],
        "QCheckBox": lambda: widget.checked,
        "ctkPathLineEdit": lambda: pathlib.Path(widget.currentPath),
        "qMRMLNodeComboBox": lambda: widget.currentNode(),
    }[kind]()
    if value != getattr(parameters, name):
        setattr(parameters, name, value)


class PanelWorld:
    """The panel opened on an empty scene.

    Attributes:
        scene: the vtkMRMLScene.
        folder: what is chosen where a folder is asked for.
        errors: what ``slicer.util.errorDisplay`` was told.
        questions: what the reader was asked; ``answer`` is given to each.
        charts: the charts that were shown.
        clipboard: the text on it.
        opened: links that were followed.
        on_stroke: called with the name of the editor's effect as the mouse is drawn over a view.
    """

    def __init__(self):
        self.session = HeadlessScene()
        self.scene = self.session.scene
        self.errors, self.questions, self.charts, self.opened = [], [], [], []
        self.answer, self.clipboard, self.entered = True, "", False
        self.folder, self.window = "", MainWindow()
        self.dialogs, self.looks, self.impatient = [], 0, None
        self.on_stroke = None
        self._before = {name: sys.modules.get(name) for name in self._names()}
        self._attributes = {}
        self.plots = PlotViews(self.scene)
        Timer.running.clear()
        Timer.shots.clear()
        self._put_in_place()
        sys.path.insert(0, str(MODULE))
        self.module = importlib.import_module("COVIDQuant")
        self.widget = self.module.COVIDQuantWidget()
        self.layout = panel_widgets.QWidget()
        self.widget.setup()
        self._tag = self.scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_removed)
        self.open()

    def open(self):
        self.entered = True
        self.widget.enter()

    def leave(self):
        self.entered = False
        self.widget.exit()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_removed(self, _caller, _event, node):
        """Selectors go on to another node before theirs leaves the scene, as Slicer's do."""
        for section in self.panel.sections if self.panel else ():
            for widget in section.widget.walk():
                if isinstance(widget, panel_widgets.qMRMLNodeComboBox) and widget.currentNode() is node:
                    widget.setCurrentNode(None if self.scene.IsClosing() else self._another(widget, node))

    def _another(self, selector, node):
        nodes = (n for kind in selector.kinds for n in slicer.util.getNodesByClass(kind))
        return next((n for n in nodes if n is not node and not n.GetHideFromEditors()), None)

    def close(self):
        self.widget.cleanup()
        Timer.shots.clear()
        self.scene.RemoveObserver(self._tag)
        sys.path.remove(str(MODULE))
        for name, module in self._before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
        for name in [n for n in sys.modules if n == "COVIDQuant" or n.startswith("COVIDQuantPanel")]:
            del sys.modules[name]
        for name, value in self._attributes.items():
            delattr(slicer, name) if value is None else setattr(slicer, name, value)

    @property
    def panel(self):
        return self.widget.panel

    @property
    def ui(self):
        """The widgets of all sections; names are the panel's own, so none is twice."""
        return types.SimpleNamespace(**{k: v for s in self.panel.sections for k, v in vars(s.ui).items()})

    def process_events(self, *_arguments):
        while Timer.shots:
            Timer.shots.pop()()
        for timer in list(Timer.running):
            timer.fire()

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
        for slot in (self.window if table is None else table).dynamic["shortcuts"][key].slots:
            slot()

    # ---------------------------------------------------------------------------------------------------- stand-ins

    def _names(self):
        return ("qt", "slicer.util", "slicer.i18n", "slicer.parameterNodeWrapper", "slicer.ScriptedLoadableModule")

    def _put_in_place(self):
        sys.modules["qt"] = self._qt()
        util = self._module("slicer.util", **self._utilities())
        self._module("slicer.i18n", tr=lambda text: text, translate=lambda _context, text: text)
        self._module("slicer.parameterNodeWrapper", parameterNodeWrapper=parameter_node_wrapper, Choice=Choice)
        self._module("slicer.ScriptedLoadableModule", **self._scripted())
        self._set(util=util, mrmlScene=self.scene, app=self._app(), modules=self._modules())

    def _module(self, name, **content):
        module = types.ModuleType(name)
        module.__dict__.update(content)
        sys.modules[name] = module
        return module

    def _set(self, **attributes):
        for name, value in attributes.items():
            self._attributes.setdefault(name, getattr(slicer, name, None))
            setattr(slicer, name, value)

    def _qt(self):
        settings = {}

        class Settings:
            def setValue(self, key, value):
                settings[key] = value

        self.settings = settings
        plain = type("Plain", (), {"__init__": lambda self, *a: None, "fill": lambda self, c: None})
        colour = type("QColor", (plain,), {"fromRgbF": staticmethod(lambda *rgb: rgb)})
        qt = types.ModuleType("qt")
        modes = types.SimpleNamespace(Stretch=1, Interactive=0, ResizeToContents=3)
        qt.__dict__.update(
            QTimer=Timer, QShortcut=Shortcut, QKeySequence=Key, QSettings=Settings, QIcon=plain, QPixmap=plain,
            QColor=colour, QUrl=str, QBrush=plain, QHeaderView=modes, QMenu=panel_widgets.QMenu,
            QCheckBox=panel_widgets.QCheckBox, QTableWidgetItem=panel_widgets.QTableWidgetItem,
            QFileDialog=types.SimpleNamespace(getExistingDirectory=lambda _parent, _title: self.folder),
            QDesktopServices=types.SimpleNamespace(openUrl=self.opened.append),
            Qt=types.SimpleNamespace(AlignRight=2, AlignVCenter=128, WidgetShortcut=0, ApplicationModal=2, Unchecked=0,
                                     Checked=2, ItemIsSelectable=1, ItemIsEditable=2, ItemIsUserCheckable=16,
                                     ItemIsEnabled=32),
        )  # fmt: skip
        return qt

    def _utilities(self):
        @contextlib.contextmanager
        def try_with_error_display(message, *, waitCursor=False):
            try:
                yield
            except Exception as error:  # noqa: BLE001 - as Slicer's does
                self.errors.append(f"{message} {error!r}")

        def confirm(text, windowTitle=None):
            self.questions.append(text)
            return self.answer

        def layers(background=None, foreground=None, fit=False):
            self.background = background

        return {
            "loadUI": panel_widgets.load_form,
            "childWidgetVariables": panel_widgets.child_variables,
            "VTKObservationMixin": Observations,
            "startupEnvironment": lambda: None,
            "settingsValue": lambda key, default: self.settings.get(key, default),
            "errorDisplay": lambda text, windowTitle=None: self.errors.append(text),
            "confirmOkCancelDisplay": confirm,
            "createProgressDialog": self._progress_dialog,
            "tryWithErrorDisplay": try_with_error_display,
            "setSliceViewerLayers": layers,
            "getNodesByClass": lambda kind: [self.scene.GetNthNodeByClass(n, kind) for n in
                                             range(self.scene.GetNumberOfNodesByClass(kind))],
            "selectModule": lambda _name: None if self.entered else self.open(),
            "getModuleWidget": lambda _name: self.widget,
            "saveScene": self.scene.WriteToMRB,
            "loadScene": self.scene.ReadFromMRB,
            "mainWindow": lambda: self.window,
            "resetThreeDViews": lambda: None,
            "showStatusMessage": lambda *_: None,
            "clickAndDrag": self._drag,
        }  # fmt: skip

    def _drag(self, _widget, button="Left", **_places):
        """A stroke is asked for; what the tool in hand would do is up to ``on_stroke``."""
        if button == "Left":
            self.on_stroke(self.ui.editor.effect)

    def _progress_dialog(self, **properties):
        """A QProgressDialog; ``impatient`` is the number of looks after which the reader stops it."""
        world = self

        class Dialog(panel_widgets.QProgressBar):
            PROPERTIES: typing.ClassVar = dict.fromkeys(properties, None)

            @property
            def wasCanceled(self):
                world.looks += 1
                return world.impatient is not None and world.looks > world.impatient

            def close(self):
                world.dialogs.remove(self)

        dialog = Dialog()
        for name, value in properties.items():
            setattr(dialog, name, value)
        self.dialogs.append(dialog)
        return dialog

    def _app(self):
        clipboard = types.SimpleNamespace(setText=lambda text: setattr(self, "clipboard", text),
                                          text=lambda: self.clipboard)  # fmt: skip
        return types.SimpleNamespace(connect=lambda *_: None, processEvents=self.process_events,
                                     clipboard=lambda: clipboard, layoutManager=lambda: self.plots)  # fmt: skip

    def _show_chart(self, chart):
        self.charts.append(chart)
        self.plots.node.SetPlotChartNodeID(chart.GetID())

    def _modules(self):
        self.rendering = Rendering(self.scene)
        plots = types.SimpleNamespace(ShowChartInLayout=self._show_chart)
        terms = types.SimpleNamespace(LoadTerminologyFromFile=lambda _path: True)
        logics = {"plots": plots, "terminologies": terms, "volumerendering": self.rendering}
        return types.SimpleNamespace(**{n: types.SimpleNamespace(logic=lambda v=v: v) for n, v in logics.items()})

    def _scripted(self):
        world = self

        class Base:
            def __init__(self, parent=None):
                self.parent = parent or types.SimpleNamespace()

        class ModuleWidget(Base):
            def __init__(self, _parent=None):
                parent = type("Parent", (), {"isEntered": property(lambda _self: world.entered)})
                self.parent = parent()
                self.layout = panel_widgets.QWidget().layout()

            def setup(self):
                pass

        class ModuleLogic(Base):
            def getParameterNode(self):
                node = world.scene.GetSingletonNode("COVIDQuant", "vtkMRMLScriptedModuleNode")
                if node is None:
                    made = slicer.vtkMRMLScriptedModuleNode()
                    made.SetSingletonTag("COVIDQuant")
                    node = world.scene.AddNode(made)
                return node

        class ModuleTest(Base):
            def delayDisplay(self, text):
                world.shown = text

        return {"ScriptedLoadableModule": Base, "ScriptedLoadableModuleWidget": ModuleWidget,
                "ScriptedLoadableModuleLogic": ModuleLogic, "ScriptedLoadableModuleTest": ModuleTest}  # fmt: skip
