"""The list of suspected artefacts in the review section, operated by mouse or keyboard."""

import slicer

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.navigation import look_at
from COVIDQuantPanel import views
from COVIDQuantPanel.presenters import findings as presenter
from COVIDQuantPanel.sections.section import say
from COVIDQuantPanel.sections.table_view import TableView
from COVIDQuantPanel.widgets.qt_calls import add_key, timer

_POLL_MS = 100
# More are scrolled, so that the editor below stays near.
_ROWS_SHOWN = 6


class FindingsList:
    """The findings of the current result.

    Args:
        section: the review section, whose widgets it uses.
    """

    def __init__(self, section):
        self._section = section
        self._panel = section.panel
        self._ui = section.ui
        self._job = None
        self._shown = []
        table = self._ui.findingsTable
        self.view = TableView(table, most=_ROWS_SHOWN, selected=self.on_selection)
        self._mark = views.Mark()
        self._timer = timer(_POLL_MS, self._poll)
        self._commands = {
            "keepButton": self.on_keep,
            "removeButton": self.on_remove,
            "reopenButton": self.on_reopen,
            "nextButton": self.on_next,
        }
        for name, command in self._commands.items():
            getattr(self._ui, name).connect("clicked(bool)", command)
        keys = {"K": self.on_keep, "R": self.on_remove, "U": self.on_reopen}
        self._shortcuts = [add_key(key, table, command, with_focus=True) for key, command in keys.items()]
        self._ui.searchButton.connect("clicked(bool)", self.on_search)
        self._ui.suspectedCheckBox.connect("toggled(bool)", self._lay_out)

    @property
    def current(self):
        """The selected finding; None if there is none."""
        row = self.view.row
        return self._shown[row] if row is not None and row < len(self._shown) else None

    def on_reading(self):
        """Show the findings of another result, or none."""
        self.stop()
        self._lay_out()

    def stop(self):
        """Cancel a running search."""
        self._timer.stop()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
        self._ui.searchButton.text = presenter.search_text()

    def unmark(self):
        """Restore the crosshair."""
        self._mark.put_back()

    def refresh(self):
        """Update the statuses."""
        if self._panel.reading is None:
            return
        self.view.update(presenter.table(self._shown, self._panel.reading.findings.status))
        self._allow()

    def on_search(self):
        """Start or stop searching for artefacts."""
        if self._job is not None:
            self.stop()
            return
        try:
            self._job = self._panel.reading.findings.search(slicer.util.startupEnvironment())
        except COVIDQuantError as error:
            self._panel.show_error(error)
            return
        self._ui.searchButton.text = presenter.search_text(running=True)
        self._timer.start()

    def on_selection(self):
        """Show the selected finding, and the reasons why it may be an artefact."""
        placed = self.current
        self._allow()
        if placed is None:
            self._mark.put_back()
            say(self._ui.reasonLabel, "")
            return
        look_at(slicer.mrmlScene, placed.point)
        self._mark.show()
        say(self._ui.reasonLabel, presenter.explanation(placed.finding))

    def on_keep(self):
        """Keep the finding as pneumonia."""
        self._decide(self._panel.reading.findings.keep)

    def on_remove(self):
        """Remove the finding as an artefact."""
        self._decide(self._panel.reading.findings.remove)

    def on_reopen(self):
        """Withdraw the decision."""
        self._decide(self._panel.reading.findings.reopen, go_on=False)

    def on_next(self):
        """Go to the next one without a decision."""
        if self._panel.reading is None:
            return
        placed = self._panel.reading.findings.next_open(self.current)
        if placed is None:
            say(self._ui.reasonLabel, presenter.all_decided())
        elif placed in self._shown:
            self.view.select(self._shown.index(placed))

    def _decide(self, decide, *, go_on=True):
        placed = self.current
        if placed is None or self._panel.reading is None:
            return
        with self._section.undoable():
            decide(placed)
        self.refresh()
        if go_on:
            self.on_next()

    def _poll(self):
        if self._job is None:
            self._timer.stop()
            return
        try:
            state = self._job.poll()
        except COVIDQuantError as error:
            self.stop()
            self._panel.show_error(error)
            return
        if not isinstance(state, list):
            self._ui.searchButton.text = presenter.search_text(state, running=True)
            return
        self.stop()
        self._panel.reading.findings.take(state)
        self._lay_out()
        say(self._ui.reasonLabel, presenter.summary(state))

    def _lay_out(self, *_arguments):
        reading = self._panel.reading
        found = reading.findings.found if reading else ()
        self._shown = presenter.shown(found, only_suspected=self._ui.suspectedCheckBox.checked)
        self.view.show(presenter.table(self._shown, reading.findings.status if reading else None))
        self._ui.findingsTable.visible = bool(self._shown)
        say(self._ui.reasonLabel, "")
        self._allow()

    def _allow(self):
        decide = presenter.decide_control(is_selected=self.current is not None)
        controls = dict.fromkeys(("keepButton", "removeButton", "reopenButton"), decide)
        self._section.show_controls(controls | {"nextButton": presenter.next_control(are_shown=bool(self._shown))})
