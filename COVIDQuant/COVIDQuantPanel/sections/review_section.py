"""Review: Slicer's segment editor, suspected artefacts, statuses, and restoring the AI result."""

import slicer
import vtk

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.navigation import voxel_of_world
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.scene.review.ai_result import has_original, restore_at
from COVIDQuantLib.scene.review.segment_status import accept, statuses_of, take_back_acceptance
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantPanel.editor_supply import EditorSupply, editor_node
from COVIDQuantPanel.presenters.review import ReviewState, is_bounded, restored_text
from COVIDQuantPanel.sections.chest_limit import ChestLimit
from COVIDQuantPanel.sections.findings_list import FindingsList
from COVIDQuantPanel.sections.section import Section, say


class ReviewSection(Section):
    """The reader's review of the current result."""

    def setup(self):
        """Connect the widgets."""
        ui = self.ui
        self.findings = FindingsList(self)
        self._chest = ChestLimit(self)
        self._supply = EditorSupply(ui.editor)
        ui.acceptSegmentButton.connect("clicked(bool)", self.on_accept_segment)
        ui.acceptAllButton.connect("clicked(bool)", lambda: self._accept(None))
        ui.takeBackButton.connect("clicked(bool)", self.on_take_back)
        ui.restorePlaceButton.connect("clicked(bool)", self.on_restore_place)
        ui.restoreAllButton.connect("clicked(bool)", self.on_restore_all)
        self._role = None
        self._erasing = False
        self._wanted = None
        self.by_button = False
        self._entered = False
        self._show_what_can_be_done()

    def keys(self):
        """One for the next finding."""
        return {"N": self.findings.on_next}

    def on_enter(self):
        """Enable the editor's keyboard shortcuts while the module is open."""
        if not self._entered:
            self.ui.editor.installKeyboardShortcuts()
        self._entered = True
        self.on_reading()

    def on_exit(self):
        """Release keyboard and views."""
        self._entered = False
        self.findings.unmark()
        self.ui.editor.setActiveEffectByName("")
        self.ui.editor.uninstallKeyboardShortcuts()
        self.ui.editor.removeViewObservations()

    def on_reading(self):
        """Edit another result, or none."""
        reading = self.panel.reading
        self.findings.on_reading()
        self._chest.stop()
        self._role = None
        self._wanted = None
        # Until it has the result, it still has the one before.
        self.ui.editor.enabled = False
        if reading is None:
            self._let_go()
        elif self._entered:
            # Later than this turn, also because the editor's own selectors lose their nodes while a scene is loaded.
            self.panel.turns.then(*self._supply.steps(reading), self._settle, self._release)
        self._show_what_can_be_done()

    def on_figures(self):
        """Update the statuses; a painted lobe stays in the chest, and takes the voxels from its neighbours."""
        reading = self.panel.reading
        if reading is not None and self._role not in {None, LESION_ROLE}:
            self._chest.prepare(self._role, painting=not self._erasing)
            if self._paints():
                self._chest.apply(self.ui.editor.currentSegmentID())
            reading.settle_overlap(self.ui.editor.currentSegmentID())
        self.findings.refresh()
        self._show_what_can_be_done()

    def on_close(self):
        """Release the nodes and the views."""
        self.findings.stop()
        self.findings.unmark()
        self._chest.stop()
        self.ui.editor.setActiveEffectByName("")
        self._supply.keep()
        self._let_go()
        self.ui.editor.removeViewObservations()

    def on_quit(self):
        """Deactivate the editor, so that it neither paints along with that of a reloaded panel nor takes its keys."""
        self.on_close()
        self.ui.editor.uninstallKeyboardShortcuts()
        self.ui.editor.setMRMLSegmentEditorNode(None)

    def on_segment(self, _caller=None, _event=None):
        """Pneumonia is painted within the lungs and covers no lobe; a lobe may be painted wherever there is chest.

        The eraser needs no such bounds, and Slicer is several times faster on a large CT without them.
        """
        node = editor_node()
        role, effect = self._roles().get(self.ui.editor.currentSegmentID()), node.GetActiveEffectName()
        erasing = effect == "Erase"
        # Without an effect nothing is painted yet, and the search for the chest begins with a copy of the CT.
        self._chest.prepare(role, painting=bool(effect) and not erasing)
        if role is None or (role, erasing) == (self._role, self._erasing):
            return
        self._role, self._erasing = role, erasing
        segmentation = slicer.vtkMRMLSegmentationNode
        inside, everywhere = segmentation.EditAllowedInsideAllSegments, segmentation.EditAllowedEverywhere
        node.SetMaskMode(inside if is_bounded(role, erasing=erasing) else everywhere)
        node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)

    def select_segment(self, segment_id):
        """Select a segment for editing, once the editor has the result."""
        if not self._entered:
            return
        if not self.ui.editor.enabled:
            self._wanted = segment_id
            return
        self.ui.editor.setCurrentSegmentID(segment_id)
        self.on_segment()

    def on_accept_segment(self):
        """Accept the segment selected in the editor."""
        self._accept([self.ui.editor.currentSegmentID()])

    def on_take_back(self):
        """Withdraw the acceptance of all segments."""
        take_back_acceptance(self.panel.reading.segmentation, self.panel.reading.live.histogram)
        self.panel.events.figures_changed.emit()

    def on_restore_all(self):
        """Restore every segment to the AI result."""
        with self.undoable():
            self.panel.reading.back_to_original()

    def on_restore_place(self):
        """Restore the pneumonia to the AI result at the crosshair, which selecting a finding moves."""
        reading = self.panel.reading
        point = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode").GetCrosshairRAS()
        changed = 0
        with self.undoable():
            changed = restore_at(reading.live, voxel_of_world(reading.volume, point))
        say(self.ui.reviewLabel, restored_text(changed))

    def undoable(self):
        """Save an undo state, change segments and update everything; an error is shown."""
        return _Undoable(self)

    def _edit(self, reading):
        """Set a result in the editor, with its pneumonia selected."""
        editor, node, observer = self.ui.editor, editor_node(), self.panel.observer
        # The editor signals a segment only if it was chosen by a click; its node always does.
        if not observer.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self.on_segment):
            observer.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.on_segment)
        editor.setMRMLSegmentEditorNode(node)
        editor.setSegmentationNode(reading.segmentation)
        editor.setSourceVolumeNode(reading.volume)
        lesions = [name for name, role in self._roles().items() if role == LESION_ROLE]
        if lesions:
            editor.setCurrentSegmentID(lesions[0])
            self.on_segment()

    def _settle(self):
        """Give the editor the result, unless it has it already."""
        reading = self.panel.reading
        if reading is None or not self._entered:
            return
        if self.ui.editor.segmentationNode() is not reading.segmentation:
            self._role = None
            self._edit(reading)
        self.ui.editor.enabled = True
        if self._wanted:
            self.select_segment(self._wanted)

    def _release(self):
        if self._supply.release():
            self.panel.turns.then(self._release)

    def _let_go(self):
        """Set the CT first: without a segmentation the editor accepts no other."""
        if self.ui.editor.segmentationNode() is not None:
            self.ui.editor.setSourceVolumeNode(None)
        self.ui.editor.setSegmentationNode(None)

    def _accept(self, segment_ids):
        accept(self.panel.reading.segmentation, self.panel.reading.live.histogram, segment_ids)
        self.panel.events.figures_changed.emit()
        self.panel.events.accepted.emit()

    def _paints(self):
        """Whether a change is the reader's stroke, not one by a button or of a tool that only takes away."""
        return not self.by_button and editor_node().GetActiveEffectName() not in {"", None, "Erase"}

    def _roles(self):
        reading = self.panel.reading
        content = reading.segmentation.GetSegmentation() if reading else None
        return roles_of(content) if content else {}

    def _show_what_can_be_done(self):
        state = _state_of(self.panel.reading)
        self.show_controls(state.controls())
        say(self.ui.reviewLabel, state.text(self.ui.reviewLabel.text))


class _Undoable:
    def __init__(self, section):
        self._section = section

    def __enter__(self):
        self._section.ui.editor.saveStateForUndo()
        self._section.by_button = True

    def __exit__(self, _kind, error, _trace):
        try:
            self._section.panel.update()
        finally:
            self._section.by_button = False
        if isinstance(error, COVIDQuantError):
            self._section.panel.show_error(error)
            return True
        return False


def _state_of(reading):
    if reading is None:
        return ReviewState()
    statuses = tuple(statuses_of(reading.segmentation).values())
    kept = has_original(reading.segmentation)
    return ReviewState(
        is_there=True, figures=reading.figures, statuses=statuses, has_original=kept, is_edited=reading.is_edited
    )
