"""Generate a table between two marks in a document, so that the document stays in step with the code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path


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


def tables_filled_in(text: str, tables: Mapping[str, Callable[[], str]], written: str) -> str:
    """The document with each named table inserted between its two marks, which say how they are ``written``.

    Raises:
        ValueError: the document lacks the marks.
    """
    for name, table in tables.items():
        text = table_filled_in(text, f"<!-- {name}:begin {written} -->", table(), f"<!-- {name}:end -->")
    return text


def write_anew(filled: Callable[[str], str], page: str) -> None:
    """Fill in the tables of the page that the command line names, or of this one."""
    document = Path(sys.argv[1] if len(sys.argv) > 1 else page)
    document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")
