"""Combines the sections: what they share, and how they are notified of changes."""

from functools import partial

import slicer
import vtk
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.navigation import look_at
from COVIDQuantLib.scene.nodes.result_links import latest_result, results_of, volume_of, was_followed
from COVIDQuantLib.scene.nodes.windows import WINDOWS, apply_to_shown, open_in_lung_window
from COVIDQuantPanel import views
from COVIDQuantPanel.events import PanelEvents
from COVIDQuantPanel.keys import Keys
from COVIDQuantPanel.presenters import opening
from COVIDQuantPanel.sections.advanced_section import AdvancedSection
from COVIDQuantPanel.sections.export_section import ExportSection
from COVIDQuantPanel.sections.followup_section import FollowupSection
from COVIDQuantPanel.sections.input_section import InputSection
from COVIDQuantPanel.sections.readers_section import ReadersSection
from COVIDQuantPanel.sections.results_section import ResultsSection
from COVIDQuantPanel.sections.review_section import ReviewSection
from COVIDQuantPanel.turns import Turns
from COVIDQuantPanel.widgets.qt_calls import timer

# Edits at shorter intervals are counted together.
_UPDATE_MS = 30
# A CT is loaded completely so long after it is shown.
_LOADED_MS = 200
_SECTIONS = (
    InputSection,
    ResultsSection,
    ReviewSection,
    ReadersSection,
    FollowupSection,
    ExportSection,
    AdvancedSection,
)


class Panel:
    """The module's panel.

    Args:
        layout: to which the sections are added.
        logic: the module's logic.
        observer: an object of ``VTKObservationMixin``; it removes its observations when it is deleted.

    Attributes:
        logic: the module's logic.
        observer: see above.
        events: what happens, for the sections.
        parameters: the reader's choices; None while the scene closes or the module is left.
        reading: the result being followed; None if there is none.
        problem: why no result can be followed or its figures are out of date; empty if there is no problem.
        turns: what is still to be done about the result that is followed, one step for each turn of the event loop.
    """

    def __init__(self, layout, logic, observer):
        self.logic = logic
        self.parameters = None
        self.reading = None
        self.problem = ""
        self.observer = observer
        self.events = PanelEvents()
        self.turns = Turns()
        self._volume = None
        self._following = False
        self._new = (None, None, None)
        self._selection = None
        self._proposal = timer(_LOADED_MS, self._propose_ct, once=True)
        self._left = None
        self._timer = timer(_UPDATE_MS, self.update, once=True)
        self.sections = []
        for kind in _SECTIONS:
            section = kind(self)
            self.sections.append(section)
            layout.addWidget(section.widget)
        layout.addStretch(1)
        self._step = None
        self.keys = Keys({window.key: partial(self._show_in, window) for window in WINDOWS} | self._section_keys())
        self.events.reading_changed.connect(self._open_sections)
        self.events.figures_changed.connect(self._open_sections)

    @property
    def volume(self):
        """The chosen CT; None if there is none."""
        return self.parameters.inputVolume if self.parameters else None

    def enter(self):
        """The reader opened the module."""
        self.connect()
        self.events.entered.emit()
        # After the segment editor has taken its keys.
        self.keys.install()

    def exit(self):
        """The reader left the module; figures are still updated and a running job continues."""
        self.keys.remove()
        self.events.exited.emit()
        self._disconnect()

    def connect(self):
        """Read the scene's settings, and propose a CT."""
        self._disconnect()
        self.parameters = self.logic.getParameterNode()
        self.observer.addObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self._on_parameters)
        # It changes when a volume has been loaded and is shown.
        self._selection = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSelectionNode")
        if self._selection is not None:
            self.observer.addObserver(self._selection, vtk.vtkCommand.ModifiedEvent, self._on_selection)
        self._propose_ct()
        self._on_parameters()

    def close(self):
        """Release every node before the scene closes."""
        self._stop_following()
        self.events.closing.emit()
        self._disconnect()

    def drop(self, node):
        """Deselect a node that is being removed; a removed result is replaced by an earlier one of the same CT."""
        parameters = self.parameters
        if parameters is None:
            return
        if node is parameters.segmentation:
            volume = parameters.inputVolume
            others = [result for result in results_of(volume) if result is not node] if volume is not None else []
            parameters.segmentation = others[-1] if others else None
        elif node is parameters.inputVolume:
            parameters.segmentation = None
            parameters.inputVolume = None
        if node is parameters.lobesFrom:
            parameters.lobesFrom = None

    def quit(self):
        """Shut down: the module is reloaded or Slicer quits."""
        self._timer.stop()
        self.keys.remove()
        self.close()
        self.events.quitting.emit()

    def take(self, segmentation, counts=None, place=None):
        """Select a new result.

        Args:
            segmentation: the vtkMRMLSegmentationNode; shown in a later turn of the event loop.
            counts: its counts, if they are known already; int64 ``[6, 2, 4096]``.
            place: RAS position (mm) that the views go to; None to leave them where they are.
        """
        self._new = (segmentation, counts, place)
        try:
            self.parameters.segmentation = segmentation
        finally:
            self._new = (None, None, None)

    def update(self):
        """Update after edits since the last call."""
        left, self._left = self._left, None
        if left is not None and not _is_there(left):
            views.let_go(left)
        if self.reading is None:
            return
        if not self.reading.is_attached:
            # One of its nodes was removed from the scene.
            views.let_go(self.reading)
            self._stop_following()
            self.events.reading_changed.emit()
            return
        try:
            self.reading.update()
            self.problem = ""
        except COVIDQuantError as error:
            self.problem = error.line()
        self.events.figures_changed.emit()

    def select_segment(self, segment_id):
        """Select a segment of the current result in the editor."""
        self.events.segment_chosen.emit(segment_id)

    def show_error(self, error):
        """Show an error to the reader."""
        slicer.util.errorDisplay(error.line(), windowTitle=_("COVIDQuant"))

    def _section_keys(self):
        """Key → what the section does that has it."""
        found = {}
        for section in self.sections:
            found |= section.keys()
        return found

    def _show_in(self, window):
        """Show the CTs in a window of CT numbers."""
        apply_to_shown(slicer.mrmlScene, window, [self.volume])

    def _open_sections(self):
        """Open the sections of the next step of the work."""
        before, self._step = self._step, opening.step_of(self.reading.figures if self.reading else None)
        for name, is_open in opening.opened(before, self._step).items():
            section = next(one for one in self.sections if type(one).__name__ == name)
            section.box.collapsed = not is_open

    def _disconnect(self):
        self._proposal.stop()
        if self.parameters is None:
            return
        self.observer.removeObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self._on_parameters)
        if self._selection is not None:
            self.observer.removeObserver(self._selection, vtk.vtkCommand.ModifiedEvent, self._on_selection)
        self.parameters = self._selection = None

    def _on_selection(self, _caller=None, _event=None):
        # A DICOM reader sets the window of a CT after the CT is shown, and would undo ours.
        self._proposal.start()

    def _propose_ct(self):
        """Choose the CT that is shown if none is chosen."""
        if self.parameters.inputVolume is None:
            proposed = views.proposed_ct()
            if proposed is not None:
                self.parameters.inputVolume = proposed

    def _on_parameters(self, _caller=None, _event=None):
        if self.parameters is None:
            return
        for section in self.sections:
            section.bindings.show()
        if self._following:
            return
        self._following = True
        try:
            self._pair_choices()
            if self.parameters.inputVolume is not None:
                open_in_lung_window(self.parameters.inputVolume)
            self._follow(self.parameters.inputVolume, self.parameters.segmentation)
        finally:
            self._following = False
        self.events.parameters_changed.emit()

    def _pair_choices(self):
        """Keep result and CT consistent: choosing one selects the other."""
        volume, segmentation = self.parameters.inputVolume, self.parameters.segmentation
        owner = volume_of(segmentation) if segmentation else None
        changed, self._volume = volume is not self._volume, volume
        # A result whose CT was removed is not counted on the CT that replaces it in the selector.
        is_lost = changed and owner is None and segmentation is not None and was_followed(segmentation)
        if segmentation is not None and not is_lost and owner in {None, volume}:
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
            (views.step_back if _is_there(before) else views.let_go)(before)
        if segmentation is not None:
            new, counts, place = self._new
            try:
                self.reading = self.logic.follow(
                    volume, segmentation, self._timer.start, counts if new is segmentation else None
                )
                self._show_later(self.reading, place if new is segmentation else None)
            except COVIDQuantError as error:
                self.problem = error.line()
                views.show_result(segmentation)
        # A node that is being removed still exists; check again later.
        self._left = before or self._left
        self._timer.start()
        self.events.reading_changed.emit()
        self.events.figures_changed.emit()

    def _show_later(self, reading, place):
        """Show a result once the sections have their size, as views that change theirs draw all that they show."""
        if place is not None:
            self.turns.then(partial(look_at, slicer.mrmlScene, place))
        self.turns.leave_one()
        self.turns.then(partial(views.step_forward, reading))

    def _stop_following(self):
        self._timer.stop()
        self.turns.drop()
        self.problem = ""
        reading, self.reading = self.reading, None
        if reading is not None:
            reading.close()


def _is_there(reading):
    return all(slicer.mrmlScene.IsNodePresent(node) for node in (reading.volume, reading.segmentation))
