"""The widgets of the panel's forms as Slicer's Python sees them, without a window: a table of kinds and one class.

Strict: a property, method or signal that the table does not give a kind is an error, as it would be in Slicer. Values
are kept, a change is told once, and calls that have no effect here are kept, too.
"""

import inspect
import xml.etree.ElementTree as ET
from typing import Any, NamedTuple

import slicer


class Kind(NamedTuple):
    """Properties with their values at first, signals, and methods without effect here."""

    properties: dict[str, Any]
    signals: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()


_WIDGET = {"enabled": True, "visible": True, "toolTip": "", "name": ""}
_BUTTON = _WIDGET | {"text": "", "checked": False, "checkable": False}
_CLICKS = ("clicked(bool)", "toggled(bool)")
KINDS = {
    "QWidget": Kind(_WIDGET),
    "QTableWidget": Kind(_WIDGET),
    "QLabel": Kind(_WIDGET | {"text": ""}, ("linkActivated(QString)",)),
    "QLineEdit": Kind(_WIDGET | {"text": ""}, ("textChanged(QString)", "editingFinished()")),
    "QPushButton": Kind(_BUTTON, _CLICKS),
    "QToolButton": Kind(_BUTTON, _CLICKS),
    "QCheckBox": Kind(_BUTTON | {"checkable": True}, _CLICKS),
    "QComboBox": Kind(_WIDGET | {"currentIndex": -1}, ("currentIndexChanged(int)",)),
    "QProgressBar": Kind(_WIDGET | {"value": 0}),
    "ctkCollapsibleButton": Kind(_WIDGET | {"text": "", "collapsed": False}, ("contentsCollapsed(bool)",)),
    "ctkPathLineEdit": Kind(_WIDGET | {"currentPath": ""}, ("currentPathChanged(QString)",)),
    "ctkSliderWidget": Kind(_WIDGET | {"value": 0.0}, ("valueChanged(double)",)),
    "qMRMLWidget": Kind(_WIDGET, (), ("setMRMLScene",)),
    "qMRMLNodeComboBox": Kind(_WIDGET | {"currentNodeID": ""}, ("currentNodeIDChanged(QString)",)),
    "qMRMLSegmentEditorWidget": Kind(
        _WIDGET, (), ("installKeyboardShortcuts", "uninstallKeyboardShortcuts", "removeViewObservations")
    ),
}
# Signals that are not named after the property whose change they tell.
_TOLD_BY = {"checked": "toggled", "collapsed": "contentsCollapsed"}


class Widget:
    """An object of a kind."""

    def __init__(self, kind):
        first, signals, idle = KINDS[kind]
        vars(self).update(kind=kind, first=first, signals=signals, idle=idle, values=dict(first), dynamic={})
        vars(self).update(slots={}, calls={}, under=[], blocked=False)
        vars(self).update(className=lambda: kind, property=self.dynamic.get, children=lambda: self.under)

    def __getattr__(self, name):
        if name in vars(self)["values"]:
            return self.values[name]
        if name in self.idle:
            return lambda *arguments: self.calls.setdefault(name, []).append(arguments)
        raise AttributeError(f"{self.kind} has no {name}")

    def __setattr__(self, name, value):
        if name not in self.values:
            raise AttributeError(f"{self.kind} has no property {name}")
        first = self.first[name]
        if not isinstance(value, (float, int) if isinstance(first, float) else type(first)):
            raise TypeError(f"{self.kind}.{name} cannot be {value!r}")
        if value != self.values[name] and (name != "checked" or self.checkable):
            self.values[name] = value
            self.emit(_TOLD_BY.get(name, f"{name}Changed"), value)

    def connect(self, signal, slot):
        if signal not in self.signals or not callable(slot):
            raise ValueError(f"{self.kind} has no signal {signal}, or {slot!r} cannot be called")
        self.slots.setdefault(signal.split("(")[0], []).append(slot)

    def emit(self, signal, *arguments):
        for slot in () if self.blocked else self.slots.get(signal, ()):
            slot(*arguments[: len(inspect.signature(slot).parameters)])

    def click(self):
        if self.enabled:
            self.checked = not self.checked
            self.emit("clicked", self.checked)

    def blockSignals(self, block):
        was, vars(self)["blocked"] = self.blocked, block
        return was


class SegmentEditorWidget(Widget):
    """Slicer's own logic edits, masks, undoes, and logs an error where a node is missing; here is who asks it."""

    def __init__(self, kind):
        super().__init__(kind)
        logic = slicer.vtkSlicerSegmentEditorLogic()
        logic.SetMRMLScene(slicer.mrmlScene)
        logic.SetVerbose(True)
        vars(self).update(
            logic=logic, setMRMLSegmentEditorNode=logic.SetSegmentEditorNode, undo=logic.Undo, redo=logic.Redo,
            segmentationNode=logic.GetSegmentationNode, setSourceVolumeNode=logic.SetSourceVolumeNode,
            saveStateForUndo=logic.SaveStateForUndo, setCurrentSegmentID=logic.SetCurrentSegmentID,
            currentSegmentID=logic.GetCurrentSegmentID, effectByName=lambda _name: self,
            sourceVolumeImageData=lambda: logic.UpdateAlignedSourceVolume() and logic.GetAlignedSourceVolume(),
        )  # fmt: skip

    def setSegmentationNode(self, node):
        self.logic.SetSegmentationNode(node)
        if node is not None and node.GetScene().IsBatchProcessing():
            # The editor's own selectors take stock of the scene once it is loaded, and begin with none.
            loaded, scene = slicer.vtkMRMLScene.EndBatchProcessEvent, node.GetScene()
            scene.AddObserver(loaded, lambda *_: (scene.RemoveObservers(loaded), self.setSegmentationNode(None)))

    def setActiveEffectByName(self, name):
        if self.logic.GetSegmentEditorNode():
            self.logic.GetSegmentEditorNode().SetActiveEffectName(name)


_READ = {"bool": "true".__eq__, "number": int, "double": float, "string": str}


def load_form(path):
    """The widgets of a .ui file with the values that it gives them; all are right below the first."""
    form, *others = map(_made, ET.parse(path).getroot().iter("widget"))
    form.under.extend(others)
    return form


def _made(element):
    kind = element.get("class")
    widget = (SegmentEditorWidget if kind == "qMRMLSegmentEditorWidget" else Widget)(kind)
    widget.values["name"] = element.get("name")
    for part in element.findall("property"):
        where = widget.values if part.get("name") in widget.values else widget.dynamic
        items = [item.text for item in part[0]]
        where[part.get("name")] = items or _READ.get(part[0].tag, str)(part[0].text or "")
    return widget
