"""Input: CT, method, device; Quantify, progress and Cancel."""

from dataclasses import replace

import slicer
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.nodes.result_links import volume_of
from COVIDQuantLib.scene.quantification_run import Outcome
from COVIDQuantLib.scene.volume_fitness import look_at_volume
from COVIDQuantLib.worker.run_times import RunTimes
from COVIDQuantPanel import installing
from COVIDQuantPanel.presenters import quantify as presenter
from COVIDQuantPanel.sections.section import Section, apply_control, say
from COVIDQuantPanel.views import show_result
from COVIDQuantPanel.widgets import qt_calls

_POLL_MS = 100
_TIMES_KEY = "COVIDQuant/RunTimes"


class InputSection(Section):
    """Selection of the CT, and its quantification."""

    def setup(self):
        """Connect the buttons."""
        self._timer = qt_calls.timer(_POLL_MS, self._poll)
        self._run = self.panel.logic.makeRun()
        self._name = ""
        self._times = RunTimes(qt_calls.remembered(_TIMES_KEY))
        self._missing = installing.missing_packages()
        self._fit = look_at_volume(None)
        self.ui.quantifyButton.connect("clicked(bool)", self.on_quantify)
        self.ui.installButton.connect("clicked(bool)", self.on_install)
        self.ui.progressBar.visible = False
        qt_calls.fill(self.ui.methodCombo, presenter.method_texts())
        qt_calls.fill(self.ui.deviceCombo, presenter.device_texts())

    def on_enter(self):
        """Refresh, as packages may have been installed elsewhere."""
        self._missing = installing.missing_packages()
        self.on_parameters()

    def on_parameters(self):
        """Show the size of the chosen CT, or why it cannot be quantified."""
        self._fit = look_at_volume(self.panel.volume)
        say(self.ui.fitnessLabel, self._fit.text)
        state = self._state()
        self.ui.deviceCombo.enabled = state.may_choose_device
        self.ui.installButton.visible = state.offers_packages
        say(self.ui.timeLabel, state.time_text(self._times))
        self._show_button()

    def on_close(self):
        """Cancel the quantification of a CT that is removed."""
        self._run.cancel()
        outcome = self._run.poll()
        if isinstance(outcome, Outcome):
            # A result that has just come goes with its scene, or is there when the panel is opened again.
            self._finish(replace(outcome, segmentation=None, cancelled=outcome.error is None))

    def on_quit(self):
        """Shut down the worker."""
        self._timer.stop()
        self._run.close()

    def on_quantify(self):
        """Start a quantification, or cancel the running one."""
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
        self.ui.progressBar.visible = True
        self._timer.start()
        self._show_button()

    def on_install(self):
        """Install the packages for networks, at the reader's request."""
        try:
            with slicer.util.tryWithErrorDisplay(_("The installation failed."), waitCursor=False):
                say(self.ui.progressLabel, installing.install())
        finally:
            # Newer Slicers raise the error again once it was displayed; some packages may be there all the same.
            self.on_enter()

    def _poll(self):
        state = self._run.poll()
        if state is None:
            self._timer.stop()
            return
        if isinstance(state, Outcome):
            self._finish(state)
            return
        self.ui.progressBar.value = round(1000 * state.fraction)
        say(self.ui.progressLabel, presenter.progress_text(self._name, state))

    def _finish(self, outcome):
        self._timer.stop()
        self.ui.progressBar.visible = False
        say(self.ui.progressLabel, presenter.end_text(self._name, outcome))
        if outcome.error is not None:
            self.panel.show_error(outcome.error)
        elif not outcome.cancelled:
            self._take(outcome)
        self._show_button()

    def _take(self, outcome):
        """Show the result, unless the reader has chosen another CT."""
        plan = outcome.plan
        self._times.learn(plan.method, plan.device, outcome.megavoxels, outcome.seconds, first=outcome.was_first)
        qt_calls.remember(_TIMES_KEY, self._times.text)
        if self.panel.parameters is None:
            # The module was left; the result is shown when it is opened again.
            self.panel.logic.getParameterNode().segmentation = outcome.segmentation
            show_result(outcome.segmentation)
        elif self.panel.volume is not None and self.panel.volume is volume_of(outcome.segmentation):
            self.panel.take(outcome.segmentation, outcome.counts, outcome.place)
            # What is loaded now need not be loaded for the next CT.
            self.on_parameters()

    def _show_button(self):
        apply_control(self.ui.quantifyButton, self._state().quantify_control())

    def _state(self):
        parameters = self.panel.parameters
        return presenter.QuantifyState(
            has_ct=self.panel.volume is not None,
            fitness=self._fit,
            method=parameters.method if parameters else None,
            device=parameters.device if parameters else "",
            running=self._run.is_running,
            missing=tuple(self._missing),
            warm=parameters is not None and self._is_warm(parameters),
        )

    def _is_warm(self, parameters):
        try:
            return self._run.is_warm(self.panel.logic.plan(parameters))
        except COVIDQuantError:
            # The choices contradict each other, which the button says.
            return False
