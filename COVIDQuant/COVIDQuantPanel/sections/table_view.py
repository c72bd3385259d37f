"""Shows what a presenter says in a table of the form, and keeps the cells as long as the table keeps its shape."""

from COVIDQuantPanel.presenters.tables import Table
from COVIDQuantPanel.widgets.qt_table import QtTable


class TableView:
    """A table that is shown anew, or changed while the selection and the widths stay.

    Args:
        widget: the QTableWidget.
        most: rows that are seen at once; None for all of them. More are scrolled.
        tight: whether rows are as high as their texts.
        selected: called when another row is selected, or none.
        events: what else is called when the reader does something; see ``QtTable``.

    Attributes:
        table: what is shown.
        row: the selected row; None if there is none.
    """

    def __init__(self, widget, *, most=None, tight=True, selected=None, **events):
        self._cells = QtTable(widget, selected=self._on_selected, **events)
        self._layout = {"most": most, "tight": tight}
        self._selected = selected
        self.table = Table((), ())
        self.row = None

    def select(self, row):
        """Select a row."""
        self._cells.select(row)

    def tick(self, row, column, *, on=True):
        """Tick a box, or take the tick away, as the reader does."""
        self._cells.tick(row, column, on=on)

    def show(self, table):
        """Show a table with new cells, none of them selected; nothing is called."""
        self.table, self.row = table, None
        self._cells.put(table, **self._layout)

    def update(self, table):
        """Write into the cells that are there, so that the selection and the widths stay."""
        if table.shape != self.table.shape:
            self.show(table)
        else:
            self.table = table
            self._cells.write(table)

    def _on_selected(self, row):
        self.row = row
        if self._selected is not None:
            self._selected()
