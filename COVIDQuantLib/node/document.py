"""The node's keys as a table of ``docs/node.md``: ``python -m COVIDQuantLib.node.document`` writes it anew."""

from __future__ import annotations

from pathlib import Path

from COVIDQuantLib.document_table import table_filled_in
from COVIDQuantLib.node.settings import SCHEMAS
from COVIDQuantLib.system.settings_schema import REQUIRED, Setting

PAGE = Path(__file__).resolve().parents[2] / "docs" / "node.md"
BEGIN = "<!-- keys:begin (written by `python -m COVIDQuantLib.node.document`) -->"
END = "<!-- keys:end -->"
_TITLES = {"dicom": "[[destination]]", "dicomweb": '[[destination]], kind = "dicomweb"', "source": "[[source]]"}


def filled(text: str) -> str:
    """The page with its table as the code is now."""
    rows = [
        f"| {_title(table) if number == 0 else ''} | `{key}` | {_default(setting)} | {setting.meaning} |"
        for table, keys in SCHEMAS.items()
        for number, (key, setting) in enumerate(keys.items())
        if isinstance(setting, Setting)
    ]
    table = "\n".join(["| table | key | default | what it is |", "|---|---|---|---|", *rows])
    return table_filled_in(text, BEGIN, f"\n{table}\n\n", END)


def _title(table: str) -> str:
    return f"`{_TITLES.get(table, f'[{table}]')}`"


def _default(setting: Setting) -> str:
    if setting.default is REQUIRED:
        return "*required*"
    if isinstance(setting.default, bool):
        return f"`{str(setting.default).lower()}`"
    return f"`{setting.default!r}`".replace("'", '"')


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
