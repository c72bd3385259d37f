"""Generate a table between two marks in a document, so that the document stays in step with the code."""

from __future__ import annotations


def table_filled_in(text: str, begin: str, table: str, end: str) -> str:
    """The document with the table inserted between its two marks.

    Raises:
        ValueError: the document lacks the marks.
    """
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the document lacks the marks around its table: {begin}")
    return f"{before}{begin}\n{table}\n{end}{after}"
