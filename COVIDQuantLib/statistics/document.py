"""The settings of a study in ``docs/study.md``: ``python -m COVIDQuantLib.statistics.document`` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from COVIDQuantLib.document_table import table_filled_in
from COVIDQuantLib.statistics.analyses.kinds import KINDS
from COVIDQuantLib.statistics.config import COMMON, STUDY, TIME
from COVIDQuantLib.system.settings_schema import REQUIRED, Schema, Setting

BEGIN = "<!-- settings:begin (written by `python -m COVIDQuantLib.statistics.document`) -->"
END = "<!-- settings:end -->"
_HEAD = "| key | what it does | it must be | default |\n|---|---|---|---|"


def settings_text() -> str:
    """Every table of keys, in Markdown."""
    parts = [
        "### The study",
        "",
        _lines(STUDY),
        "",
        "### `[[times]]`",
        "",
        _lines(TIME),
        "",
        "### Every `[[analysis]]`",
    ]
    parts += ["", _lines(COMMON)]
    for kind in KINDS.values():
        rows = ", ".join(kind.rows)
        parts += ["", f"### `{kind.name}`", "", f"{kind.title} (rows {rows}).", "", _lines(kind.schema)]
    return "\n".join(["", *parts, ""])


def _lines(schema: Schema, path: str = "") -> str:
    return "\n".join([_HEAD, *_rows(schema, path)])


def _rows(schema: Schema, path: str) -> list[str]:
    found = []
    for name, entry in schema.items():
        if isinstance(entry, Setting):
            found.append(f"| `{path}{name}` | {entry.meaning} | {entry.wanted} | {_default(entry.default)} |")
        else:
            found += _rows(entry, f"{path}{name}.")
    return found


def _default(value: Any) -> str:
    if value is REQUIRED:
        return "required"
    if value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, int | float) else f"`{value}`".replace("'", '"')


def filled(text: str) -> str:
    """The page with the settings as the code has them."""
    return table_filled_in(text, BEGIN, settings_text(), END)


if __name__ == "__main__":
    page = Path(__file__).resolve().parents[2] / "docs" / "study.md"
    page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
