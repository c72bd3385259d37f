"""What an analysis gives back: a section with tables, figures, methods and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from COVIDQuantLib.export.csv_file import Cell
from COVIDQuantLib.statistics.report.numbers import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Records = Sequence[Mapping[str, Cell]]


@dataclass(frozen=True)
class Table:
    """A table in publication form, and its numbers.

    Attributes:
        title: heading.
        columns: headings of the columns.
        rows: cells as text.
        records: the numbers behind it in full precision, a mapping per row of ``…-values.csv``.
        notes: below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    records: Records = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        title: heading.
        caption: what it shows, and how it was made.
        draw: makes the drawing.
        records: the numbers that are drawn.
    """

    title: str
    caption: str
    draw: Callable[[], Drawing]
    records: Records = ()


@dataclass
class Section:
    """The result of one analysis.

    Attributes:
        title: heading.
        kind: of the analysis.
        rows: rows of the papers that it follows, e.g. ``H4``.
        tables, figures: the results.
        methods: how it was done, sentences.
        left_out: exams or patients that this analysis could not use, and why.
        warnings: what limits the result.
    """

    title: str
    kind: str = ""
    rows: tuple[str, ...] = ()
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def note_missing(self, what: str, count: int, unit: str = "exams") -> None:
        """Record exams without a value; nothing if there are none."""
        if count:
            self.left_out.append(f"{counted(count, unit)} without {what}")


def columns_of(records: Records) -> list[str]:
    """Every column of some records, in the order of their first appearance."""
    return list(dict.fromkeys(name for record in records for name in record))
