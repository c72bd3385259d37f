"""The measures' table in ``docs/definitions.md``, written from the records so that it cannot fall behind them."""

from __future__ import annotations

from COVIDQuantLib.document_table import table_filled_in, write_anew
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
    write_anew(filled, "docs/definitions.md")
