"""Stand-ins for the Qt, CTK and MRML widgets that the panel uses, as Slicer's Python sees them, without a window.

They are strict: a property, method or signal that is not in the tables here is an error, as it would be in Slicer.
What they do is what the panel relies on: values are kept, a click emits, a change is told once.
"""

# ruff: noqa: N801, RUF012 - classes are named as in Slicer; their tables are never changed
import inspect
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import slicer


class Widget:
    """Any widget; ``PROPERTIES`` may be read and set, ``SIGNALS`` connected."""

    PROPERTIES = {"enabled": True, "visible": True, "toolTip": "", "name": ""}
    SIGNALS = ()

    def __init__(self, *_parents):
        values = {}
        for kind in reversed(type(self).__mro__):
            values |= getattr(kind, "__dict__", {}).get("PROPERTIES", {})
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "slots", {})
        object.__setattr__(self, "dynamic", {})
        object.__setattr__(self, "children", [])
        object.__setattr__(self, "blocked", False)
        self.start()

    def start(self):
        """What a new one has beside its properties."""

    def __getattr__(self, name):
        if name.startswith("__") or name not in self.values:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return self.values[name]

    def __setattr__(self, name, value):
        if name not in self.values:
            raise AttributeError(f"{type(self).__name__} has no property {name}")
        default = type(self).default_of(name)
        if default is not None and not isinstance(value, (type(default), int) if isinstance(default, float) else
                                                  type(default)):  # fmt: skip
            raise TypeError(f"{type(self).__name__}.{name} cannot be {value!r}")
        self.change(name, value)

    @classmethod
    def default_of(cls, name):
        return next((kind.__dict__["PROPERTIES"][name] for kind in cls.__mro__
                     if name in kind.__dict__.get("PROPERTIES", {})), None)  # fmt: skip

    def change(self, name, value):
        if name == "toolTip" and value and not value.startswith("<"):
            # Slicer makes rich text of every tooltip, so that long ones are broken into lines.
            value = f"<p>{value}</p>"
        self.values[name] = value

    def keep(self, **values):
        """Keep things of the stand-in itself."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def connect(self, signal, slot):
        name = signal.split("(")[0]
        known = {s for kind in type(self).__mro__ for s in getattr(kind, "__dict__", {}).get("SIGNALS", ())}
        if signal not in known:
            raise ValueError(f"{type(self).__name__} has no signal {signal}")
        if not callable(slot):
            raise TypeError(slot)
        self.slots.setdefault(name, []).append(slot)
        return True

    def emit(self, signal, *arguments):
        if self.blocked:
            return
        for slot in list(self.slots.get(signal, ())):
            kinds = [p.kind for p in inspect.signature(slot).parameters.values()]
            if inspect.Parameter.VAR_POSITIONAL in kinds:
                slot(*arguments)
            else:
                slot(*arguments[: sum(k is inspect.Parameter.POSITIONAL_OR_KEYWORD for k in kinds)])

    def blockSignals(self, block):
        was = self.blocked
        self.keep(blocked=block)
        return was

    def property(self, name):
        return self.dynamic.get(name)

    def setToolTip(self, text):
        self.toolTip = text

    def hide(self):
        self.visible = False

    def show(self):
        self.visible = True

    def layout(self):
        return SimpleNamespace(addWidget=self.children.append, addStretch=lambda _n: None)

    def walk(self):
        yield self
        for child in self.children:
            yield from child.walk()


class QWidget(Widget):
    pass


class QLabel(Widget):
    PROPERTIES = {"text": ""}
    SIGNALS = ("linkActivated(QString)",)


class Button(Widget):
    PROPERTIES = {"text": "", "checked": False}
    SIGNALS = ("clicked(bool)", "clicked()", "toggled(bool)")

    def click(self):
        if self.enabled:
            self.emit("clicked", False)


class QPushButton(Button):
    PROPERTIES = {"checkable": False}

    def setChecked(self, on):
        if self.checkable:
            self.checked = bool(on)

    def click(self):
        if self.enabled and self.checkable:
            self.checked = not self.checked
        super().click()


class QLineEdit(Widget):
    PROPERTIES = {"text": "", "placeholderText": ""}
    SIGNALS = ("textChanged(QString)", "editingFinished()")

    def change(self, name, value):
        was = self.values[name]
        super().change(name, value)
        if name == "text" and value != was:
            self.emit("textChanged", value)

    def enter(self, text):
        """Type a text and go on to another widget."""
        self.text = text
        self.emit("editingFinished")


class QToolButton(Button):
    def setMenu(self, menu):
        self.keep(menu=menu)


class QCheckBox(Button):
    def __init__(self, text="", *_parents):
        super().__init__()
        self.values["text"] = text

    def change(self, name, value):
        was = self.values[name]
        super().change(name, value)
        if name == "checked" and value != was:
            self.emit("toggled", value)

    def isChecked(self):
        return self.checked

    def setChecked(self, on):
        self.checked = bool(on)

    def click(self):
        if self.enabled:
            self.checked = not self.checked
            self.emit("clicked", self.checked)


class QAction(QCheckBox):
    SIGNALS = ("triggered()",)

    def setCheckable(self, _on):
        pass


class QMenu(Widget):
    def addAction(self, text):
        action = QAction(text)
        self.children.append(action)
        return action

    def setToolTipsVisible(self, _on):
        pass


class QComboBox(Widget):
    PROPERTIES = {"currentIndex": -1, "count": 0}
    SIGNALS = ("currentIndexChanged(int)",)

    def start(self):
        self.keep(texts=[])

    def change(self, name, value):
        was = self.values[name]
        super().change(name, value)
        if name == "currentIndex" and value != was:
            self.emit("currentIndexChanged", value)

    def addItem(self, text):
        self.texts.append(text)
        self.values["count"] = len(self.texts)
        if self.currentIndex < 0:
            self.currentIndex = 0

    def addItems(self, texts):
        for text in texts:
            self.addItem(text)

    def clear(self):
        self.keep(texts=[])
        self.values["count"] = 0
        self.currentIndex = -1

    def setItemText(self, place, text):
        self.texts[place] = text

    def setCurrentIndex(self, place):
        self.currentIndex = place


class QProgressBar(Widget):
    PROPERTIES = {"value": 0, "maximum": 100}


class QTableWidgetItem:
    def __init__(self, text=""):
        self._text = text
        self.tip = ""
        self.state, self.flags, self.tell = 0, 1 | 2 | 16 | 32, lambda _item: None

    def text(self):
        return self._text

    def setText(self, text):
        if not isinstance(text, str):
            raise TypeError(text)
        self._text = text
        self.tell(self)

    def setFlags(self, flags):
        self.flags = flags

    def checkState(self):
        return self.state

    def setCheckState(self, state):
        self.state = state
        self.tell(self)

    def setForeground(self, brush):
        self.brush = brush

    def enter(self, text):
        """Type a text into the cell."""
        assert self.flags & 2, "it cannot be edited"
        self.setText(text)

    def tick(self, on):
        """Click on the box."""
        assert self.flags & 16, "it cannot be ticked"
        self.setCheckState(2 if on else 0)

    def setIcon(self, icon):
        self.icon = icon

    def setTextAlignment(self, alignment):
        self.alignment = alignment

    def setToolTip(self, text):
        self.tip = text


class Size:
    def height(self):
        return 20


class Header(Widget):
    """Also a scroll bar: it has a size."""

    PROPERTIES = {"sizeHint": Size()}
    SIGNALS = ("sectionClicked(int)",)

    def setSectionsClickable(self, _on):
        pass

    def setHighlightSections(self, _on):
        pass

    def setStretchLastSection(self, _on):
        pass

    def setSectionResizeMode(self, *modes):
        if len(modes) == 1:
            self.keep(mode=modes[0])


class QTableWidget(Widget):
    PROPERTIES = {"rowCount": 0, "columnCount": 0, "frameWidth": 1}
    SIGNALS = ("cellClicked(int,int)", "itemSelectionChanged()", "cellChanged(int,int)")

    def start(self):
        self.keep(cells={}, headings=[], selected=None, across=Header(), down=Header())

    def clear(self):
        self.keep(cells={}, headings=[])
        self._select(None)

    def setRowCount(self, n):
        self.values["rowCount"] = n
        if self.selected is not None and self.selected >= n:
            self._select(None)

    def setColumnCount(self, n):
        self.values["columnCount"] = n

    def setItem(self, row, column, item):
        if not (0 <= row < self.rowCount and 0 <= column < self.columnCount):
            raise IndexError((row, column))
        self.cells[row, column] = item
        item.tell = self._tell
        self.emit("cellChanged", row, column)

    def _tell(self, item):
        place = next((where for where, one in self.cells.items() if one is item), None)
        if place is not None:
            self.emit("cellChanged", *place)

    def item(self, row, column):
        return self.cells.get((row, column))

    def setHorizontalHeaderLabels(self, texts):
        self.keep(headings=[QTableWidgetItem(text) for text in texts])

    def horizontalHeaderItem(self, column):
        return self.headings[column]

    def horizontalHeader(self):
        return self.across

    def verticalHeader(self):
        return self.down

    def horizontalScrollBar(self):
        return self.across

    def rowHeight(self, row):
        assert 0 <= row < self.rowCount
        return 20

    def setFixedHeight(self, height):
        self.keep(height=height)

    def resizeColumnToContents(self, column):
        assert 0 <= column < self.columnCount

    def resizeColumnsToContents(self):
        pass

    def resizeRowsToContents(self):
        pass

    def selectRow(self, row):
        if 0 <= row < self.rowCount:
            self._select(row)

    def selectionModel(self):
        rows = [] if self.selected is None else [SimpleNamespace(row=lambda: self.selected)]
        return SimpleNamespace(selectedRows=lambda: rows)

    def texts(self):
        """Every cell as text, for tests."""
        return [[self.cells[row, column].text() for column in range(self.columnCount)] for row in range(self.rowCount)]

    def _select(self, row):
        was = self.selected
        self.keep(selected=row)
        if row != was:
            self.emit("itemSelectionChanged")


class ctkCollapsibleButton(Widget):
    PROPERTIES = {"text": "", "collapsed": False}
    SIGNALS = ("contentsCollapsed(bool)",)

    def change(self, name, value):
        was = self.values[name]
        super().change(name, value)
        if name == "collapsed" and value != was:
            self.emit("contentsCollapsed", value)


class ctkSliderWidget(Widget):
    PROPERTIES = {"value": 0.0, "minimum": 0.0, "maximum": 99.0, "singleStep": 1.0, "pageStep": 10.0, "decimals": 2,
                  "suffix": ""}  # fmt: skip
    SIGNALS = ("valueChanged(double)",)

    def change(self, name, value):
        if name != "value":
            super().change(name, value)
            return
        value = min(max(float(value), self.minimum), self.maximum)
        was = self.value
        super().change(name, value)
        if value != was:
            self.emit("valueChanged", value)

    def setValue(self, value):
        self.value = value


class ctkPathLineEdit(Widget):
    PROPERTIES = {"currentPath": ""}
    SIGNALS = ("currentPathChanged(QString)",)

    def change(self, name, value):
        was = self.values[name]
        super().change(name, value)
        if name == "currentPath" and value != was:
            self.emit("currentPathChanged", value)


class qMRMLWidget(Widget):
    def setMRMLScene(self, scene):
        for child in self.walk():
            if child is not self and isinstance(child, qMRMLWidget):
                child.keep(scene=scene)


class qMRMLNodeComboBox(qMRMLWidget):
    SIGNALS = ("currentNodeChanged(vtkMRMLNode*)",)

    def start(self):
        self.keep(node=None, kinds=())

    def currentNode(self):
        return self.node

    def setCurrentNode(self, node):
        if node is not self.node:
            self.keep(node=node)
            self.emit("currentNodeChanged", node)


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Undo and redo by Slicer's own history."""

    PROPERTIES = {"maximumNumberOfUndoStates": 0}

    def start(self):
        self.keep(editor_node=None, segmentation=None, volume=None, shortcuts=0, history=None, effect=None)

    def setMRMLSegmentEditorNode(self, node):
        self.keep(editor_node=node)

    def setSegmentationNode(self, node):
        if node is not None and self.editor_node is None:
            raise RuntimeError("the editor has no parameter node")
        if node is self.segmentation:
            return
        history = slicer.vtkSegmentationHistory()
        if node is not None:
            history.SetSegmentation(node.GetSegmentation())
        self.keep(segmentation=node, history=history)
        ids = node.GetSegmentation().GetSegmentIDs() if node is not None else ()
        self.setCurrentSegmentID(ids[0] if ids else "")
        scene = node.GetScene() if node is not None else None
        if scene is not None and scene.IsBatchProcessing():
            # The editor's own selectors take stock of the scene once it is loaded, and begin with none.
            scene.AddObserver(slicer.vtkMRMLScene.EndBatchProcessEvent, self._lose)

    def _lose(self, scene, _event):
        scene.RemoveObservers(slicer.vtkMRMLScene.EndBatchProcessEvent)
        self.keep(segmentation=None, volume=None)

    def segmentationNode(self):
        return self.segmentation

    def setSourceVolumeNode(self, node):
        if self.segmentation is None:
            raise RuntimeError("the editor logs an error: it has no segmentation")
        self.keep(volume=node)

    def setCurrentSegmentID(self, segment_id):
        """No signal: the editor gives one for clicks only."""
        if self.editor_node is not None:
            self.editor_node.SetSelectedSegmentID(segment_id)

    def currentSegmentID(self):
        return (self.editor_node.GetSelectedSegmentID() if self.editor_node is not None else "") or ""

    def saveStateForUndo(self):
        self.history.SaveState()

    def undo(self):
        self.history.RestorePreviousState()

    def redo(self):
        self.history.RestoreNextState()

    def installKeyboardShortcuts(self):
        self.keep(shortcuts=self.shortcuts + 1)

    def uninstallKeyboardShortcuts(self):
        """As often as one likes."""
        self.keep(shortcuts=0)

    def setActiveEffect(self, effect):
        assert effect is None
        self.keep(effect=None)
        if self.editor_node is not None:
            self.editor_node.SetActiveEffectName("")

    def setActiveEffectByName(self, name):
        self.keep(effect=name)
        self.editor_node.SetActiveEffectName(name)

    def removeViewObservations(self):
        pass

    def setSegmentationNodeSelectorVisible(self, _on):
        pass

    def setSourceVolumeNodeSelectorVisible(self, _on):
        pass

    def setSwitchToSegmentationsButtonVisible(self, _on):
        pass


KINDS = {name: kind for name, kind in globals().items() if isinstance(kind, type) and issubclass(kind, Widget)}


def load_form(path):
    """The widgets of a .ui file with the values it gives them."""
    return _made(ET.parse(path).getroot().find("widget"))


def child_variables(widget):
    return SimpleNamespace(**{child.name: child for child in widget.walk() if child.name})


def _made(element):
    widget = KINDS[element.get("class")]()
    widget.values["name"] = element.get("name")
    for part in element.findall("property"):
        name, value = part.get("name"), part[0]
        plain = {"bool": lambda v: v.text == "true", "number": lambda v: int(v.text), "double": lambda v: float(v.text),
                 "string": lambda v: v.text or ""}.get(value.tag)  # fmt: skip
        if name == "nodeTypes":
            widget.keep(kinds=[kind.text for kind in value])
        if name == "SlicerParameterName":
            widget.dynamic[name] = value.text
        elif plain and name in widget.values:
            widget.values[name] = plain(value)
    for child in element.iter():
        if child is not element and child.tag == "widget" and _parent(element, child) is element:
            widget.children.append(_made(child))
    return widget


def _parent(root, element):
    """The nearest widget above an element."""
    above = {child: parent for parent in root.iter() for child in parent}
    node = above[element]
    while node.tag != "widget":
        node = above[node]
    return node
