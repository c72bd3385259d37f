"""The base of all sections of the panel."""

from dataclasses import replace
from pathlib import Path

import slicer

from COVIDQuantPanel.presenters.controls import Control
from COVIDQuantPanel.widgets.bindings import Bindings

_UI_FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "UI"


class Section:
    """A part of the panel with a .ui file of its own.

    Args:
        panel: what the sections share: ``logic``, ``parameters`` (None while the scene closes), ``reading`` (None if
            there is no result), ``events``, ``show_error``.

    Attributes:
        widget: the section's widget.
        ui: its named child widgets.
        bindings: those that show a parameter.
    """

    def __init__(self, panel):
        self.panel = panel
        self._tips = {}
        self.widget = slicer.util.loadUI(str(_UI_FOLDER / f"{type(self).__name__}.ui"))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.bindings = Bindings(self.widget, lambda: panel.parameters)
        self.setup()
        self._connect(panel.events)

    def _connect(self, events):
        events.entered.connect(self.on_enter)
        events.exited.connect(self.on_exit)
        events.parameters_changed.connect(self.on_parameters)
        events.reading_changed.connect(self.on_reading)
        events.figures_changed.connect(self.on_figures)
        events.accepted.connect(self.on_accepted)
        events.segment_chosen.connect(self.select_segment)
        events.closing.connect(self.on_close)
        events.quitting.connect(self.on_quit)

    @property
    def box(self):
        """The collapsible button around everything."""
        return getattr(self.ui, type(self).__name__.removesuffix("Section").lower() + "Box")

    def setup(self):
        """Connect the widgets, once."""

    def keys(self):
        """Key → what it does, anywhere in the window while the module is open."""
        return {}

    def allow(self, names, reason_not):
        """Enable buttons, or disable them with a reason as tooltip.

        Args:
            names: of the buttons.
            reason_not: why they are disabled; empty to enable them.
        """
        self.show_controls(dict.fromkeys(names, Control(reason_not)))

    def show_controls(self, controls):
        """Show controls by their names; one without a tip of its own keeps that of the form."""
        for name, control in controls.items():
            widget = getattr(self.ui, name)
            tip = self._tips.setdefault(name, widget.toolTip)
            apply_control(widget, replace(control, tip=control.tip or tip))

    def on_parameters(self):
        """The reader's choices changed."""

    def on_reading(self):
        """Another result was selected, or none."""

    def on_figures(self):
        """Figures, statuses or thresholds changed."""

    def on_accepted(self):
        """The reader accepted segments."""

    def select_segment(self, segment_id):
        """Select a segment, in the section with the editor."""

    def on_enter(self):
        """The reader opened the module."""

    def on_exit(self):
        """The reader left the module."""

    def on_close(self):
        """The scene closes, the module is reloaded, or Slicer quits; release every node."""

    def on_quit(self):
        """The module is reloaded, or Slicer quits; cancel what is running."""
        self.on_close()


def apply_control(widget, control):
    """Let a widget look as a presenter's ``Control`` says."""
    widget.enabled = control.enabled
    widget.toolTip = control.tooltip
    if control.text is not None:
        widget.text = control.text


def say(label, text):
    """Show a text; an empty label is hidden."""
    label.text = text
    label.visible = bool(text)


def silently(widget, **properties):
    """Set properties of a widget with its signals blocked."""
    was_blocked = widget.blockSignals(True)
    try:
        for name, value in properties.items():
            setattr(widget, name, value)
    finally:
        widget.blockSignals(was_blocked)
