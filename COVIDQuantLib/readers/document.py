"""Generate the tables in ``docs/readers.md`` from the code, so that they stay in step with it."""

from __future__ import annotations

from COVIDQuantLib.document_table import tables_filled_in, write_anew
from COVIDQuantLib.readers.literature import CUT_OFFS, HUANG_GROUPS, PAN_GROUPS
from COVIDQuantLib.readers.reading_aids import published_text, title_of

_WRITTEN = "(written by `python -m COVIDQuantLib.readers.document`)"


def cut_offs_table() -> str:
    """Every published cut-off."""
    lines = [
        "| code | cut-off | more frequent above it | odds ratio | adjusted | source | whom it describes |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in CUT_OFFS:
        title, unit = title_of(one.measure)
        ratios = [f"{ratio:g} ({low:g}–{high:g})" for ratio, low, high in (one.odds_ratio, one.adjusted)]
        cells = [f"`{one.code}`", f"{title} > {one.above:g} {unit}", one.outcome, *ratios, one.source, one.population]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def huang_table() -> str:
    """Huang's clinical types, a row per region."""
    groups = list(dict.fromkeys((group.group, group.n) for group in HUANG_GROUPS))
    lines = [
        f"| extent, % | {' | '.join(f'{name} (n {n})' for name, n in groups)} |",
        f"|---|{'---|' * len(groups)}",
    ]
    for region in dict.fromkeys(group.region for group in HUANG_GROUPS):
        cells = [published_text(group.spread) for group in HUANG_GROUPS if group.region == region]
        lines.append(f"| {region} | {' | '.join(cells)} |")
    return "\n".join(lines)


def pan_table() -> str:
    """Pan's groups of the whole lung, a row per measure."""
    groups = list(dict.fromkeys(group.group for group in PAN_GROUPS))
    lines = [f"| whole lung | {' | '.join(groups)} |", f"|---|{'---|' * len(groups)}"]
    told = {(group.measure, group.group): published_text(group.spread) for group in PAN_GROUPS}
    for measure in dict.fromkeys(group.measure for group in PAN_GROUPS):
        title, unit = title_of(measure)
        cells = [told.get((measure, group), "") for group in groups]
        lines.append(f"| {title}{', ' + unit if unit else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = {"cut-offs": cut_offs_table, "huang": huang_table, "pan": pan_table}


def filled(text: str) -> str:
    """The document with each table inserted between its two marks.

    Raises:
        ValueError: the document lacks the marks.
    """
    return tables_filled_in(text, TABLES, _WRITTEN)


if __name__ == "__main__":
    write_anew(filled, "docs/readers.md")
