"""The tables of codes in ``docs/dicom.md``, written from the records so that they cannot fall behind them."""

from __future__ import annotations

from COVIDQuantLib.anatomy import Code
from COVIDQuantLib.dicom.objects.codes import CONCEPT
from COVIDQuantLib.dicom.objects.segmentation import SEGMENTS
from COVIDQuantLib.document_table import table_filled_in, write_anew

FIGURES_BEGIN = "<!-- figures:begin (written by `python -m COVIDQuantLib.dicom.objects.document`) -->"
FIGURES_END = "<!-- figures:end -->"
SEGMENTS_BEGIN = "<!-- segments:begin (written by `python -m COVIDQuantLib.dicom.objects.document`) -->"
SEGMENTS_END = "<!-- segments:end -->"


def figures_table() -> str:
    """Every figure of the report with its code and unit."""
    lines = ["| figure | code | meaning | unit (UCUM) |", "|---|---|---|---|"]
    lines += [
        f"| `{concept.name}` | {concept.code.scheme} {concept.code.value} | {concept.code.meaning} | "
        f"`{concept.unit.value}` |"
        for concept in CONCEPT.values()
    ]
    return "\n".join(lines)


def segments_table() -> str:
    """Every segment with its codes."""
    lines = ["| number | label | category | type | modifier | region |", "|---|---|---|---|---|---|"]
    for number, kind in enumerate(SEGMENTS, start=1):
        terms = kind.terminology
        codes = " | ".join(_told(code) for code in (terms.category, terms.type, terms.modifier, terms.region))
        lines.append(f"| {number} | {kind.name} | {codes} |")
    return "\n".join(lines)


def _told(code: Code | None) -> str:
    return "–" if code is None else f"{code.scheme} {code.value} {code.meaning}"


def filled(text: str) -> str:
    """A document with both tables between their marks.

    Raises:
        ValueError: the document lacks the marks.
    """
    with_figures = table_filled_in(text, FIGURES_BEGIN, figures_table(), FIGURES_END)
    return table_filled_in(with_figures, SEGMENTS_BEGIN, segments_table(), SEGMENTS_END)


if __name__ == "__main__":
    write_anew(filled, "docs/dicom.md")
