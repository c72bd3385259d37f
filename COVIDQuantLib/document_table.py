"""A table in a document between two marks, written from records so that the document cannot fall behind them."""

from __future__ import annotations


def table_filled_in(text: str, begin: str, table: str, end: str) -> str:
    """A document with the table between its two marks.

    Raises:
        ValueError: the document lacks the marks.
    """
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the document lacks the marks around its table: {begin}")
    return f"{before}{begin}\n{table}\n{end}{after}"
