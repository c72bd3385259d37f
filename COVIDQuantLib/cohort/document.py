"""The table of columns in ``docs/batch.md``, written from the code so that it cannot fall behind it."""

from __future__ import annotations

from COVIDQuantLib.cohort.columns import EXAM_COLUMNS
from COVIDQuantLib.document_table import table_filled_in, write_anew

BEGIN = "<!-- exams:begin (written by `python -m COVIDQuantLib.cohort.document`) -->"
END = "<!-- exams:end -->"


def columns_table() -> str:
    """Every column of ``exams.parquet`` as a row of a Markdown table."""
    lines = ["| column | |", "|---|---|", "| the manifest's | as they stand there, typed |"]
    return "\n".join([*lines, *(f"| `{name}` | {text} |" for name, text in EXAM_COLUMNS.items())])


def filled(text: str) -> str:
    """A document with the table between its two marks.

    Raises:
        ValueError: the document lacks the marks.
    """
    return table_filled_in(text, BEGIN, columns_table(), END)


if __name__ == "__main__":
    write_anew(filled, "docs/batch.md")
