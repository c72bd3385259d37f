"""The measures' table in ``docs/definitions.md``, written from the records so that it cannot fall behind them."""

from __future__ import annotations

import sys
from pathlib import Path

from COVIDQuantLib.document_table import table_filled_in
from COVIDQuantLib.quantification.measures import MEASURES

BEGIN = "<!-- measures:begin (written by `python -m COVIDQuantLib.quantification.document`) -->"
END = "<!-- measures:end -->"


def measures_table() -> str:
    """Every measure as a row of a Markdown table."""
    lines = ["| column | unit | definition | source | outside lobes |", "|---|---|---|---|---|"]
    lines += [
        f"| `{measure.name}` | {measure.unit or '–'} | {measure.formula} | {measure.source} | "
        f"{'yes' if measure.outside else 'no'} |"
        for measure in MEASURES
    ]
    return "\n".join(lines)


def filled(text: str) -> str:
    """A document with the table between its two marks.

    Raises:
        ValueError: the document lacks the marks.
    """
    return table_filled_in(text, BEGIN, measures_table(), END)


if __name__ == "__main__":
    document = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/definitions.md")
    document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")
