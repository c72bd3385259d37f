"""Input: which CT, how, where; Quantify, how far it is, and Cancel."""

import qt
import slicer
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.nodes.result_links import volume_of
from COVIDQuantLib.scene.quantification_run import Outcome
from COVIDQuantLib.scene.volume_fitness import look_at_volume
from COVIDQuantLib.worker.run_times import RunTimes, rounded_seconds
from COVIDQuantPanel import installing
from COVIDQuantPanel.sections.section import Section, enable, say, timer

_POLL_MS = 100
_TIMES_KEY = "COVIDQuant/RunTimes"
_STAGE_TEXT = {
    "waiting": lambda: _("starting"),
    "lungs": lambda: _("finding the lungs"),
    "lobes": lambda: _("finding the lobes"),
    "lesions": lambda: _("finding the pneumonia"),
    "figures": lambda: _("counting"),
}


class InputSection(Section):
    """The CT and its quantification."""

    def setup(self):
        """Connect the buttons."""
        self._timer = timer(_POLL_MS, self._poll)
        self._run = self.panel.logic.makeRun()
        self._name = ""
        self._times = RunTimes(slicer.util.settingsValue(_TIMES_KEY, "") or "")
        self._missing = installing.missing_packages()
        self._fit = look_at_volume(None)
        self.ui.quantifyButton.connect("clicked(bool)", self.on_quantify)
        self.ui.installButton.connect("clicked(bool)", self.on_install)
        self.ui.progressBar.hide()

    def on_enter(self):
        """Packages may have been installed elsewhere."""
        self._missing = installing.missing_packages()
        self.on_parameters()

    def on_parameters(self):
        """Say what the chosen CT is and whether it can be quantified."""
        self._name_choices()
        self._fit = look_at_volume(self.panel.volume)
        say(self.ui.fitnessLabel, self._fit.text)
        networks = self._wants_networks()
        self.ui.deviceCombo.enabled = networks and not self._run.is_running
        self.ui.installButton.visible = networks and bool(self._missing)
        say(self.ui.timeLabel, self._time_text())
        self._show_button()

    def on_close(self):
        """A CT that goes takes its quantification along."""
        self._run.cancel()
        self._poll()

    def on_quit(self):
        """End the worker with the module."""
        self._timer.stop()
        self._run.close()

    def on_quantify(self):
        """Begin, or stop what was begun."""
        if self._run.is_running:
            self._run.cancel()
            self._poll()
            return
        volume = self.panel.volume
        self._name = volume.GetName()
        try:
            self.panel.logic.startRun(self._run, self.panel.parameters)
        except COVIDQuantError as error:
            self.panel.show_error(error)
            return
        self.ui.progressBar.value = 0
        self.ui.progressBar.show()
        self._timer.start()
        self._show_button()

    def on_install(self):
        """Install what the networks need, now that the reader asked for it."""
        with slicer.util.tryWithErrorDisplay(_("The installation failed."), waitCursor=False):
            say(self.ui.progressLabel, installing.install())
        self._missing = installing.missing_packages()
        self.on_parameters()

    def _poll(self):
        state = self._run.poll()
        if state is None:
            self._timer.stop()
            return
        if isinstance(state, Outcome):
            self._timer.stop()
            self.ui.progressBar.hide()
            self._end(state)
            return
        self.ui.progressBar.value = round(1000 * state.fraction)
        left = (
            "" if state.seconds_left is None else _(", about {n} s left").format(n=rounded_seconds(state.seconds_left))
        )
        stage = _STAGE_TEXT[state.stage]() if state.stage in _STAGE_TEXT else state.stage
        say(self.ui.progressLabel, f"{self._name}: {stage}{left}")

    def _end(self, outcome):
        if outcome.error is not None:
            say(self.ui.progressLabel, outcome.error.line())
            self.panel.show_error(outcome.error)
        elif outcome.cancelled:
            say(self.ui.progressLabel, _("Stopped. Nothing was changed."))
        else:
            self._take(outcome)
        self._show_button()

    def _take(self, outcome):
        """Show the result; a reader who went on to another CT is not called back."""
        plan = outcome.plan
        self._times.learn(plan.method, plan.device, outcome.megavoxels, outcome.seconds)
        qt.QSettings().setValue(_TIMES_KEY, self._times.text)
        done = _("{ct}: done in {n} s.").format(ct=self._name, n=rounded_seconds(outcome.seconds))
        say(self.ui.progressLabel, done)
        if self.panel.parameters is None:
            # The module was left; the result is there when it is opened again.
            self.panel.logic.getParameterNode().segmentation = outcome.segmentation
        elif self.panel.volume is volume_of(outcome.segmentation):
            self.panel.parameters.segmentation = outcome.segmentation

    def _show_button(self):
        button, running = self.ui.quantifyButton, self._run.is_running
        button.text = _("Cancel") if running else _("Quantify")
        if running:
            enable(button, "", _("Stop; nothing is changed"))
            return
        enable(button, self._reason_not(), _("Find lobes and pneumonia; an earlier result stays as it is"))

    def _reason_not(self):
        if self.panel.volume is None:
            return _("Choose a CT first")
        if self._fit.refused:
            return self._fit.text
        if self._wants_networks() and self._missing:
            return _("Install what the networks need, or choose the model-free way")
        return ""

    def _wants_networks(self):
        return bool(self.panel.parameters) and self.panel.parameters.method == "network"

    def _time_text(self):
        parameters = self.panel.parameters
        if parameters is None or self._fit.megavoxels is None or self._fit.refused:
            return ""
        device = parameters.device if self._wants_networks() else "cpu"
        seconds = self._times.seconds(parameters.method, device, self._fit.megavoxels)
        if seconds is not None:
            return _("About {n} s on this computer").format(n=rounded_seconds(seconds))
        on_cpu = self._times.seconds(parameters.method, "cpu", self._fit.megavoxels)
        return _("About {n} s on the processor, less on a GPU").format(n=rounded_seconds(on_cpu))

    def _name_choices(self):
        """Words for the choices; the parameter node goes by their place."""
        names = (
            (self.ui.methodCombo, (_("networks"), _("density and shape, model-free"))),
            (self.ui.deviceCombo, (_("automatic"), _("processor (CPU)"), _("NVIDIA GPU (CUDA)"), _("Apple GPU"))),
        )
        for combo, texts in names:
            for place, text in enumerate(texts[: combo.count]):
                combo.setItemText(place, text)
