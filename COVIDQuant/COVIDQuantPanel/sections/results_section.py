"""Results: headline figures, table, charts, thresholds, and display of the pneumonia."""

import slicer

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.navigation import look_at, place_of_region
from COVIDQuantPanel import views
from COVIDQuantPanel.lobe_ticks import LobeTicks
from COVIDQuantPanel.presenters import results as presenter
from COVIDQuantPanel.presenters.controls import needs_result
from COVIDQuantPanel.sections.grade_line import GradeLine
from COVIDQuantPanel.sections.section import Section, say, silently
from COVIDQuantPanel.sections.table_view import TableView
from COVIDQuantPanel.widgets import qt_calls


class ResultsSection(Section):
    """The figures of the current result."""

    def setup(self):
        """Connect the widgets."""
        self._table = presenter.FiguresTable()
        self.view = TableView(self.ui.figuresTable, clicked=self.on_row, sort=self.on_heading)
        self._lobe = None
        self._shown_thresholds = None
        self._ticks = LobeTicks(self.panel.observer)
        self._grade = GradeLine(self)
        ui = self.ui
        ui.copyButton.connect("clicked(bool)", self.on_copy)
        ui.lobesChartButton.connect("clicked(bool)", lambda: self._show_chart("lobes"))
        ui.histogramChartButton.connect("clicked(bool)", lambda: self._show_chart("histogram"))
        for slider in (ui.ggoSlider, ui.consolidationSlider):
            slider.connect("valueChanged(double)", self.on_threshold)
        self._actions = qt_calls.add_menu(ui.columnsButton, presenter.column_choices(), self.on_columns)
        self.on_reading()

    def keys(self):
        """One for the next lobe."""
        return {"L": self.on_next_lobe}

    def on_next_lobe(self):
        """Show the next lobe, as a click on its row does."""
        row = self._table.next_lobe(self._lobe)
        if self.panel.reading is not None and row is not None:
            self._lobe = self._table.region(row)
            self.view.select(row)
            self.on_row(row, 0)

    def on_parameters(self):
        """Apply the chosen columns and display of the pneumonia."""
        parameters = self.panel.parameters
        if self._table.choose(parameters.columns):
            chosen = {measure.name for measure in self._table.measures}
            for name, action in self._actions.items():
                silently(action, checked=name in chosen)
            self._lay_out_table()
        self._show()

    def on_reading(self):
        """Show another result, or none."""
        reading, ui = self.panel.reading, self.ui
        self._lobe = None
        self._grade.on_reading()
        for widget in (ui.figuresTable, ui.thresholdsWidget, ui.columnsButton):
            widget.enabled = reading is not None
        self.allow(("copyButton", "lobesChartButton", "histogramChartButton"), needs_result(reading))
        if reading is None:
            for label in (ui.stateLabel, ui.headlineLabel, ui.warningsLabel):
                say(label, "")
            self._table.rows = []
            self._lay_out_table()
        else:
            self._lay_out_table()
            self._set_sliders(reading.live.thresholds)
            self._ticks.watch()
            self._show()

    def on_figures(self):
        """Update headline, table and warnings."""
        reading = self.panel.reading
        if reading is None or reading.live.metrics is None:
            say(self.ui.warningsLabel, self.panel.problem)
            return
        say(self.ui.stateLabel, presenter.state_text(reading.figures))
        self._grade.show()
        headline = presenter.headline(reading.live.metrics)
        say(self.ui.headlineLabel, headline.text)
        self.ui.headlineLabel.toolTip = headline.tip
        say(self.ui.warningsLabel, presenter.warnings_text(self.panel.problem, reading.warnings))
        self._fill_table()
        self._set_sliders(reading.live.thresholds)
        if reading.live.thresholds != self._shown_thresholds:
            self._show()

    def on_accepted(self):
        """Check the result that the reader accepted."""
        self._grade.begin()

    def on_exit(self):
        """Restore the crosshair."""
        self._grade.unmark()

    def on_close(self):
        """Release the nodes."""
        self._grade.stop()
        self._grade.unmark()
        self._table.rows = []

    def on_quit(self):
        """Restore the plot views."""
        self.on_close()
        self._ticks.close()

    def on_row(self, row, _column):
        """Show the region of a row."""
        region = self._table.region(row)
        if self.panel.reading is None or region is None:
            return
        point = place_of_region(self.panel.reading.live, region)
        if point is not None:
            look_at(slicer.mrmlScene, point)

    def on_heading(self, column):
        """Sort by a column, descending, then ascending; the first column restores the default order."""
        self._table.sort_by(column)
        self._fill_table()

    def on_copy(self):
        """Copy the table to the clipboard."""
        qt_calls.copy_text(self._table.as_text())

    def on_columns(self, *_arguments):
        """Store the chosen columns."""
        self.panel.parameters.columns = [name for name, action in self._actions.items() if action.checked]

    def on_threshold(self, _value):
        """Apply the thresholds of the sliders; the slider that is not being moved gives way."""
        if self.panel.reading is None:
            return
        low, high = int(self.ui.ggoSlider.value), int(self.ui.consolidationSlider.value)
        moved = presenter.moved_thresholds(low, high, self.panel.reading.live.thresholds)
        try:
            self.panel.reading.set_thresholds(moved)
        except COVIDQuantError as error:
            self.panel.show_error(error)
        self.panel.events.figures_changed.emit()

    def _show_chart(self, name):
        parameters = self.panel.parameters
        chart = getattr(self.panel.reading.charts, name)
        views.show_chart(chart, beside_3d=parameters.surfaces or parameters.rendering)
        self._ticks.watch()

    def _lay_out_table(self):
        """Show the chosen columns, with new cells."""
        self.view.show(self._table.table(self.panel.reading.live.metrics if self.panel.reading else None))

    def _fill_table(self):
        """Write new figures into the cells."""
        reading = self.panel.reading
        if reading is not None and reading.live.metrics is not None:
            self.view.update(self._table.table(reading.live.metrics))

    def _set_sliders(self, thresholds):
        silently(self.ui.ggoSlider, value=thresholds.ggo_hu)
        silently(self.ui.consolidationSlider, value=thresholds.consolidation_hu)

    def _show(self):
        """Apply the reader's display settings."""
        reading, parameters = self.panel.reading, self.panel.parameters
        if reading is None or parameters is None:
            return
        views.show_density(reading, visible=parameters.densityColours)
        views.show_surfaces(reading, visible=parameters.surfaces)
        views.show_rendering(reading, visible=parameters.rendering)
        self._shown_thresholds = reading.live.thresholds
