"""The CSV format of all COVIDQuant tables: full precision, undefined values empty, never NaN."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

Cell = str | float | int | None


def write_rows(path: Path, rows: Iterable[Sequence[Cell]]) -> None:
    """Write rows, header first, in UTF-8 with a line feed per row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([cell(value) for value in row] for row in rows)


def cell(value: Cell) -> str:
    """One value as text; None, NaN and infinity are empty."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
