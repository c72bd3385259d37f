"""Results: headline figures, the table, charts, thresholds, and how the pneumonia is shown."""

from html import escape

import qt
import slicer
from slicer.i18n import tr as _

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.presentation import (
    as_text,
    cell,
    chosen_measures,
    heading,
    headlines,
    narrow_heading,
    sorted_rows,
)
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.scene.navigation import look_at, place_of_region
from COVIDQuantLib.scene.review.segment_status import Figures
from COVIDQuantPanel import views
from COVIDQuantPanel.lobe_ticks import LobeTicks
from COVIDQuantPanel.sections.grade_line import GradeLine
from COVIDQuantPanel.sections.section import Section, fit_height, say, silently

_SWATCH = 12
_IN_A_ROW = 3


class ResultsSection(Section):
    """The figures of the result that is followed."""

    def setup(self):
        """Connect the widgets."""
        self._measures = []
        self._items = []
        self._rows = []
        self._sorted_by = ("", True)
        self._shown_thresholds = None
        self._ticks = LobeTicks(self.panel.observer)
        self._grade = GradeLine(self)
        ui = self.ui
        ui.figuresTable.verticalHeader().hide()
        ui.figuresTable.connect("cellClicked(int,int)", self.on_row)
        header = ui.figuresTable.horizontalHeader()
        header.setSectionsClickable(True)
        header.setHighlightSections(False)
        header.connect("sectionClicked(int)", self.on_heading)
        ui.copyButton.connect("clicked(bool)", self.on_copy)
        ui.lobesChartButton.connect("clicked(bool)", lambda: self._show_chart("lobes"))
        ui.histogramChartButton.connect("clicked(bool)", lambda: self._show_chart("histogram"))
        for slider in (ui.ggoSlider, ui.consolidationSlider):
            slider.connect("valueChanged(double)", self.on_threshold)
        self._actions = self._add_column_menu()
        self.on_reading()

    def on_parameters(self):
        """Show the chosen columns, and the pneumonia as chosen."""
        parameters = self.panel.parameters
        measures = chosen_measures(parameters.columns)
        if measures != self._measures:
            self._measures = measures
            for name, action in self._actions.items():
                silently(action, lambda a, n=name: a.setChecked(n in {m.name for m in measures}))
            self._lay_out_table()
        self._show()

    def on_reading(self):
        """Take up another result, or none."""
        reading, ui = self.panel.reading, self.ui
        self._grade.on_reading()
        for widget in (ui.figuresTable, ui.thresholdsWidget, ui.columnsButton):
            widget.enabled = reading is not None
        reason = "" if reading else _("Quantify a CT, or choose a result")
        self.allow(("copyButton", "lobesChartButton", "histogramChartButton"), reason)
        if reading is None:
            for label in (ui.stateLabel, ui.headlineLabel, ui.warningsLabel):
                say(label, "")
            self._rows = []
            self._lay_out_table()
        else:
            self._lay_out_table()
            self._set_sliders(reading.live.thresholds)
            self._ticks.watch()
            self._show()

    def on_figures(self):
        """Bring headline, table and warnings up to date."""
        reading = self.panel.reading
        if reading is None or reading.live.metrics is None:
            say(self.ui.warningsLabel, self.panel.problem)
            return
        say(self.ui.stateLabel, _STATE_TEXT[reading.figures]())
        self._grade.show()
        found = headlines(reading.live.metrics)
        say(self.ui.headlineLabel, _headline_html(found))
        self.ui.headlineLabel.toolTip = "\n".join(f"{headline.title}: {headline.explanation}" for headline in found)
        texts = [warning.message for warning in reading.warnings]
        say(self.ui.warningsLabel, "\n".join([self.panel.problem, *texts] if self.panel.problem else texts))
        self._fill_table()
        self._set_sliders(reading.live.thresholds)
        if reading.live.thresholds != self._shown_thresholds:
            self._show()

    def on_accepted(self):
        """What a reader vouches for is checked as it is."""
        self._grade.begin()

    def on_exit(self):
        """Give the crosshair back."""
        self._grade.unmark()

    def on_close(self):
        """Forget the nodes."""
        self._grade.stop()
        self._grade.unmark()
        self._rows = []

    def on_quit(self):
        """Leave the plot views as they were."""
        self.on_close()
        self._ticks.close()

    def on_row(self, row, _column):
        """Look at the region of a row."""
        if self.panel.reading is None or row >= len(self._rows):
            return
        point = place_of_region(self.panel.reading.live, self._rows[row]["region"])
        if point is not None:
            look_at(slicer.mrmlScene, point)

    def on_heading(self, column):
        """Sort by a column, the highest first, then the lowest; the first column brings the usual order back."""
        if column == 0:
            self._sorted_by = ("", True)
        else:
            name = self._measures[column - 1].name
            self._sorted_by = (name, not self._sorted_by[1] if self._sorted_by[0] == name else True)
        self._fill_table()

    def on_copy(self):
        """Put the table on the clipboard."""
        slicer.app.clipboard().setText(as_text(self._rows, self._measures))

    def on_columns(self, *_arguments):
        """Keep which columns are chosen."""
        self.panel.parameters.columns = [name for name, action in self._actions.items() if action.isChecked()]

    def on_threshold(self, _value):
        """Part ground glass and consolidation where the sliders say; the one that is not held gives way."""
        if self.panel.reading is None:
            return
        low, high = int(self.ui.ggoSlider.value), int(self.ui.consolidationSlider.value)
        if low > high:
            moved_low = low != self.panel.reading.live.thresholds.ggo_hu
            low, high = (low, low) if moved_low else (high, high)
        try:
            self.panel.reading.set_thresholds(Thresholds(low, high))
        except COVIDQuantError as error:
            self.panel.show_error(error)
        self.panel.events.figures_changed.emit()

    def _show_chart(self, name):
        parameters = self.panel.parameters
        chart = getattr(self.panel.reading.charts, name)
        views.show_chart(chart, beside_3d=parameters.surfaces or parameters.rendering)
        self._ticks.watch()

    def _add_column_menu(self):
        menu = qt.QMenu(self.ui.columnsButton)
        actions = {}
        for measure in MEASURES:
            action = menu.addAction(heading(measure).replace("\n", ", "))
            action.setCheckable(True)
            action.setToolTip(measure.formula)
            action.connect("toggled(bool)", self.on_columns)
            actions[measure.name] = action
        menu.setToolTipsVisible(True)
        self.ui.columnsButton.setMenu(menu)
        return actions

    def _lay_out_table(self):
        """Make the cells, once for a choice of columns; figures are then written into them."""
        table = self.ui.figuresTable
        self._items = []
        metrics = self.panel.reading.live.metrics if self.panel.reading else None
        rows = len(metrics.rows) if metrics else 0
        table.clear()
        table.setRowCount(rows)
        table.setColumnCount(1 + len(self._measures))
        table.setHorizontalHeaderLabels([_("Region"), *(narrow_heading(measure) for measure in self._measures)])
        for column, measure in enumerate(self._measures, start=1):
            text = f"{heading(measure)}\n{measure.formula}"
            table.horizontalHeaderItem(column).setToolTip(text)
        for row in range(rows):
            items = [qt.QTableWidgetItem() for _column in range(1 + len(self._measures))]
            for column, item in enumerate(items):
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, column, item)
            self._items.append(items)
        self._fill_table()
        table.resizeColumnsToContents()
        table.resizeRowsToContents()
        fit_height(table)

    def _fill_table(self):
        reading = self.panel.reading
        if reading is None or reading.live.metrics is None or not self._items:
            return
        name, descending = self._sorted_by
        self._rows = sorted_rows(reading.live.metrics, name, descending=descending)
        for items, row in zip(self._items, self._rows, strict=True):
            items[0].setText(row["region"])
            items[0].setIcon(_swatch(row["region"]))
            for item, measure in zip(items[1:], self._measures, strict=True):
                item.setText(cell(measure, row[measure.name]))

    def _set_sliders(self, thresholds):
        silently(self.ui.ggoSlider, lambda slider: slider.setValue(thresholds.ggo_hu))
        silently(self.ui.consolidationSlider, lambda slider: slider.setValue(thresholds.consolidation_hu))

    def _show(self):
        """Show the pneumonia as the reader chose."""
        reading, parameters = self.panel.reading, self.panel.parameters
        if reading is None or parameters is None:
            return
        views.show_density(reading, visible=parameters.densityColours)
        views.show_surfaces(reading, visible=parameters.surfaces)
        views.show_rendering(reading, visible=parameters.rendering)
        self._shown_thresholds = reading.live.thresholds


_STATE_TEXT = {
    Figures.AI: lambda: _("Figures of the <b>AI result</b>, not reviewed"),
    Figures.EDITED: lambda: _("Figures of the <b>edited</b> result"),
    Figures.ACCEPTED: lambda: _("Figures <b>accepted</b> by the reader"),
}
_icons = {}


def _swatch(region):
    """A lobe's colour as an icon; none for other regions."""
    if region not in _icons:
        colour = next((lobe.colour for lobe in LOBES if lobe.name == region), None)
        pixmap = qt.QPixmap(_SWATCH, _SWATCH)
        pixmap.fill(qt.QColor.fromRgbF(*colour) if colour else qt.QColor(0, 0, 0, 0))
        _icons[region] = qt.QIcon(pixmap)
    return _icons[region]


def _headline_html(found):
    cells = [
        f'<td style="padding-right:18px; white-space:nowrap">{escape(one.title)}<br><b>{escape(one.text)}</b></td>'
        for one in found
    ]
    rows = ["".join(cells[start : start + _IN_A_ROW]) for start in range(0, len(cells), _IN_A_ROW)]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
