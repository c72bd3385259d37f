"""What the panel asks of Qt's own classes: timers, keys, boxes, menus, dialogs. Nothing is decided here.

This file and ``qt_table`` are the only ones that import ``qt``. Without a Slicer they are replaced as a whole, so that
everything else can be tested; with one, the tests in ``Testing/Python`` try them.
"""

import qt
import slicer
import vtk


def timer(milliseconds, method, *, once=False):
    """A timer, not started yet, that calls a method."""
    made = qt.QTimer()
    made.setSingleShot(once)
    made.setInterval(milliseconds)
    made.connect("timeout()", method)
    return made


def later(method):
    """Call a method once Qt has done what is pending."""
    qt.QTimer.singleShot(0, method)


def remember(key, text):
    """Keep a text in Slicer's settings."""
    qt.QSettings().setValue(key, text)


def remembered(key):
    """A text of Slicer's settings; empty if it was never kept."""
    return slicer.util.settingsValue(key, "") or ""


def copy_text(text):
    """Copy a text to the clipboard."""
    slicer.app.clipboard().setText(text)


def copied_text():
    """The text on the clipboard."""
    return slicer.app.clipboard().text()


def open_link(link):
    """Open a file, a folder or a page as the desktop does."""
    qt.QDesktopServices.openUrl(qt.QUrl(link))


def ask_for_folder(title):
    """The folder that the reader chooses; empty if none was chosen."""
    return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)


def wait_dialog(title, text):
    """A dialog over everything, with a progress bar and a button that cancels."""
    modal = qt.Qt.ApplicationModal
    return slicer.util.createProgressDialog(labelText=text, windowTitle=title, windowModality=modal, autoClose=False)


def shortcuts_in(window):
    """Every shortcut of a window, with its key as text and the effect of the segment editor that it chooses, if any."""
    return [(one, one.key.toString(), one.property("effectIndex")) for one in window.findChildren("QShortcut")]


def add_key(key, widget, command, *, with_focus=False):
    """Have a key call a command: anywhere in the window of a widget, or only while the widget has the focus."""
    shortcut = qt.QShortcut(qt.QKeySequence(key), widget)
    if with_focus:
        shortcut.setContext(qt.Qt.WidgetShortcut)
    shortcut.connect("activated()", command)
    return shortcut


def remove_key(shortcut):
    """Give a key back."""
    shortcut.disconnect("activated()")
    shortcut.setParent(None)


def add_box(widget, text, changed):
    """A box to tick below the others of a widget; ``changed`` is called with its state."""
    box = qt.QCheckBox(text)
    box.connect("toggled(bool)", changed)
    widget.layout().addWidget(box)
    return box


def add_menu(button, choices, changed):
    """A menu of a tool button whose entries can be ticked.

    Args:
        button: the QToolButton.
        choices: name → an entry's ``text`` and ``tip``.
        changed: called when any was ticked or not.

    Returns:
        Name → QAction.
    """
    menu, actions = qt.QMenu(button), {}
    for name, choice in choices.items():
        actions[name] = menu.addAction(choice.text)
        actions[name].setCheckable(True)
        actions[name].setToolTip(choice.tip)
        actions[name].connect("toggled(bool)", changed)
    menu.setToolTipsVisible(True)
    button.setMenu(menu)
    return actions


def fill(combo, texts, place=0):
    """Give a combo box other entries, one of them chosen; no signal is emitted."""
    was_blocked = combo.blockSignals(True)
    combo.clear()
    combo.addItems(texts)
    combo.setCurrentIndex(place)
    combo.blockSignals(was_blocked)


def plot_axes():
    """Every plot view's vtkMRMLPlotViewNode and the vtkAxis at its bottom; none without Slicer's main window."""
    manager = slicer.app.layoutManager()
    views = [manager.plotWidget(place) for place in range(manager.plotViewCount)] if manager is not None else []
    return [(view.mrmlPlotViewNode(), view.plotView().chart().GetAxis(vtk.vtkAxis.BOTTOM)) for view in views]
