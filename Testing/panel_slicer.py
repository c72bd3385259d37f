"""Slicer's Python modules as the panel meets them without Qt; what slicer-core brings is real and not here."""

import functools
import json
import typing
from types import SimpleNamespace

import slicer
import slicer.util
import vtk
from panel_widgets import KINDS, load_form, make


class Choice(typing.NamedTuple):
    choices: tuple


class Parameters:
    """The fields of a class, kept in a parameter node, and the widgets bound to them by their SlicerParameterName."""

    # Name → its type, the choices or nothing, and its value at first. Kind of a widget → the property that shows it.
    FIELDS: typing.ClassVar = {}
    SHOWN_BY: typing.ClassVar = {
        "QComboBox": "currentIndex",
        "QCheckBox": "checked",
        "qMRMLNodeComboBox": "currentNode()",
    }

    def __init__(self, node):
        vars(self).update(node=node, bound={})

    def __getattr__(self, name):
        if name not in self.FIELDS:
            return getattr(vars(self)["node"], name)
        kind, _, first = self.FIELDS[name]
        kept = self.node.GetParameter(name)
        return json.loads(kept) if kept else self.node.GetNodeReference(name) if _is_node(kind) else first

    def __setattr__(self, name, value):
        kind, choices, _ = self.FIELDS[name]
        if not isinstance(value, (kind, type(None)) if _is_node(kind) else kind) or value not in (choices or [value]):
            raise ValueError(f"{name} cannot be {value!r}")
        if _is_node(kind):
            self.node.SetNodeReferenceID(name, value.GetID() if value else None)
        else:
            self.node.SetParameter(name, json.dumps(value))
        self.node.Modified()

    def connectGui(self, widget):
        bound = []
        for child in slicer.util.findChildren(widget):
            if name := child.property("SlicerParameterName"):
                if child.kind == "QComboBox":
                    child.clear()
                    child.addItems(self.FIELDS[name][1])
                bound.append((child, name, functools.partial(self._read, child, name)))
        self._show(bound)
        for child, _, read in bound:
            child.slots.setdefault("changed", []).append(read)
        tag = self.node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show(bound))
        self.bound[tag] = bound
        return tag

    def disconnectGui(self, tag):
        self.node.RemoveObserver(tag)
        for child, _, read in self.bound.pop(tag):
            child.slots["changed"].remove(read)

    def _show(self, bound):
        for child, name, _ in bound:
            value, choices = getattr(self, name), self.FIELDS[name][1]
            child.change(self.SHOWN_BY[child.kind], choices.index(value) if choices else value)

    def _read(self, child, name):
        value, choices = child.values[self.SHOWN_BY[child.kind]], self.FIELDS[name][1]
        value = choices[value] if choices else value
        if value != getattr(self, name):
            setattr(self, name, value)


def _is_node(kind):
    return issubclass(kind, slicer.vtkMRMLNode)


def parameter_node_wrapper(kind):
    """``slicer.parameterNodeWrapper.parameterNodeWrapper``, as far as the panel needs it."""
    fields = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        plain, *more = typing.get_args(hint) if hasattr(hint, "__metadata__") else [typing.get_origin(hint) or hint]
        first = getattr(kind, name, None if _is_node(plain) else plain())
        fields[name] = (plain, more[0].choices if more else None, first)
    return type(kind.__name__, (Parameters,), {"FIELDS": fields})


def modules(world):
    """Name → content of the modules that only the application has; what they are told is noted in the world."""

    def timer():
        world.timers.append(make("QTimer"))
        return world.timers[-1]

    timer.singleShot = lambda _milliseconds, slot: world.shots.append(slot)
    kept = world.settings
    settings = SimpleNamespace(setValue=kept.__setitem__, value=kept.get, contains=kept.__contains__)
    picture = type("Picture", (), {"__init__": lambda *_: None, "fill": lambda *_: None, "fromRgbF": lambda *_: None})
    qt = {kind: functools.partial(make, kind) for kind in KINDS if kind.startswith("Q")} | {
        "QTimer": timer, "QSettings": lambda: settings, "QUrl": str,
        **dict.fromkeys(("QIcon", "QPixmap", "QColor", "QBrush", "QSize"), picture),
        "QHeaderView": SimpleNamespace(Stretch=1, Interactive=0, ResizeToContents=3),
        "QFileDialog": SimpleNamespace(getExistingDirectory=lambda _parent, _title: world.folder),
        "QDesktopServices": SimpleNamespace(openUrl=world.opened.append),
        "Qt": SimpleNamespace(AlignRight=2, AlignVCenter=128, WidgetShortcut=0, ApplicationModal=2, Unchecked=0,
                              Checked=2, ItemIsSelectable=1, ItemIsEditable=2, ItemIsUserCheckable=16,
                              ItemIsEnabled=32),
    }  # fmt: skip
    scripted = [f"ScriptedLoadableModule{part}" for part in ("", "Widget", "Logic", "Test")]
    return {
        "qt": qt,
        "slicer.i18n": {"tr": lambda text: text, "translate": lambda _context, text: text},
        "slicer.parameterNodeWrapper": {"parameterNodeWrapper": parameter_node_wrapper, "Choice": Choice},
        "slicer.ScriptedLoadableModule": dict.fromkeys(scripted, type("Scripted", (Scripted,), {"world": world})),
    }


class Scripted:
    """What the base classes of a scripted module's parts are asked for."""

    world: typing.ClassVar = None

    def __init__(self, _parent=None):
        self.parent, self.layout = self.world.parent, make("QWidget").layout()

    def setup(self):
        pass

    def getParameterNode(self):
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag("COVIDQuant")
        there = slicer.mrmlScene.GetSingletonNode("COVIDQuant", "vtkMRMLScriptedModuleNode")
        return there or slicer.mrmlScene.AddNode(node)

    def delayDisplay(self, text):
        self.world.shown = text


def utilities(world):
    """Name → what stands for a function of ``slicer.util`` that needs the application."""
    return {
        "loadUI": load_form,
        "startupEnvironment": lambda: None,
        "errorDisplay": lambda text, **_: world.errors.append(text),
        "confirmOkCancelDisplay": lambda text, **_: world.questions.append(text) or world.answer,
        "selectModule": lambda _name: world.parent.isEntered or world.open(),
        "getModuleWidget": lambda _name: world.widget,
        "saveScene": world.scene.WriteToMRB,
        "loadScene": world.scene.ReadFromMRB,
    }


def application(world):
    """``slicer.app``: the main window, the clipboard, a plot view and the red slice view."""
    chart = SimpleNamespace(GetAxis={vtk.vtkAxis.BOTTOM: world.axis}.get)
    view = SimpleNamespace(chart=lambda: chart)
    plot = SimpleNamespace(mrmlPlotViewNode=lambda: world.plot, plotView=lambda: view)
    style = SimpleNamespace(GetInteractor=lambda: world.mouse)
    size = SimpleNamespace(GetDimensions=lambda: (400, 300, 1))
    red = SimpleNamespace(mrmlSliceNode=lambda: size, interactorStyle=lambda: style)
    layout = SimpleNamespace(
        plotViewCount=1, plotWidget=[plot].__getitem__, sliceViewNames=lambda: ["Red"], sliceWidget={"Red": red}.get,
        mrmlSliceLogics=vtk.vtkCollection, resetThreeDViews=lambda: None,
    )  # fmt: skip
    return SimpleNamespace(
        processEvents=world.process_events, clipboard=lambda: world.clipboard, layoutManager=lambda: layout,
        topLevelWidgets=lambda: [world.window], testingEnabled=lambda: False,
    )  # fmt: skip
