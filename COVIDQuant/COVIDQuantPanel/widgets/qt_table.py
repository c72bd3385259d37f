"""The QTableWidget that shows a presenter's table. What is shown when is decided in ``sections/table_view``."""

import qt

from COVIDQuantPanel.presenters.tables import fitted_widths, shown_rows

# Many more pixels than are shown, so that a swatch stays sharp at any scale.
_SWATCH_PIXELS = 64
# Of a swatch as it is shown, and around a heading.
_ICON_PIXELS, _MARGIN = 12, 8
# The least width of a column with texts of several lines.
_WRAPPED_PIXELS = 180


class QtTable:
    """The cells of a QTableWidget.

    Args:
        widget: the QTableWidget.
        selected: called with the row that is selected now; with None if there is none.
        clicked: called with row and column of a cell that was clicked.
        sort: called with the column of a heading that was clicked.
        changed: called with row, column, text and whether it is ticked, when the reader changed a cell.
    """

    def __init__(self, widget, *, selected=None, clicked=None, sort=None, changed=None):
        self._widget = widget
        self._items = []
        self._icons = {}
        self._selected = selected
        self._changed = changed
        header = widget.horizontalHeader()
        widget.verticalHeader().hide()
        widget.setIconSize(qt.QSize(_ICON_PIXELS, _ICON_PIXELS))
        header.setHighlightSections(False)
        header.setStretchLastSection(True)
        if selected is not None:
            widget.connect("itemSelectionChanged()", self._on_selected)
        if clicked is not None:
            widget.connect("cellClicked(int,int)", clicked)
        if sort is not None:
            header.setSectionsClickable(True)
            header.connect("sectionClicked(int)", sort)
        if changed is not None:
            widget.connect("cellChanged(int,int)", self._on_changed)

    def select(self, row):
        """Select a row."""
        self._widget.selectRow(row)

    def tick(self, row, column, *, on=True):
        """Tick a box, or take the tick away, as the reader does."""
        self._items[row][column].setCheckState(qt.Qt.Checked if on else qt.Qt.Unchecked)

    def put(self, table, *, most=None, tight=True):
        """New cells, none of them selected; no signal is emitted.

        Args:
            table: what is shown.
            most: rows that are seen at once; None for all of them. More are scrolled.
            tight: whether rows are as high as their texts.
        """
        was_blocked = self._widget.blockSignals(True)
        try:
            self._fill(table)
        finally:
            self._widget.blockSignals(was_blocked)
        self._widget.resizeColumnsToContents()
        self._share_width(table)
        if tight:
            self._widget.resizeRowsToContents()
        self._fix_height(shown_rows(table, most))

    def write(self, table):
        """New texts, tooltips and marks in the cells that are there; columns become wider, but no narrower."""
        for items, cells in zip(self._items, table.rows, strict=True):
            for item, cell in zip(items, cells, strict=True):
                self._write(item, cell)
        if table.fits:
            self._fit(table, anew=False)
        if table.grows is not None:
            self._widget.resizeColumnToContents(table.grows)

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
            self._fit(table, anew=True)
        else:
            self._widget.setMinimumWidth(0)

    def _on_selected(self):
        rows = [index.row() for index in self._widget.selectionModel().selectedRows()]
        self._selected(rows[0] if rows else None)

    def _on_changed(self, row, column):
        item = self._items[row][column]
        self._changed(row, column, item.text(), item.checkState() != qt.Qt.Unchecked)

    def _fill(self, table):
        widget = self._widget
        widget.clear()
        widget.setRowCount(table.shape[0])
        widget.setColumnCount(table.shape[1])
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

    def _fit(self, table, *, anew):
        """Make columns as wide as their texts, and the panel as wide as the columns."""
        widget, header = self._widget, self._widget.horizontalHeader()
        header.setStretchLastSection(False)
        metrics = header.fontMetrics()
        headings = [max(metrics.width(line) for line in cell.text.splitlines()) + _MARGIN for cell in table.headings]
        texts = [widget.sizeHintForColumn(column) for column in range(len(headings))]
        now = [0 if anew else widget.columnWidth(column) for column in range(len(headings))]
        widths, total = fitted_widths(headings, texts, now)
        for column, width in enumerate(widths):
            widget.setColumnWidth(column, width)
        widget.setMinimumWidth(total + 2 * widget.frameWidth)
        header.setStretchLastSection(True)

    def _fix_height(self, rows):
        """As high as the first rows, the headings and a horizontal scroll bar."""
        widget = self._widget
        height = sum(widget.rowHeight(row) for row in range(rows))
        height += widget.horizontalHeader().sizeHint.height() + widget.horizontalScrollBar().sizeHint.height()
        widget.setFixedHeight(height + 2 * widget.frameWidth)

    def _icon(self, colour):
        if colour not in self._icons:
            pixmap = qt.QPixmap(_SWATCH_PIXELS, _SWATCH_PIXELS)
            pixmap.fill(qt.QColor.fromRgbF(*colour) if colour else qt.QColor(0, 0, 0, 0))
            self._icons[colour] = qt.QIcon(pixmap)
        return self._icons[colour]
