"""Generate the tables in ``docs/follow-up.md`` from the code, so that they stay in step with it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from COVIDQuantLib.document_table import tables_filled_in
from COVIDQuantLib.followup.comparison_files import COLUMNS
from COVIDQuantLib.followup.lesions.records import COLUMN_TEXTS
from COVIDQuantLib.followup.lesions.table import HEAD, TAIL
from COVIDQuantLib.followup.limits import published_fits
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.time_courses import CURVES, Curve

_WRITTEN = "(written by `python -m COVIDQuantLib.followup.document`)"


def columns_table() -> str:
    """Every column of ``changes.csv``."""
    return _columns(COLUMNS)


def lesions_table() -> str:
    """Every column of ``lesions.csv``."""
    return _columns(HEAD | COLUMN_TEXTS | {name: f"{text}; only if there is one" for name, text in TAIL.items()})


def _columns(columns: Mapping[str, str]) -> str:
    return "\n".join(
        ["| column | what it holds |", "|---|---|", *(f"| `{k}` | {text} |" for k, text in columns.items())]
    )


def limits_table() -> str:
    """Every published pair of limits with the fitted one."""
    lines = [
        "| data set | measure | mean | slope | at | printed | fitted | printed − fitted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in published_fits():
        unit, limits = MEASURES.named(one.measure).unit, one.limits
        for point, (low, high) in zip(one.points, one.residuals, strict=True):
            half = limits.half_width(point.level)
            cells = [
                one.data_set,
                f"`{one.measure}`",
                f"{limits.bias:.2f}",
                f"{limits.slope:.4f}",
                f"{point.level:g} {unit}",
                f"{point.lower:g} to {point.upper:g}",
                f"{limits.bias - half:.2f} to {limits.bias + half:.2f}",
                f"{low:+.3f}, {high:+.3f}",
            ]
            lines.append(f"| {' | '.join(cells)} |".replace("-", "−"))
    return "\n".join(lines)


def curves_table() -> str:
    """Every published curve with its reported peak and the peak of its formula."""
    lines = [
        "| source | of | group | course (x = days since onset) | reported peak | peak of the formula | read from, to |",
        "|---|---|---|---|---|---|---|",
    ]
    for curve in CURVES:
        day, value = curve.computed_peak
        cells = [
            curve.source,
            f"`{curve.measure}`",
            curve.group,
            _formula(curve) + (" **(corrected)**" if curve.correction else ""),
            _reported(curve),
            f"day {day:.1f}, {value:.2f}",
            f"day {curve.span[0]:.0f}, {curve.span[1]:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _formula(curve: Curve) -> str:
    terms = [(value, power) for value, power in zip(curve.coefficients, ("", "x", "x²", "x³"), strict=True) if value]
    text = "".join(f" {'−' if value < 0 else '+'} {_plain(abs(value))}{power}" for value, power in terms)
    return text.removeprefix(" + ").replace(" − ", "−", 1) if text.startswith(" − ") else text.removeprefix(" + ")


def _plain(value: float) -> str:
    return f"{value:.7f}".rstrip("0")


def _reported(curve: Curve) -> str:
    if curve.peak_day is None:
        return "–"
    return f"day {curve.peak_day:g}" + ("" if curve.peak_value is None else f", {curve.peak_value:g}")


TABLES = {"columns": columns_table, "lesions": lesions_table, "limits": limits_table, "curves": curves_table}


def filled(text: str) -> str:
    """The document with each table inserted between its two marks.

    Raises:
        ValueError: the document lacks the marks.
    """
    return tables_filled_in(text, TABLES, _WRITTEN)


if __name__ == "__main__":
    document = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/follow-up.md")
    document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")
