"""What Slicer's application and the panel's two files with Qt do without either; what slicer-core brings is real."""

import json
import typing
from types import SimpleNamespace
from unittest.mock import Mock, create_autospec

import slicer
from panel_widgets import Widget, load_form


def parameter_node_wrapper(kind):
    """``slicer.parameterNodeWrapper.parameterNodeWrapper``: the fields of a class, kept in a parameter node."""
    plain = {name: typing.get_origin(hint) or hint for name, hint in typing.get_type_hints(kind).items()}
    limits = typing.get_type_hints(kind, include_extras=True)
    nodes = {name for name, its in plain.items() if issubclass(its, slicer.vtkMRMLNode)}

    class Parameters:
        def __init__(self, node):
            vars(self)["node"] = node

        def __getattr__(self, name):
            if name not in plain:
                return getattr(vars(self)["node"], name)
            if name in nodes:
                return self.node.GetNodeReference(name)
            kept = self.node.GetParameter(name)
            return json.loads(kept) if kept else getattr(kind, name, None) or plain[name]()

        def __setattr__(self, name, value):
            (limit,) = getattr(limits[name], "__metadata__", [SimpleNamespace(choices=[value])])
            if not (isinstance(value, plain[name]) or (name in nodes and value is None)) or value not in limit.choices:
                raise ValueError(f"{name} cannot be {value!r}")
            if name in nodes:
                self.node.SetNodeReferenceID(name, value.GetID() if value else None)
            else:
                self.node.SetParameter(name, json.dumps(value))
            self.node.Modified()

    return Parameters


class Timer:
    active = False

    def __init__(self, _milliseconds, method, *, once=False):
        self.method, self.once = method, once

    def start(self):
        self.active = True

    def stop(self):
        self.active = False

    def fire(self):
        self.active = not self.once
        self.method()


def qt_table(world, kind, widget, **events):
    """``QtTable``: what it is told is recorded; what a reader does there is called by the names of the events."""
    world.tables[widget.name] = made = create_autospec(kind)(widget, **events)
    made.configure_mock(**events)
    made.select.side_effect = made.selected
    made.tick.side_effect = lambda row, column, on=True: made.changed(row, column, "", on)
    return made


def qt_calls(world):
    """Name → what stands for a function of ``qt_calls``; one that is not here is only recorded."""

    def noted(kept, one):
        kept.append(one)
        return one

    def box(text, changed):
        made = Widget("QCheckBox")
        made.text = text
        made.connect("toggled(bool)", changed)
        return made

    def fill(combo, texts, place=0):
        combo.dynamic["texts"] = texts
        combo.values["currentIndex"] = place if texts else -1

    return {
        "timer": lambda *given, **more: noted(world.timers, Timer(*given, **more)),
        "later": world.shots.append,
        "remembered": lambda _key: "",
        "copied_text": lambda: world.qt.copy_text.call_args.args[0],
        "wait_dialog": lambda *_: noted(world.dialogs, Mock(["close"], value=0, wasCanceled=False)),
        "shortcuts_in": lambda window: [(Mock(enabled=True), key, None) for key, of, _ in world.keys if of is window],
        "add_key": lambda key, widget, command, **_: noted(world.keys, (key, widget, command)),
        "remove_key": world.keys.remove,
        "add_box": lambda _widget, text, changed: box(text, changed),
        "add_menu": lambda _button, choices, changed: {name: box(one.text, changed) for name, one in choices.items()},
        "fill": fill,
        "plot_axes": lambda: [(world.plot, world.axis)],
    }


def modules(world):
    """Name → content of the modules that only the application has."""

    class Scripted:
        """What the base classes of a scripted module's parts are asked for."""

        def __init__(self, _parent=None):
            self.parent, self.layout = world.parent, Mock(["addWidget", "addStretch"])

        def setup(self):
            pass

        def getParameterNode(self):
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag("COVIDQuant")
            there = slicer.mrmlScene.GetSingletonNode("COVIDQuant", "vtkMRMLScriptedModuleNode")
            return there or slicer.mrmlScene.AddNode(node)

        def delayDisplay(self, text):
            world.shown = text

    scripted = [f"ScriptedLoadableModule{part}" for part in ("", "Widget", "Logic", "Test")]
    return {
        "qt": {},
        "slicer.i18n": {"tr": lambda text: text, "translate": lambda _context, text: text},
        "slicer.parameterNodeWrapper": {
            "parameterNodeWrapper": parameter_node_wrapper,
            "Choice": lambda choices: SimpleNamespace(choices=choices),
        },
        "slicer.ScriptedLoadableModule": dict.fromkeys(scripted, Scripted),
    }


def utilities(world):
    """Name → what stands for a function of ``slicer.util`` that needs the application."""
    return {
        "loadUI": load_form,
        "mainWindow": lambda: world.window,
        "startupEnvironment": lambda: None,
        "errorDisplay": lambda text, **_: world.errors.append(text),
        "confirmOkCancelDisplay": lambda text, **_: world.questions.append(text) or world.answer,
        "selectModule": lambda _name: world.parent.isEntered or world.open(),
        "getModuleWidget": lambda _name: world.widget,
        "saveScene": world.scene.WriteToMRB,
        "loadScene": world.scene.ReadFromMRB,
    }
