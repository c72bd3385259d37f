"""CSV as every table of COVIDQuant is written: full precision, an undefined value empty, never NaN."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

Cell = str | float | int | None


def write_rows(path: Path, rows: Iterable[Sequence[Cell]]) -> None:
    """Write rows, the heading first, in UTF-8 with one line feed a row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([cell(value) for value in row] for row in rows)


def cell(value: Cell) -> str:
    """One value as text; None, NaN and infinity are empty."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
