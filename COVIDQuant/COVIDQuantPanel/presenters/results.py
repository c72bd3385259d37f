"""The figures: headline, state, table cells, warnings, thresholds."""

from dataclasses import dataclass
from html import escape

from COVIDQuantLib.anatomy import LOBES, OUTSIDE_LOBES
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
from COVIDQuantLib.review.status import Figures
from COVIDQuantPanel.presenters.tables import Cell, Table
from COVIDQuantPanel.presenters.words import _

_IN_A_ROW = 3
_STATE_TEXT = {
    Figures.AI: lambda: _("Figures of the <b>AI result</b>, not reviewed"),
    Figures.EDITED: lambda: _("Figures of the <b>edited</b> result"),
    Figures.ACCEPTED: lambda: _("Figures <b>accepted</b> by the reader"),
}
# More columns than these are scrolled.
_MOST_IN_WIDTH = 8
_SHORT = {lobe.name: lobe.short for lobe in LOBES} | {OUTSIDE_LOBES.name: _("outside")}
_COLOURS = {lobe.name: lobe.colour for lobe in LOBES}


@dataclass(frozen=True)
class Text:
    """Text with its tooltip."""

    text: str
    tip: str = ""


class FiguresTable:
    """Columns, order and cells of the table of figures.

    Attributes:
        measures: the measures of the columns after the first, which names the region.
        rows: the regions in the order in which they are shown.
    """

    def __init__(self):
        self.measures = []
        self.rows = []
        self._sorted_by = ""
        self._descending = True

    def choose(self, names):
        """Choose columns by the names of measures, the usual ones if there are none; whether that changes anything."""
        before, self.measures = self.measures, chosen_measures(names)
        return self.measures != before

    def headings(self):
        """The headings of the columns."""
        measures = (Text(narrow_heading(m), f"{heading(m)}\n{m.formula}") for m in self.measures)
        return [Text(_("Region")), *measures]

    def sort_by(self, column):
        """Sort by a column, the highest first, then the lowest; the first column brings the usual order back."""
        name = self.measures[column - 1].name if column else ""
        self._descending = not self._descending if name and name == self._sorted_by else True
        self._sorted_by = name

    def fill(self, metrics):
        """Take in figures; the cells of each row, in the order of the headings."""
        self.rows = sorted_rows(metrics, self._sorted_by, descending=self._descending)
        return [[row["region"], *(cell(m, row[m.name]) for m in self.measures)] for row in self.rows]

    def table(self, metrics):
        """Take in figures, and the table as it is shown; no rows without figures."""
        texts = self.fill(metrics) if metrics else []
        headings = tuple(Cell(heading.text, heading.tip) for heading in self.headings())
        return Table(headings, tuple(map(_row, texts)), fits=len(self.measures) <= _MOST_IN_WIDTH)

    def region(self, row):
        """The region of a row; None if there is no such row."""
        return self.rows[row]["region"] if row < len(self.rows) else None

    def next_lobe(self, region):
        """The row of the lobe that follows in anatomical order, the first after the last; None if none is there.

        Args:
            region: the lobe shown now; None for none.
        """
        known = {row["region"] for row in self.rows if row["volume_ml"]}
        there = [lobe.name for lobe in LOBES if lobe.name in known]
        if not there:
            return None
        place = there.index(region) + 1 if region in there else 0
        name = there[place % len(there)]
        return next(number for number, row in enumerate(self.rows) if row["region"] == name)

    def as_text(self):
        """The table for the clipboard."""
        return as_text(self.rows, self.measures)


def _row(texts):
    """The region by its short name and colour, and its figures."""
    region, *figures = texts
    name = Cell(short_name(region), tip=region, swatch=colour_of(region) or ())
    return (name, *(Cell(text, to_right=True) for text in figures))


def short_name(region):
    """A region's name in the table, which stays narrow: the radiologists' abbreviation of a lobe."""
    return _SHORT.get(region, region)


def colour_of(region):
    """A lobe's colour, 0 to 1 each for red, green and blue; None for other regions."""
    return _COLOURS.get(region)


def column_choices():
    """The name of every measure that can be a column → what to call it and its formula."""
    return {measure.name: Text(heading(measure).replace("\n", ", "), measure.formula) for measure in MEASURES}


def state_text(figures):
    """Whose figures they are."""
    return _STATE_TEXT[figures]()


def headline(metrics):
    """The whole lung at a glance, as HTML."""
    found = headlines(metrics)
    cells = [
        f'<td style="padding-right:18px; white-space:nowrap">{escape(one.title)}<br><b>{escape(one.text)}</b></td>'
        for one in found
    ]
    rows = ["".join(cells[start : start + _IN_A_ROW]) for start in range(0, len(cells), _IN_A_ROW)]
    text = "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
    return Text(text, "\n".join(f"{one.title}: {one.explanation}" for one in found))


def warnings_text(problem, warnings):
    """What is wrong with the figures now, and then what else must be known about them, a line each."""
    return "\n".join([*([problem] if problem else []), *(warning.message for warning in warnings)])


def moved_thresholds(low, high, before):
    """The thresholds after a slider was moved; the one that was not gives way.

    Args:
        low: HU where ground glass begins, by its slider.
        high: HU where consolidation begins, by its slider.
        before: the thresholds until now.
    """
    if low > high:
        low, high = (low, low) if low != before.ggo_hu else (high, high)
    return Thresholds(low, high)
