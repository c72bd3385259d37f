"""Generate the table of checks in ``docs/checks.md`` from the code, so that it stays in step with it."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from COVIDQuantLib.checks.record import Limits
from COVIDQuantLib.checks.table import CHECKS
from COVIDQuantLib.document_table import table_filled_in

BEGIN = "<!-- checks:begin (written by `python -m COVIDQuantLib.checks.document`) -->"
END = "<!-- checks:end -->"


def checks_table() -> str:
    """Every check as a row of a Markdown table."""
    lines = ["| code | what is measured | unit | sound | not usable |", "|---|---|---|---|---|"]
    lines += [
        f"| `{check.code}` | {check.text}{'' if not check.whole else ' (whole lungs only)'} | {check.unit} | "
        f"{_within(check.sound)} | {_beyond(check.usable)} |"
        for check in CHECKS
    ]
    return "\n".join(lines)


def _within(limits: Limits) -> str:
    low, high = limits
    if math.isinf(low):
        return f"up to {_number(high)}"
    return f"from {_number(low)}" if math.isinf(high) else f"{_number(low)} to {_number(high)}"


def _beyond(limits: Limits) -> str:
    low, high = limits
    parts = [f"below {_number(low)}"] if math.isfinite(low) else []
    parts += [f"above {_number(high)}"] if math.isfinite(high) else []
    return " or ".join(parts) or "never"


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def filled(text: str) -> str:
    """The document with the table inserted between its two marks.

    Raises:
        ValueError: the document lacks the marks.
    """
    return table_filled_in(text, BEGIN, checks_table(), END)


if __name__ == "__main__":
    document = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/checks.md")
    document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")
