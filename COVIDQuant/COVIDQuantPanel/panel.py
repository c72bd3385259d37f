"""The sections together: what they share, and how a change in one reaches the others."""

import slicer
import vtk
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.links import latest_result, volume_of
from COVIDQuantPanel import showing
from COVIDQuantPanel.advanced_section import AdvancedSection
from COVIDQuantPanel.export_section import ExportSection
from COVIDQuantPanel.input_section import InputSection
from COVIDQuantPanel.results_section import ResultsSection
from COVIDQuantPanel.review_section import ReviewSection
from COVIDQuantPanel.section import timer

# Edits that come faster than this are counted together.
_UPDATE_MS = 30
_SECTIONS = (InputSection, ResultsSection, ReviewSection, ExportSection, AdvancedSection)


class Panel:
    """The module's panel.

    Args:
        layout: gets the sections.
        logic: the module's logic.
        observer: an object of ``VTKObservationMixin``; it drops the observations when it goes.

    Attributes:
        logic: the module's logic.
        parameters: the reader's choices; None while the scene closes or the module is left.
        reading: the result that is followed; None if there is none.
        problem: why none can be followed or its figures are out of date; empty if nothing is wrong.
    """

    def __init__(self, layout, logic, observer):
        self.logic = logic
        self.parameters = None
        self.reading = None
        self.problem = ""
        self._observer = observer
        self._tags = []
        self._volume = None
        self._following = False
        self._timer = timer(_UPDATE_MS, self.update, once=True)
        self.sections = []
        for kind in _SECTIONS:
            section = kind(self)
            self.sections.append(section)
            layout.addWidget(section.widget)
        layout.addStretch(1)

    @property
    def volume(self):
        """The chosen CT; None if none is."""
        return self.parameters.inputVolume if self.parameters else None

    def tell(self, event):
        """Call a method of every section by its name."""
        for section in self.sections:
            getattr(section, event)()

    def enter(self):
        """The reader opened the module."""
        self.connect()
        self.tell("on_enter")

    def exit(self):
        """The reader left the module; figures go on following, a running job goes on."""
        self.tell("on_exit")
        self._disconnect()

    def connect(self):
        """Take up the scene's choices, and propose a CT."""
        self._disconnect()
        self.parameters = self.logic.getParameterNode()
        self._tags = [self.parameters.connectGui(section.widget) for section in self.sections]
        self._observer.addObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self._on_parameters)
        if not self.parameters.inputVolume:
            proposed = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if proposed:
                self.parameters.inputVolume = proposed
        self._on_parameters()

    def close(self):
        """Let go of every node before the scene closes."""
        self._stop_following()
        self.tell("on_close")
        self._disconnect()

    def quit(self):
        """End everything: the module is reloaded or Slicer quits."""
        self._timer.stop()
        self.close()
        self.tell("on_quit")

    def update(self):
        """Take in the edits since the last time."""
        if self.reading is None:
            return
        if not self.reading.is_attached:
            # A node of it has left the scene.
            showing.let_go(self.reading)
            self._stop_following()
            self.tell("on_reading")
            return
        try:
            self.reading.update()
            self.problem = ""
        except COVIDQuantError as error:
            self.problem = error.line()
        self.tell("on_figures")

    def show_error(self, error):
        """Show an error of the reader's, in words."""
        slicer.util.errorDisplay(error.line(), windowTitle=_("COVIDQuant"))

    def _disconnect(self):
        if self.parameters is None:
            return
        for tag in self._tags:
            self.parameters.disconnectGui(tag)
        self._tags = []
        self._observer.removeObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self._on_parameters)
        self.parameters = None

    def _on_parameters(self, _caller=None, _event=None):
        if self._following or self.parameters is None:
            return
        self._following = True
        try:
            self._pair_choices()
            self._follow(self.parameters.inputVolume, self.parameters.segmentation)
        finally:
            self._following = False
        self.tell("on_parameters")

    def _pair_choices(self):
        """A result and its CT belong together: whichever was chosen brings the other along."""
        volume, segmentation = self.parameters.inputVolume, self.parameters.segmentation
        owner = volume_of(segmentation) if segmentation else None
        changed, self._volume = volume is not self._volume, volume
        if segmentation is not None and (owner is None or owner is volume):
            return
        if volume is not None and (changed or segmentation is None):
            if changed:
                self.parameters.segmentation = latest_result(volume)
        elif owner is not None:
            self.parameters.inputVolume = self._volume = owner

    def _follow(self, volume, segmentation):
        if self.reading and self.reading.is_attached and self.reading.segmentation is segmentation:
            return
        before = self.reading
        self._stop_following()
        if before is not None:
            there = all(slicer.mrmlScene.IsNodePresent(node) for node in (before.volume, before.segmentation))
            (showing.step_back if there else showing.let_go)(before)
        if segmentation is not None:
            try:
                self.reading = self.logic.follow(volume, segmentation, self._timer.start)
                showing.step_forward(self.reading)
            except COVIDQuantError as error:
                self.problem = error.line()
        self.tell("on_reading")
        self.tell("on_figures")

    def _stop_following(self):
        self._timer.stop()
        self.problem = ""
        reading, self.reading = self.reading, None
        if reading is not None:
            reading.close()
