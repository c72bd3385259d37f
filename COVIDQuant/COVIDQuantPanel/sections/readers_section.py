"""Readers: the rating by two readers, the record of edits, and reading aids."""

import slicer
import vtk

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.export.edits_job import EditsJob
from COVIDQuantLib.scene.review.ai_result import has_original
from COVIDQuantPanel.presenters import readers as presenter
from COVIDQuantPanel.sections.section import Section, say, silently
from COVIDQuantPanel.sections.table_view import TableView
from COVIDQuantPanel.widgets.qt_calls import fill, timer

_POLL_MS = 100


class ReadersSection(Section):
    """What readers say about the current result, and what they did to it."""

    def setup(self):
        """Connect the widgets."""
        ui = self.ui
        self._job = None
        self._timer = timer(_POLL_MS, self._poll)
        fill(ui.scoreCombo, presenter.score_texts())
        ui.scoreCombo.connect("currentIndexChanged(int)", self._show_buttons)
        ui.readerEdit.connect("textChanged(QString)", self._show_buttons)
        ui.readerEdit.connect("editingFinished()", self.on_reader)
        ui.rateButton.connect("clicked(bool)", self.on_rate)
        ui.editsButton.connect("clicked(bool)", self.on_edits)
        ui.aidsBox.connect("contentsCollapsed(bool)", self._show_aids)
        self.aids = TableView(ui.aidsTable, tight=False)

    def on_enter(self):
        """Count the time in which the reader moves through the slices."""
        self.on_reading()

    def on_exit(self):
        """Time in other modules is not counted, as nothing tells what it is spent on."""
        if self.panel.reading is not None:
            self.panel.reading.readers.clock.pause()

    def on_reading(self):
        """Show another result, or none; nobody's words stay in the fields."""
        self._stop()
        self._clear_words()
        if self.panel.reading is not None:
            self._watch_slices()
        self.on_figures()

    def on_figures(self):
        """Say whether rating and edit record are about the segments as they are."""
        reading = self.panel.reading
        there = reading is not None
        readers = reading.readers if there else None
        say(
            self.ui.ratingLabel,
            presenter.rating_text(readers.rating, readers.segments, readers.problem) if there else "",
        )
        comparing = self._job is not None
        told = presenter.edits_text(readers.edits, readers.segments, comparing=comparing) if there else ""
        say(self.ui.editsLabel, told)
        self._show_buttons()
        self._show_aids()

    def on_accepted(self):
        """An accepted result has its edit record, if anything was edited."""
        reading = self.panel.reading
        if reading is not None and has_original(reading.segmentation) and reading.is_edited:
            self.on_edits()

    def on_reader(self):
        """Keep who was the first to work on the result: the edits are theirs, whoever rates them later."""
        name, reading = presenter.known_reader(self.ui.readerEdit.text), self.panel.reading
        if reading is not None and name and not reading.readers.reader:
            reading.readers.name_reader(name)

    def on_rate(self):
        """Store the score, and clear the fields for the other reader."""
        reading, ui = self.panel.reading, self.ui
        reader, score = presenter.known_reader(ui.readerEdit.text), presenter.score_of_place(ui.scoreCombo.currentIndex)
        change = presenter.is_change(reading.readers.rating, reader, reading.readers.segments)
        try:
            reading.update()
            reading.readers.rate(reader, score, comment=ui.commentEdit.text, change=change)
        except COVIDQuantError as error:
            self.panel.show_error(error)
            return
        self._clear_words()
        self.panel.events.figures_changed.emit()

    def on_edits(self):
        """Start comparing with the AI result; what lies between is stored."""
        if self._job is not None:
            return
        try:
            self._job = EditsJob(self.panel.reading, slicer.util.startupEnvironment())
        except COVIDQuantError as error:
            self.panel.show_error(error)
            return
        self._timer.start()
        self.on_figures()

    def on_close(self):
        """Cancel a comparison, as its nodes are released."""
        self._stop()

    def on_move(self, _caller=None, _event=None):
        """Another slice is a sign of work."""
        if self.panel.reading is not None:
            self.panel.reading.readers.touch()

    def _poll(self):
        if self._job is None:
            self._timer.stop()
            return
        try:
            self._job.poll()
            done = self._job.is_done
        except COVIDQuantError as error:
            self.panel.show_error(error)
            done = True
        if done:
            self._stop()
            self.on_figures()

    def _stop(self):
        self._timer.stop()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    def _watch_slices(self):
        observer = self.panel.observer
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if not observer.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self.on_move):
                observer.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.on_move)

    def _clear_words(self):
        for edit in (self.ui.readerEdit, self.ui.commentEdit):
            silently(edit, text="")
        silently(self.ui.scoreCombo, currentIndex=0)
        self._show_buttons()

    def _show_buttons(self, *_arguments):
        reading, ui = self.panel.reading, self.ui
        initials, there = ui.readerEdit.text, reading is not None
        reader = presenter.known_reader(initials)
        change = there and presenter.is_change(reading.readers.rating, reader, reading.readers.segments)
        score = presenter.score_of_place(ui.scoreCombo.currentIndex)
        kept = there and has_original(reading.segmentation)
        self.show_controls(
            {
                "rateButton": presenter.rate_control(is_there=there, initials=initials, score=score, change=change),
                "editsButton": presenter.edits_control(
                    is_there=there, has_original=kept, comparing=self._job is not None
                ),
            }
        )

    def _show_aids(self, *_arguments):
        """Fill the table, only while it is open."""
        reading = self.panel.reading
        metrics = None if reading is None or self.ui.aidsBox.collapsed else reading.live.metrics
        self.aids.show(presenter.aid_table(metrics))
        say(self.ui.aidsLabel, presenter.aid_notice(metrics) if metrics is not None else "")
