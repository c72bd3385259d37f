"""Export: where to, what, and a link to what was written."""

import importlib.util
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.export.exam import EXPORTS
from COVIDQuantLib.scene.exam import export_reading, files_in_the_way
from COVIDQuantPanel.section import Section, enable, say, silently

# Packages that an export needs beside what Slicer brings.
_NEEDS = {"picture": "matplotlib"}
# No choice at all means the usual files; this is the choice of none.
_NOTHING = "nothing"


class ExportSection(Section):
    """Files of the result that is followed."""

    def setup(self):
        """Offer what can be written."""
        self._boxes = {}
        for export in EXPORTS:
            box = qt.QCheckBox(export.text)
            box.setToolTip(", ".join(export.files))
            box.connect("toggled(bool)", self.on_choice)
            self.ui.filesWidget.layout().addWidget(box)
            self._boxes[export.name] = box
        self.ui.folderEdit.connect("currentPathChanged(QString)", self.on_folder)
        self.ui.exportButton.connect("clicked(bool)", self.on_export)
        self.ui.doneLabel.connect("linkActivated(QString)", lambda link: qt.QDesktopServices.openUrl(qt.QUrl(link)))

    def on_parameters(self):
        """Show the choices."""
        silently(self.ui.folderEdit, self._show_folder)
        chosen = set(self.panel.parameters.exports) or {export.name for export in EXPORTS if export.default}
        for export in EXPORTS:
            box, package = self._boxes[export.name], _NEEDS.get(export.name)
            there = package is None or importlib.util.find_spec(package) is not None
            missing = _("{package} is not installed: install what the networks need").format(package=package)
            enable(box, "" if there else missing, ", ".join(export.files))
            silently(box, lambda b, on=there and export.name in chosen: b.setChecked(on))
        self._show_button()

    def on_reading(self):
        """Another result has not been written."""
        say(self.ui.doneLabel, "")
        self._show_button()

    def on_folder(self, path):
        """Keep the folder."""
        if self.panel.parameters is not None and path != self.panel.parameters.exportFolder:
            self.panel.parameters.exportFolder = path
        self._show_button()

    def on_choice(self, *_arguments):
        """Keep what is to be written."""
        if self.panel.parameters is not None:
            self.panel.parameters.exports = self._wanted() or [_NOTHING]
        self._show_button()

    def on_export(self):
        """Write, after asking whether earlier files may go."""
        folder, wanted = self._folder(), self._wanted()
        earlier = files_in_the_way(folder, wanted)
        if earlier:
            question = _("These files are there already. Replace them?") + "\n\n" + "\n".join(p.name for p in earlier)
            if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("COVIDQuant")):
                return
        say(self.ui.doneLabel, _("Writing …"))
        qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            files = export_reading(self.panel.reading, folder, wanted, self._report)
        except COVIDQuantError as error:
            qt.QApplication.restoreOverrideCursor()
            say(self.ui.doneLabel, error.line())
            self.panel.show_error(error)
            return
        qt.QApplication.restoreOverrideCursor()
        names = ", ".join(path.name for path in files)
        link = f'<a href="{folder.absolute().as_uri()}">{folder}</a>'
        say(self.ui.doneLabel, _("Written: {names} in {folder}").format(names=names, folder=link))

    def _report(self, fraction):
        say(self.ui.doneLabel, _("Writing … {n} %").format(n=round(100 * fraction)))
        # Repaint only: a click now would change what is being written.
        slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)

    def _show_folder(self, edit):
        if edit.currentPath != self.panel.parameters.exportFolder:
            edit.currentPath = self.panel.parameters.exportFolder

    def _folder(self):
        """The chosen folder; None while none is."""
        text = self.ui.folderEdit.currentPath
        return Path(text).expanduser() if text else None

    def _wanted(self):
        return [name for name, box in self._boxes.items() if box.isChecked()]

    def _show_button(self):
        reason = ""
        if self.panel.reading is None:
            reason = _("Quantify a CT, or choose a result")
        elif self._folder() is None:
            reason = _("Choose a folder first")
        elif not self._wanted():
            reason = _("Choose what to write")
        enable(self.ui.exportButton, reason, _("Write the chosen files, all of them or none"))
