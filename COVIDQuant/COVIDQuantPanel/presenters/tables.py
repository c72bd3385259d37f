"""A table as a presenter wants it shown: headings and cells with all that there is to see of them."""

from dataclasses import dataclass

_SIGNS_AND_DIGITS = frozenset("+-±–−0123456789")


@dataclass(frozen=True)
class Cell:
    """A cell, or the heading of a column.

    Attributes:
        text: what is written in it.
        tip: its tooltip.
        to_right: whether it stands to the right, as figures do.
        colour: of the text, as ``#rrggbb``; empty for that of other text.
        swatch: red, green and blue of a mark before the text, 0 to 1 each; empty for one that is not seen, None for no
            mark at all.
        ticked: whether its box is ticked; None for no box.
        can_be_ticked: whether the reader may tick the box.
        can_be_edited: whether the reader may change the text.
    """

    text: str
    tip: str = ""
    to_right: bool = False
    colour: str = ""
    swatch: tuple[float, ...] | None = None
    ticked: bool | None = None
    can_be_ticked: bool = False
    can_be_edited: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        headings: a cell per column.
        rows: the cells of each row.
        fits: whether the panel is at least as wide as all columns; else they may be scrolled.
        wraps: a column that takes what is left of the width, its texts in several lines; None for none.
        grows: a column that is fitted to its texts whenever they change; None for none.
    """

    headings: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    fits: bool = False
    wraps: int | None = None
    grows: int | None = None

    @property
    def texts(self):
        """The text of each cell."""
        return [[cell.text for cell in row] for row in self.rows]

    @property
    def shape(self):
        """Number of rows and columns."""
        return len(self.rows), len(self.headings)


def plain_table(headings, rows):
    """A table of texts, figures to the right."""
    cells = (tuple(Cell(text, to_right=text[:1] in _SIGNS_AND_DIGITS) for text in row) for row in rows)
    return Table(tuple(map(Cell, headings)), tuple(cells))


def shown_rows(table, most):
    """How many rows are seen at once: all of them, or the first."""
    return table.shape[0] if most is None else min(table.shape[0], most)


def fitted_widths(headings, texts, now):
    """Widths of columns that show every text.

    Args:
        headings: what each column needs for its heading, in pixels.
        texts: what it needs for its cells.
        now: its width so far; it becomes no narrower, so that columns do not jump.

    Returns:
        The widths, and how wide the columns need to be together.
    """
    needed = [max(pair) for pair in zip(headings, texts, strict=True)]
    return [max(pair) for pair in zip(needed, now, strict=True)], sum(needed)
