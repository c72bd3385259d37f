"""Show where an exam lies among published figures on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from COVIDQuantLib.cli.terminal import console
from COVIDQuantLib.readers.reading_aids import brief_groups, percentile_text, title_of


def show_reading_aids(aids: Mapping[str, Any]) -> None:
    """Print the cut-offs, the CT score's conversion, the groups and the time courses.

    Args:
        aids: as ``readers.reading_aids.reading_aids`` gives them.
    """
    screen = console()
    screen.print(_cut_offs(aids["cut_offs"]))
    screen.print(_score_line(aids["ct_score"]), soft_wrap=True)
    screen.print(_groups(aids))
    if aids["time_courses"]:
        screen.print(_courses(aids["time_courses"]))
        _show_corrections(aids["time_courses"], screen)
    screen.print(aids["notice"], soft_wrap=True)


def _cut_offs(rows: list[dict[str, Any]]) -> Table:
    table = Table(header_style="bold", title="published cut-offs")
    for heading in ("more than", "this exam", "", "more frequent there", "odds ratio (95 %)", "source"):
        table.add_column(heading)
    for row in rows:
        ratio, low, high = row["odds_ratio"]
        title, unit = title_of(row["measure"])
        outcome = row["what"].partition(": ")[2].removesuffix(" were more frequent")
        table.add_row(
            f"{title} {row['cut_off']:g} {unit}",
            _number(row["value"], row["unit"]),
            row["position"] or "",
            outcome,
            f"{ratio:.1f} ({low:.1f}–{high:.1f})",
            row["source"],
        )
    return table


def _score_line(score: Mapping[str, Any]) -> str:
    if score["score"] is None:
        return "CT score: no lobe has a volume."
    conversion = score["conversion"]
    measured = _number(conversion["measured_percent"], "%")
    return (
        f"CT score {score['score']} of {score['of']} corresponds to {conversion['expected_percent']:.1f} % of the "
        f"lungs by {conversion['formula']} ({conversion['source']}); measured {measured}."
    )


def _groups(aids: Mapping[str, Any]) -> Table:
    shown = brief_groups(aids)
    table = Table(header_style="bold", title="published groups: median (quartiles) or mean ± SD, whole lung")
    for heading in ("measure", "this exam", "group", "published", "this exam is", "source"):
        table.add_column(heading, no_wrap=heading in {"measure", "this exam", "published"})
    table.caption = f"{len(aids['groups']) - len(shown)} more, of lobes and other measures, are in metrics.json"
    for row in shown:
        title, unit = title_of(row["measure"])
        words = row["position"] or ""
        if row["percentile_if_normal"] is not None:
            words += f" (percentile {percentile_text(row['percentile_if_normal'])} if normal)"
        source = row["source"].partition(" (")[0]
        group = f"{row['group']} (n {row['n']})"
        table.add_row(title, _number(row["value"], unit), group, row["published"], words, source)
    return table


def _courses(rows: list[dict[str, Any]]) -> Table:
    table = Table(header_style="bold", title=f"published courses on day {rows[0]['days_since_onset']} since onset")
    for heading in ("measure", "this exam", "curve", "group", "source"):
        table.add_column(heading)
    for row in rows:
        title, unit = title_of(row["measure"])
        published = "outside its days" if row["published"] is None else _number(row["published"], unit)
        source = f"{row['source']}{' (corrected)' if row['correction'] else ''}"
        table.add_row(title, _number(row["value"], unit), published, row["group"], source)
    return table


def _show_corrections(rows: list[dict[str, Any]], screen: Console) -> None:
    for row in rows:
        if row["correction"]:
            screen.print(f"corrected curve, {row['source']}, {row['group']}: {row['correction']}", soft_wrap=True)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "not defined"
    digits = 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if unit == "" else f"{value:.{digits}f}"
    return f"{text} {unit}".strip()
