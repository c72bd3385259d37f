"""Export: destination, files, and a link to the result."""

import importlib.util
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.scene.export.export_job import ExportJob
from COVIDQuantLib.scene.export.node_exam import files_in_the_way
from COVIDQuantLib.scene.export.report_job import ReportJob, reports_in_the_way
from COVIDQuantPanel.presenters import exports as presenter
from COVIDQuantPanel.sections.section import Section, apply_control, say, silently
from COVIDQuantPanel.widgets import qt_calls

_POLL_MS = 100


class ExportSection(Section):
    """Export of the current result."""

    def setup(self):
        """Create a checkbox for each export."""
        self._job = None
        self._name = ""
        self._timer = qt_calls.timer(_POLL_MS, self._poll)
        self.ui.exportBar.visible = False
        self._boxes = {}
        for export in presenter.CHOICES:
            self._boxes[export.name] = qt_calls.add_box(self.ui.filesWidget, export.text, self.on_choice)
        self.ui.folderEdit.connect("currentPathChanged(QString)", self.on_folder)
        self.ui.exportButton.connect("clicked(bool)", self.on_export)
        self.ui.reportButton.connect("clicked(bool)", self.on_report)
        self.ui.doneLabel.connect("linkActivated(QString)", qt_calls.open_link)

    def on_parameters(self):
        """Show the choices."""
        self._show_folder()
        self._show_choices()
        self._show_button()

    def _show_choices(self):
        chosen = presenter.chosen(self.panel.parameters.exports)
        images = self.panel.reading is None or bool(self._images())
        for export in presenter.CHOICES:
            box, package = self._boxes[export.name], presenter.NEEDS.get(export.name)
            there = package is None or importlib.util.find_spec(package) is not None
            control = presenter.choice_control(export, can_be_written=there, images=images)
            apply_control(box, control)
            silently(box, checked=control.enabled and export.name in chosen)

    def _images(self):
        """The DICOM files of the CT of the current result, if Slicer's database has them all."""
        database = getattr(slicer, "dicomDatabase", None)
        if self.panel.reading is None or database is None or not database.isOpen:
            return []
        uids = self.panel.reading.live.volume.GetAttribute("DICOM.instanceUIDs")
        return [Path(file) for file in presenter.image_files(uids, database.fileForInstance)]

    def on_reading(self):
        """Clear the message, as it was about another result."""
        if self._job is None:
            say(self.ui.doneLabel, "")
        if self.panel.parameters is not None:
            self._show_choices()
        self._show_button()

    def on_quit(self):
        """Cancel the export and remove partial files. A closing scene does not affect the copy being exported."""
        self._stop("")

    def on_folder(self, path):
        """Store the folder."""
        if self.panel.parameters is not None and path != self.panel.parameters.exportFolder:
            self.panel.parameters.exportFolder = path
        self._show_button()

    def on_choice(self, *_arguments):
        """Store the chosen exports."""
        if self.panel.parameters is not None:
            self.panel.parameters.exports = presenter.as_choice(self._wanted())
        self._show_button()

    def on_export(self):
        """Start an export, asking before earlier files are replaced; or cancel the running one."""
        if self._job is not None:
            self._stop(presenter.stopped_text())
            return
        folder, wanted = self._folder(), self._wanted()
        earlier = files_in_the_way(folder, wanted)
        images = self._images()
        self._start(earlier, lambda reading, environment: ExportJob(reading, folder, wanted, environment, images))

    def on_report(self):
        """Start writing a report, asking before an earlier one is replaced; or cancel the running one."""
        if self._job is not None:
            self._stop(presenter.stopped_text())
            return
        folder = self._folder()
        earlier = reports_in_the_way(folder)
        self._start(earlier, lambda reading, environment: ReportJob(reading, folder, environment))

    def _start(self, earlier, start):
        """Start a job, asking before earlier files are replaced."""
        title = _("COVIDQuant")
        if earlier and not slicer.util.confirmOkCancelDisplay(presenter.question(earlier), windowTitle=title):
            return
        self._name = self.panel.reading.segmentation.GetName()
        try:
            self._job = start(self.panel.reading, slicer.util.startupEnvironment())
        except COVIDQuantError as error:
            self._fail(error)
            return
        self.ui.exportBar.value = 0
        self.ui.exportBar.visible = True
        self._timer.start()
        self._show_button()

    def _poll(self):
        if self._job is None:
            self._timer.stop()
            return
        try:
            state = self._job.poll()
        except COVIDQuantError as error:
            self._fail(error)
            return
        if isinstance(state, ProgressState):
            self.ui.exportBar.value = round(1000 * state.fraction)
            say(self.ui.doneLabel, presenter.progress_text(self._name, state.stage))
            return
        if isinstance(self._job, ReportJob):
            self._stop(presenter.report_text(self._name, state, self._job.warnings))
        else:
            self._stop(presenter.done_text(self._name, state, self._job.folder))

    def _fail(self, error):
        self._stop(error.line())
        self.panel.show_error(error)

    def _stop(self, text):
        """End the job if it is running, and show the outcome."""
        self._timer.stop()
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
        self.ui.exportBar.visible = False
        say(self.ui.doneLabel, text)
        self._show_button()

    def _show_folder(self):
        if self.ui.folderEdit.currentPath != self.panel.parameters.exportFolder:
            silently(self.ui.folderEdit, currentPath=self.panel.parameters.exportFolder)

    def _folder(self):
        """The chosen folder; None if there is none."""
        text = self.ui.folderEdit.currentPath
        return Path(text).expanduser() if text else None

    def _wanted(self):
        return [name for name, box in self._boxes.items() if box.checked]

    def _show_button(self):
        reporting = isinstance(self._job, ReportJob)
        exporting = self._job is not None and not reporting
        state = {"has_result": self.panel.reading is not None, "has_folder": self._folder() is not None}
        wants = bool(self._wanted())
        control = presenter.export_control(running=exporting, other_runs=reporting, wants_any=wants, **state)
        apply_control(self.ui.exportButton, control)
        missing = [name for name in presenter.REPORT_NEEDS if importlib.util.find_spec(name) is None]
        control = presenter.report_control(running=reporting, other_runs=exporting, missing=missing, **state)
        apply_control(self.ui.reportButton, control)
