"""Advanced settings: given lobes, other model bundles, default thresholds, a full recount, a sample CT."""

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS
from COVIDQuantPanel import sample
from COVIDQuantPanel.models import bundles_for
from COVIDQuantPanel.presenters.controls import needs_result
from COVIDQuantPanel.presenters.quantify import model_choice
from COVIDQuantPanel.sections.sample_button import SampleButton
from COVIDQuantPanel.sections.section import Section, say, silently
from COVIDQuantPanel.widgets.qt_calls import fill

_TASKS = (("lobes", "lobesModelCombo", "lobesModel"), ("lesions", "lesionsModelCombo", "lesionsModel"))


class AdvancedSection(Section):
    """Settings that most readers do not need."""

    def setup(self):
        """Connect the widgets."""
        ui = self.ui
        self._names = {}
        for task, combo, parameter in _TASKS:
            getattr(ui, combo).connect(
                "currentIndexChanged(int)", lambda place, t=task, p=parameter: self.on_model(t, p, place)
            )
        ui.resetThresholdsButton.connect("clicked(bool)", self.on_reset_thresholds)
        ui.recountButton.connect("clicked(bool)", self.on_recount)
        self._samples = (
            SampleButton(ui.sampleButton, self.panel, sample.begin_sample, sample.nodes_of_sample),
            SampleButton(ui.twoExamsButton, self.panel, sample.begin_two_exams, sample.nodes_of_exams),
        )

    def on_enter(self):
        """Refresh the bundles, as some may have been installed."""
        self._list_models()
        self.on_parameters()
        self.on_reading()

    def on_parameters(self):
        """Show the chosen bundles."""
        parameters = self.panel.parameters
        for task, combo, parameter in _TASKS:
            names = self._names.get(task, [""])
            given = task == "lobes" and bool(parameters.lobesFrom)
            choice = model_choice(names, getattr(parameters, parameter), method=parameters.method, given=given)
            silently(getattr(self.ui, combo), currentIndex=choice.place)
            getattr(self.ui, combo).enabled = choice.enabled

    def on_reading(self):
        """A recount needs a result."""
        self.allow(("resetThresholdsButton", "recountButton"), needs_result(self.panel.reading))

    def on_close(self):
        """Cancel a sample in progress, as it was for the scene being closed."""
        for one in self._samples:
            one.stop()

    def on_model(self, task, parameter, place):
        """Store the chosen bundle."""
        names = self._names.get(task, [""])
        if self.panel.parameters is not None and 0 <= place < len(names):
            setattr(self.panel.parameters, parameter, names[place])

    def on_reset_thresholds(self):
        """Reset to the thresholds of the papers."""
        self.panel.reading.set_thresholds(DEFAULT_THRESHOLDS)
        self.panel.events.figures_changed.emit()

    def on_recount(self):
        """Recount every voxel."""
        try:
            self.panel.reading.recount()
        except COVIDQuantError as error:
            self.panel.show_error(error)
        self.panel.events.figures_changed.emit()

    def _list_models(self):
        refused = []
        for task, combo, _parameter in _TASKS:
            names, texts, damaged = bundles_for(task)
            self._names[task] = names
            refused += damaged
            fill(getattr(self.ui, combo), texts)
        say(self.ui.modelLabel, "\n".join(refused))
