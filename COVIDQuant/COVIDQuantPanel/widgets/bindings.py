"""Widgets that show a parameter each, and store what the reader chooses there.

A form names the parameter of a widget by the property ``SlicerParameterName``, as for Slicer's own connector. The texts
of a combo box are the panel's, so that they can be translated; the parameter node keeps the choice itself.
"""

from functools import partial

import slicer

from COVIDQuantPanel.parameters import DEVICES, METHODS

# Kind of a widget → the property that shows the parameter, and the signal that tells its change.
_SHOWN_BY = {
    "QCheckBox": ("checked", "toggled(bool)"),
    "QComboBox": ("currentIndex", "currentIndexChanged(int)"),
    "qMRMLNodeComboBox": ("currentNodeID", "currentNodeIDChanged(QString)"),
}
# What the entries of a combo box stand for.
_CHOICES = {"method": METHODS, "device": DEVICES}


class Bindings:
    """The bound widgets of a form.

    Args:
        form: the widget with the form.
        parameters: returns the parameter node; None while there is none, when nothing is stored.
    """

    def __init__(self, form, parameters):
        self._parameters = parameters
        self._bound = []
        for widget in slicer.util.findChildren(form):
            name = widget.property("SlicerParameterName")
            if name:
                shown_by, signal = _SHOWN_BY[widget.className()]
                self._bound.append((widget, name, shown_by))
                widget.connect(signal, partial(self._store, name))

    def show(self):
        """Show the parameters; a widget that shows its own already stays as it is."""
        for widget, name, shown_by in self._bound:
            shown = as_shown(name, getattr(self._parameters(), name))
            if getattr(widget, shown_by) != shown:
                setattr(widget, shown_by, shown)

    def _store(self, name, shown):
        parameters = self._parameters()
        if parameters is None:
            return
        value = as_stored(name, shown)
        if value != getattr(parameters, name):
            setattr(parameters, name, value)


def as_shown(name, value):
    """A parameter as a widget shows it: the place of a choice, the ID of a node."""
    if name in _CHOICES:
        return _CHOICES[name].index(value)
    if isinstance(value, slicer.vtkMRMLNode):
        return value.GetID()
    return "" if value is None else value


def as_stored(name, shown):
    """What a widget shows as the parameter node keeps it."""
    if name in _CHOICES:
        return _CHOICES[name][shown]
    return slicer.mrmlScene.GetNodeByID(shown) if isinstance(shown, str) else shown
