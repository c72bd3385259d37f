"""Follow-up: earlier exams of the patient chosen, compared in the background, and the comparison shown."""

import slicer
from slicer.i18n import tr as _

from COVIDQuantLib.errors import Cancelled, COVIDQuantError
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.scene.followup.exams import exam_of_folder, exam_of_result, other_exams, set_day
from COVIDQuantLib.scene.followup.kept import keep
from COVIDQuantLib.scene.followup.run import FollowupRun
from COVIDQuantPanel.presenters import followup_exams as presenter
from COVIDQuantPanel.sections.followup_views import FollowupViews
from COVIDQuantPanel.sections.section import Section, apply_control, say
from COVIDQuantPanel.sections.table_view import TableView
from COVIDQuantPanel.widgets import qt_calls

_POLL_MS = 50


class FollowupSection(Section):
    """The comparison of the current result with earlier exams."""

    def setup(self):
        """Connect the widgets."""
        self._hint = ""
        self._run = None
        self._current = None
        self._exams = []
        self._folders = []
        self._ticks = {}
        self._timer = qt_calls.timer(_POLL_MS, self._poll)
        self.views = FollowupViews(self)
        ui = self.ui
        self.exam_list = TableView(ui.examsTable, changed=self.on_cell)
        ui.addFolderButton.connect("clicked(bool)", self.on_add_folder)
        ui.samePatientCheckBox.connect("toggled(bool)", self.on_same_patient)
        ui.compareButton.connect("clicked(bool)", self.on_compare)
        ui.followupBar.visible = False
        self.on_reading()

    def keys(self):
        """One for the next exam."""
        return {"E": self.on_next_exam}

    def on_next_exam(self):
        """Go on to the next exam of the patient: in the views side by side, or as the result shown."""
        if self._current is None or self.panel.parameters is None or self.views.on_next_pair():
            return
        exam = presenter.next_exam(self._exams, self._current)
        if exam is not None:
            self.panel.parameters.inputVolume = exam.volume
            self.panel.parameters.segmentation = exam.segmentation

    def on_enter(self):
        """Refresh, as exams may have been loaded or dated elsewhere."""
        self.on_reading()

    def on_exit(self):
        """Leave the layout as the reader chose it; other modules show results in it, too."""
        self.views.on_exit()

    def on_reading(self):
        """List the exams that the current result can be compared with, and show its comparison."""
        reading = self.panel.reading
        segmentation = None if reading is None else reading.segmentation
        if self._current is None or self._current.segmentation is not segmentation:
            self._ticks = {}
            self._folders = []
        self._read_exams(segmentation)
        self._lay_out()
        self.views.on_reading()

    def on_parameters(self):
        """Other exams may have been added to the scene."""
        if not self.ui.followupBox.collapsed:
            self._refresh()

    def on_figures(self):
        """A comparison may be out of date now, and new results may be there."""
        self.views.on_figures()

    def on_close(self):
        """Release the nodes."""
        self._stop("")
        self._current = None
        self._exams, self._folders, self._ticks = [], [], {}
        self._lay_out()
        self.views.on_close()

    def on_add_folder(self):
        """Add the exam of a folder written by quantify."""
        path = qt_calls.ask_for_folder(_("Folder written by quantify"))
        if path:
            self.add_folder(path)

    def add_folder(self, path):
        """Add the exam in a folder and tick it."""
        try:
            exam = exam_of_folder(path)
        except COVIDQuantError as error:
            self.panel.show_error(error)
            return
        if all(exam.result.path != other.result.path for other in self._folders):
            self._folders.append(exam)
        self._ticks[_key(exam)] = True
        self._refresh()

    def on_same_patient(self, *_arguments):
        """List exams of other patients, too, which the reader says are the same."""
        self._refresh()

    def on_cell(self, row, column, text, ticked):
        """An exam was ticked, or its date entered."""
        exam = self._exams[row]
        if column == presenter.EXAM:
            self._ticks[_key(exam)] = ticked
            self._show_button()
            return
        try:
            day = presenter.day_of_cell(text)
        except COVIDQuantError as error:
            self.panel.show_error(error)
        else:
            self._date(exam, day)
        # The cell is still being edited.
        qt_calls.later(self._refresh)

    def on_compare(self):
        """Compare the ticked exams with the one shown, or stop comparing."""
        if self._run is not None:
            self._stop(presenter.stopped_text())
            return
        try:
            onset = presenter.day_of_cell(self.ui.onsetEdit.text)
            self._run = FollowupRun(
                self._chosen(),
                onset,
                same_patient=self.ui.samePatientCheckBox.checked,
                environment=slicer.util.startupEnvironment(),
            )
        except COVIDQuantError as error:
            self.panel.show_error(error)
            return
        self.ui.followupBar.value = 0
        self.ui.followupBar.visible = True
        self._timer.start()
        self._show_button()

    def _poll(self):
        if self._run is None:
            self._timer.stop()
            return
        try:
            state = self._run.poll()
        except COVIDQuantError as error:
            self._stop(error.line())
            self.panel.show_error(error)
            return
        except Cancelled:
            # One of its exams was removed.
            self._stop(presenter.stopped_text())
            return
        if isinstance(state, ProgressState):
            self.ui.followupBar.value = round(1000 * state.fraction)
            say(self.ui.followupLabel, presenter.progress_text(state))
            return
        self._stop("")
        self.views.show(keep(state, slicer.mrmlScene))

    def _stop(self, text):
        self._timer.stop()
        run, self._run = self._run, None
        if run is not None:
            run.cancel()
        self.ui.followupBar.visible = False
        say(self.ui.followupLabel, text)
        self._show_button()

    def _date(self, exam, day):
        if exam.is_in_scene:
            set_day(exam.volume, day)
        else:
            self._folders = [one.on(day) if one is exam else one for one in self._folders]

    def _chosen(self):
        ticked = [self._ticks.get(_key(exam), False) for exam in self._exams]
        return presenter.chosen(self._exams[:-1], ticked[:-1], self._exams[-1])

    def _refresh(self):
        reading = self.panel.reading
        self._read_exams(None if reading is None else reading.segmentation)
        self._lay_out()

    def _read_exams(self, segmentation):
        """The other exams of the scene and the added folders, and last the exam shown."""
        self._current, self._exams = None, []
        if segmentation is None:
            return
        try:
            self._current = exam_of_result(segmentation)
        except COVIDQuantError:
            # The figures cannot be counted either, and say why.
            return
        others = other_exams(segmentation, same_patient=self.ui.samePatientCheckBox.checked)
        for exam in others:
            self._ticks.setdefault(_key(exam), presenter.ticked_at_first(exam, self._current))
        self._ticks[_key(self._current)] = True
        self._exams = [*others, *self._folders, self._current]

    def _lay_out(self):
        """Fill the list of exams; the exam shown is the last row, as its date can be entered, too."""
        ticked = [bool(self._ticks.get(_key(exam))) for exam in self._exams]
        self.exam_list.show(presenter.table(self._exams, ticked, self._current))
        self._show_button()

    def _show_button(self):
        has_result = self._current is not None
        control = presenter.compare_control(
            running=self._run is not None, has_result=has_result, exams=self._chosen() if has_result else []
        )
        apply_control(self.ui.compareButton, control)
        self._show_hint(presenter.hint(control, exams=len(self._exams)))
        ui, may_change = self.ui, presenter.may_change(running=self._run is not None, has_result=has_result)
        for widget in (ui.examsTable, ui.samePatientCheckBox, ui.onsetEdit, ui.addFolderButton):
            widget.enabled = may_change

    def _show_hint(self, hint):
        """Say what is still to be done; other words stay."""
        if hint or self.ui.followupLabel.text == self._hint:
            say(self.ui.followupLabel, hint)
        self._hint = hint


def _key(exam):
    """Exams are listed anew whenever the scene changes."""
    return exam.volume.GetID() if exam.is_in_scene else str(exam.result.path)
