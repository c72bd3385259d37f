"""Qt, CTK and MRML widgets as Slicer's Python sees them, without a window: a table of kinds and one class for all.

Strict: a property, method or signal that the table does not give a kind is an error, as it would be in Slicer. Values
are kept, a change is told once, and calls that have no effect here are kept, too.
"""

import functools
import inspect
import xml.etree.ElementTree as ET
from types import SimpleNamespace
from typing import Any, NamedTuple

import slicer


class Kind(NamedTuple):
    """The kind it is based on, properties with their values at first, signals, and methods without effect here.

    A property with brackets is read by a method.
    """

    base: str
    properties: dict[str, Any]
    signals: str = ""
    idle: str = ""


_DIALOG = {"labelText": "", "windowTitle": "", "windowModality": 0, "autoClose": True, "minimumDuration": 4000,
           "wasCanceled": False}  # fmt: skip
_ITEM = {"text()": "", "toolTip()": "", "checkState()": 0, "flags()": 1 | 2 | 16 | 32, "icon()": None,
         "foreground()": None, "textAlignment()": 0}  # fmt: skip
_SLIDER = {"minimum": 0.0, "maximum": 99.0, "value": 0.0, "singleStep": 1.0, "pageStep": 10.0, "decimals": 2,
           "suffix": ""}  # fmt: skip
KINDS = {
    "QWidget": Kind("", {"enabled": True, "visible": True, "toolTip": "", "name": ""}),
    "QMainWindow": Kind("QWidget", {"objectName": "qSlicerMainWindow"}, "", "statusBar"),
    "QLabel": Kind("QWidget", {"text": ""}, "linkActivated(QString)"),
    "QLineEdit": Kind("QWidget", {"text": "", "placeholderText": ""}, "textChanged(QString) editingFinished()"),
    "QPushButton": Kind("QWidget", {"text": "", "checked": False, "checkable": False},
                        "clicked(bool) clicked() toggled(bool)"),
    "QToolButton": Kind("QPushButton", {"menu()": None}),
    "QCheckBox": Kind("QPushButton", {"checkable": True}),
    "QAction": Kind("QPushButton", {}, "triggered()"),
    "QMenu": Kind("QWidget", {"toolTipsVisible": False}),
    "QComboBox": Kind("QWidget", {"currentIndex": -1}, "currentIndexChanged(int)"),
    "QProgressBar": Kind("QWidget", {"value": 0, "maximum": 100}),
    "QProgressDialog": Kind("QProgressBar", _DIALOG),
    "QHeaderView": Kind("QWidget", {"sizeHint": SimpleNamespace(height=lambda: 20), "stretchLastSection": False,
                                    "fontMetrics()": SimpleNamespace(width=lambda text: 6 * len(text))},
                        "sectionClicked(int)", "setSectionsClickable setHighlightSections setSectionResizeMode"),
    "QTableWidget": Kind("QWidget", {"rowCount": 0, "columnCount": 0, "frameWidth": 1, "minimumWidth": 0},
                         "cellClicked(int,int) itemSelectionChanged() cellChanged(int,int)",
                         "resizeColumnsToContents resizeRowsToContents resizeColumnToContents setFixedHeight "
                         "setIconSize"),
    "QTableWidgetItem": Kind("", _ITEM, "changed()"),
    "QClipboard": Kind("", {"text()": ""}),
    "QKeySequence": Kind("", {"toString()": ""}),
    "QShortcut": Kind("", {"enabled": True, "key": None, "context": 1}, "activated()"),
    "QTimer": Kind("", {"interval": 0, "singleShot": False, "active": False}, "timeout()"),
    "ctkCollapsibleButton": Kind("QWidget", {"text": "", "collapsed": False}, "contentsCollapsed(bool)"),
    "ctkPathLineEdit": Kind("QWidget", {"currentPath": ""}, "currentPathChanged(QString)"),
    "ctkSliderWidget": Kind("QWidget", _SLIDER, "valueChanged(double)"),
    "qMRMLWidget": Kind("QWidget", {}, "", "setMRMLScene"),
    "qMRMLNodeComboBox": Kind("qMRMLWidget", {"currentNode()": None}, "currentNodeChanged(vtkMRMLNode*)"),
    "qMRMLSegmentEditorWidget": Kind("qMRMLWidget", {"maximumNumberOfUndoStates": 0}, "",
        "removeViewObservations setSegmentationNodeSelectorVisible setSourceVolumeNodeSelectorVisible "
        "setSwitchToSegmentationsButtonVisible"),
}  # fmt: skip
# Signals that are not named after the property whose change they tell.
_TOLD_BY = {"checked": "toggled", "collapsed": "contentsCollapsed"}


class Widget:
    """An object of a kind, made with its text or key and its parent."""

    def __init__(self, kind, *given):
        base, first, signals, idle = KINDS[kind]
        while base:
            base, *above = KINDS[base]
            first, signals, idle = above[0] | first, f"{signals} {above[1]}", f"{idle} {above[2]}"
        vars(self).update(kind=kind, first=first, values=dict(first), signals=signals.split(), idle=idle.split())
        vars(self).update(slots={}, calls={}, dynamic={}, under=[], parent=None, blocked=False)
        for one in given:
            if isinstance(one, str):
                self.values[next(name for name in ("text", "text()", "toString()") if name in first)] = one
            elif one is not None and one.kind == "QKeySequence":
                self.values["key"] = one
            elif one is not None:
                one.under.append(self)
                vars(self)["parent"] = one

    def __getattr__(self, name):
        values, setter = vars(self)["values"], name[3:4].lower() + name[4:]
        if name in values:
            return values[name]
        if f"{name}()" in values:
            return lambda: values[f"{name}()"]
        if name in self.idle:
            return lambda *arguments: self.calls.setdefault(name, []).append(arguments)
        if name.startswith("set") and {setter, f"{setter}()"} & set(values):
            return functools.partial(self.change, setter)
        raise AttributeError(f"{self.kind} has no {name}")

    def __setattr__(self, name, value):
        if name not in self.values:
            raise AttributeError(f"{self.kind} has no property {name}")
        self.change(name, value)

    def change(self, name, value):
        key, name = name if name in self.values else f"{name}()", name.strip("()")
        first, was = self.first[key], self.values[key]
        if first is not None and not isinstance(value, (float, int) if isinstance(first, float) else type(first)):
            raise TypeError(f"{self.kind}.{name} cannot be {value!r}")
        if key == "toolTip" and value and not value.startswith("<"):
            # Slicer makes rich text of every tooltip, so that long ones are broken into lines.
            value = f"<p>{value}</p>"
        if key == "value" and isinstance(first, float):
            value = min(max(float(value), self.minimum), self.maximum)
        if value != was and (key != "checked" or self.checkable):
            self.values[key] = value
            self.emit(_TOLD_BY.get(name, f"{name}Changed"), value)
            self.emit("changed")

    def connect(self, signal, slot):
        if signal not in self.signals or not callable(slot):
            raise ValueError(f"{self.kind} has no signal {signal}, or {slot!r} cannot be called")
        self.slots.setdefault(signal.split("(")[0], []).append(slot)

    def disconnect(self, signal):
        del self.slots[signal.split("(")[0]]

    def emit(self, signal, *arguments):
        for slot in () if self.blocked else tuple(self.slots.get(signal, ())):
            kinds = [one.kind for one in inspect.signature(slot).parameters.values()]
            takes = sum(kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)
            slot(*arguments[: len(arguments) if inspect.Parameter.VAR_POSITIONAL in kinds else takes])

    def click(self):
        if self.enabled:
            self.checked = not self.checked
            self.emit("clicked", self.checked)

    def blockSignals(self, block):
        was, vars(self)["blocked"] = self.blocked, block
        return was

    def property(self, name):
        return self.dynamic.get(name)

    def setParent(self, parent):
        assert parent is None
        self.parent.under.remove(self)

    def children(self):
        return list(self.under)

    def findChildren(self, kind):
        return [child for child in self.under if child.kind == kind]

    def layout(self):
        return SimpleNamespace(addWidget=self.under.append, addStretch=lambda _n: None)

    def addAction(self, text):
        return make("QAction", text, self)

    show, hide = functools.partialmethod(change, "visible", True), functools.partialmethod(change, "visible", False)
    start, stop = functools.partialmethod(change, "active", True), functools.partialmethod(change, "active", False)
    close = hide


class ComboBox(Widget):
    def __init__(self, *given):
        super().__init__(*given)
        vars(self)["texts"] = []

    count = property(lambda self: len(self.texts))

    def addItems(self, texts):
        self.texts.extend(texts)
        self.currentIndex = max(self.currentIndex, min(0, self.count - 1))

    def setItemText(self, place, text):
        self.texts[place] = text

    def clear(self):
        self.texts.clear()
        self.currentIndex = -1


class TableWidget(Widget):
    def __init__(self, *given):
        super().__init__(*given)
        for name in ("horizontalHeader", "verticalHeader", "horizontalScrollBar"):
            self.values[f"{name}()"] = make("QHeaderView")
        cells, headings = {}, []
        vars(self).update(
            cells=cells, headings=headings, selected=None, horizontalHeaderItem=headings.__getitem__,
            item=lambda *place: cells.get(place), rowHeight=lambda row: ([20] * self.rowCount)[row],
            widths={}, columnWidth=lambda column: self.widths.get(column, 100), setColumnWidth=self._widen,
            sizeHintForColumn=lambda at: max([0, *(6 * len(one.text()) for (_, k), one in cells.items() if k == at)]),
        )  # fmt: skip

    def _widen(self, column, width):
        self.widths[column] = width

    def clear(self):
        self.cells.clear()
        self._select(None)

    def setRowCount(self, n):
        self.values["rowCount"] = n
        self._select(self.selected if self.selected in range(n) else None)

    def setHorizontalHeaderLabels(self, texts):
        self.headings[:] = [make("QTableWidgetItem", text) for text in texts]

    def setItem(self, row, column, item):
        assert row in range(self.rowCount)
        assert column in range(self.columnCount)
        self.cells[row, column] = item
        item.connect("changed()", lambda: self.emit("cellChanged", row, column))
        self.emit("cellChanged", row, column)

    def selectRow(self, row):
        self._select(row if row in range(self.rowCount) else self.selected)

    def selectionModel(self):
        rows = [] if self.selected is None else [SimpleNamespace(row=lambda: self.selected)]
        return SimpleNamespace(selectedRows=lambda: rows)

    def _select(self, row):
        was, vars(self)["selected"] = self.selected, row
        if row != was:
            self.emit("itemSelectionChanged")


class SegmentEditorWidget(Widget):
    """Slicer's own logic edits, masks and undoes; here are the keys and the habits of the selectors."""

    def __init__(self, *given):
        super().__init__(*given)
        logic = slicer.vtkSlicerSegmentEditorLogic()
        logic.SetMRMLScene(slicer.mrmlScene)
        vars(self).update(
            logic=logic, setMRMLSegmentEditorNode=logic.SetSegmentEditorNode, undo=logic.Undo, redo=logic.Redo,
            segmentationNode=logic.GetSegmentationNode, saveStateForUndo=logic.SaveStateForUndo,
            setCurrentSegmentID=logic.SetCurrentSegmentID, currentSegmentID=logic.GetCurrentSegmentID,
            effectByName=lambda _name: SimpleNamespace(sourceVolumeImageData=self._aligned),
        )  # fmt: skip

    def _aligned(self):
        return self.logic.GetAlignedSourceVolume() if self.logic.UpdateAlignedSourceVolume() else None

    def setSegmentationNode(self, node):
        assert node is None or self.logic.GetSegmentEditorNode(), "the editor logs an error: it has no parameter node"
        self.logic.SetSegmentationNode(node)
        if node is not None and node.GetScene().IsBatchProcessing():
            # The editor's own selectors take stock of the scene once it is loaded, and begin with none.
            loaded, scene = slicer.vtkMRMLScene.EndBatchProcessEvent, node.GetScene()
            scene.AddObserver(loaded, lambda *_: (scene.RemoveObservers(loaded), self.setSegmentationNode(None)))

    def setSourceVolumeNode(self, node):
        assert self.logic.GetSegmentationNode(), "the editor logs an error: it has no segmentation"
        self.logic.SetSourceVolumeNode(node)

    def setActiveEffectByName(self, name):
        if self.logic.GetSegmentEditorNode():
            self.logic.GetSegmentEditorNode().SetActiveEffectName(name)

    def setActiveEffect(self, effect):
        assert effect is None
        self.setActiveEffectByName("")

    def installKeyboardShortcuts(self):
        """A digit for each effect, with Shift from the eleventh on, and Escape for none."""
        for number in (*range(21), -1):
            key = make("QKeySequence", "Esc" if number < 0 else f"{'Shift+' if number > 10 else ''}{number % 10}")
            make("QShortcut", key, slicer.util.mainWindow()).dynamic["effectIndex"] = number

    def uninstallKeyboardShortcuts(self):
        window = slicer.util.mainWindow()
        window.under[:] = [one for one in window.under if one.property("effectIndex") is None]


_CLASSES = {"QComboBox": ComboBox, "QTableWidget": TableWidget, "qMRMLSegmentEditorWidget": SegmentEditorWidget}
_READ = {
    "bool": lambda value: value.text == "true", "number": lambda value: int(value.text),
    "double": lambda value: float(value.text), "string": lambda value: value.text or "",
    "stringlist": lambda value: [one.text for one in value],
}  # fmt: skip


def make(kind, *given):
    return _CLASSES.get(kind, Widget)(kind, *given)


def load_form(path):
    """The widgets of a .ui file with the values that it gives them."""
    return _made(ET.parse(path).getroot().find("widget"), None)


def _made(element, parent):
    if element.tag == "widget":
        parent = make(element.get("class"), parent)
        parent.values["name"] = element.get("name")
        for part in element.findall("property"):
            where = parent.values if part.get("name") in parent.values else parent.dynamic
            where[part.get("name")] = _READ.get(part[0].tag, lambda _value: None)(part[0])
    for child in element:
        _made(child, parent)
    return parent
