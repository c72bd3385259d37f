"""A table widget that shows what a presenter says."""

import qt

from COVIDQuantPanel.sections.section import fit_height

# Many more pixels than are shown, so that a swatch stays sharp at any scale.
_SWATCH_PIXELS = 64
# Of a swatch as it is shown, and around a heading.
_ICON_PIXELS, _MARGIN = 12, 8
# The least width of a column with texts of several lines.
_WRAPPED_PIXELS = 180


class TableView:
    """Fills a QTableWidget.

    Args:
        widget: the QTableWidget.
        most: rows that are shown at once; None for all of them. More are scrolled.
        tight: whether rows are as high as their texts.
    """

    def __init__(self, widget, *, most=None, tight=True):
        self._widget = widget
        self._most = most
        self._tight = tight
        self._items = []
        self._shape = (0, 0)
        self._icons = {}
        widget.verticalHeader().hide()
        widget.setIconSize(qt.QSize(_ICON_PIXELS, _ICON_PIXELS))
        widget.horizontalHeader().setHighlightSections(False)

    @property
    def row(self):
        """The selected row; None if there is none."""
        rows = [index.row() for index in self._widget.selectionModel().selectedRows()]
        return rows[0] if rows else None

    def item(self, row, column):
        """The QTableWidgetItem of a cell."""
        return self._items[row][column]

    def show(self, table):
        """Show a table with new cells, none of them selected; no signal is emitted."""
        was_blocked = self._widget.blockSignals(True)
        try:
            self._fill(table)
        finally:
            self._widget.blockSignals(was_blocked)
        self._widget.resizeColumnsToContents()
        self._share_width(table)
        if self._tight:
            self._widget.resizeRowsToContents()
        fit_height(self._widget, self._most)

    def update(self, table):
        """Write into the cells that are there, so that the selection and the widths stay."""
        if table.shape != self._shape:
            self.show(table)
            return
        for items, cells in zip(self._items, table.rows, strict=True):
            for item, cell in zip(items, cells, strict=True):
                self._write(item, cell)
        if table.fits:
            self._fit(table)

    def _fill(self, table):
        widget = self._widget
        widget.clear()
        self._shape = table.shape
        widget.setRowCount(self._shape[0])
        widget.setColumnCount(self._shape[1])
        widget.setHorizontalHeaderLabels([cell.text for cell in table.headings])
        for column, cell in enumerate(table.headings):
            if cell.tip:
                widget.horizontalHeaderItem(column).setToolTip(cell.tip)
        self._items = [[self._item(cell) for cell in cells] for cells in table.rows]
        for row, items in enumerate(self._items):
            for column, item in enumerate(items):
                widget.setItem(row, column, item)

    def _item(self, cell):
        item = qt.QTableWidgetItem(cell.text)
        flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
        if cell.can_be_ticked:
            flags = flags | qt.Qt.ItemIsUserCheckable
        if cell.can_be_edited:
            flags = flags | qt.Qt.ItemIsEditable
        item.setFlags(flags)
        if cell.to_right:
            item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        if cell.colour:
            item.setForeground(qt.QBrush(qt.QColor(cell.colour)))
        if cell.ticked is not None:
            item.setCheckState(qt.Qt.Checked if cell.ticked else qt.Qt.Unchecked)
        self._write(item, cell)
        return item

    def _write(self, item, cell):
        """What may change while the table stays."""
        item.setText(cell.text)
        item.setToolTip(cell.tip)
        if cell.swatch is not None:
            item.setIcon(self._icon(cell.swatch))

    def _share_width(self, table):
        """Fit the columns to the panel, or the panel to them."""
        header, mode = self._widget.horizontalHeader(), qt.QHeaderView
        if table.wraps is not None:
            header.setSectionResizeMode(mode.ResizeToContents)
            others = sum(self._widget.columnWidth(n) for n in range(len(table.headings)) if n != table.wraps)
            self._widget.setMinimumWidth(others + _WRAPPED_PIXELS)
            header.setSectionResizeMode(table.wraps, mode.Stretch)
            self._widget.verticalHeader().setSectionResizeMode(mode.ResizeToContents)
        elif table.fits:
            for column in range(len(table.headings)):
                self._widget.setColumnWidth(column, 0)
            self._fit(table)
        else:
            self._widget.setMinimumWidth(0)

    def _fit(self, table):
        """Make columns as wide as their texts, and the panel as wide as the columns."""
        header = self._widget.horizontalHeader()
        header.setStretchLastSection(False)
        metrics, total = header.fontMetrics(), 2 * self._widget.frameWidth
        for column, heading in enumerate(table.headings):
            words = max(metrics.width(line) for line in heading.text.splitlines())
            needed = max(self._widget.sizeHintForColumn(column), words + _MARGIN)
            if self._widget.columnWidth(column) < needed:
                self._widget.setColumnWidth(column, needed)
            total += needed
        self._widget.setMinimumWidth(total)
        header.setStretchLastSection(True)

    def _icon(self, colour):
        if colour not in self._icons:
            pixmap = qt.QPixmap(_SWATCH_PIXELS, _SWATCH_PIXELS)
            pixmap.fill(qt.QColor.fromRgbF(*colour) if colour else qt.QColor(0, 0, 0, 0))
            self._icons[colour] = qt.QIcon(pixmap)
        return self._icons[colour]
