"""Read a table from CSV or Parquet, or gather the ``metrics.csv`` of many result folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.table_file import GATE_COLUMN
from COVIDQuantLib.readers.scale import WHY_EXCLUDED, Verdict
from COVIDQuantLib.system.near_names import did_you_mean

if TYPE_CHECKING:
    from pandas import DataFrame

METRICS_NAME = "metrics.csv"
_DEEPEST = 4
# Read as text, so that 007 stays 007.
_TEXT = ("patient", "exam", "scan")


def read_table(path: Path, columns: Mapping[str, str] | None = None) -> DataFrame:
    """A table of any size.

    Args:
        path: a CSV file (UTF-8, header first), a Parquet file or data set, or a folder of folders with
            ``metrics.csv`` as ``covidquant quantify`` writes them.
        columns: our name of a column → its name in the table, where they differ.

    Raises:
        UnfitInputError: it is missing, empty, or no table (``no-such-table``, ``table-damaged``, ``table-empty``).
    """
    renamed = {own: ours for ours, own in (columns or {}).items()}
    if not path.exists():
        raise UnfitInputError("there is no such table", str(path), "Check the path.", code="no-such-table")
    try:
        table = _parquet(path) if _is_parquet(path) else _gathered(path) if path.is_dir() else _csv(path, renamed)
    except (OSError, ValueError, ArithmeticError) as error:
        what = (
            f"it cannot be read as a table ({str(error).splitlines()[0] if str(error) else type(error).__name__:.120})"
        )
        raise UnfitInputError(what, str(path), "Give CSV in UTF-8 or Parquet.", code="table-damaged") from error
    table = table.rename(columns={own: ours for own, ours in renamed.items() if own in table.columns})
    if table.empty:
        raise UnfitInputError("the table has no rows", str(path), "Give a table with data.", code="table-empty")
    twice = [str(name) for name in table.columns[table.columns.duplicated()]]
    if twice:
        remedy = "Give every column a name of its own."
        raise UnfitInputError(f"two columns are named {twice[0]}", str(path), remedy, code="table-damaged")
    for name in _TEXT:
        if name in table.columns:
            table[name] = table[name].astype("string").str.strip()
    return table


def need_columns(table: DataFrame, needed: tuple[str, ...], where: str) -> None:
    """Check that a table has some columns.

    Raises:
        UnfitInputError: one is missing; names it, and the column that may be meant (``column-missing``).
    """
    for name in needed:
        if name not in table.columns:
            remedy = f"{did_you_mean(name, table.columns)}Name your column under [columns] of the study."
            raise UnfitInputError(f"the column {name} is missing", where, remedy, code="column-missing")


def as_numbers(values: Any, name: str, where: str) -> Any:
    """A column as numbers; empty cells are undefined.

    Raises:
        UnfitInputError: a cell is something else; names it and its row (``not-a-number``).
    """
    import pandas as pd

    if values.dtype == bool:
        return values.astype(float)
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = numbers.isna() & values.notna() & (values.astype(str).str.strip() != "")
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        what = f"{str(values.iloc[row])!r:.40} in the column {name} is not a number (row {row + 1} of the data)"
        raise UnfitInputError(what, where, "Correct the cell, or leave it empty.", code="not-a-number")
    return numbers.astype(float)


def _is_parquet(path: Path) -> bool:
    if path.is_dir():
        return path.suffix == ".parquet" or any(path.glob("*.parquet"))
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parquet(path: Path) -> DataFrame:
    import pandas as pd

    return pd.read_parquet(path, engine="pyarrow")


def _csv(path: Path, renamed: Mapping[str, str]) -> DataFrame:
    import pandas as pd

    text = {own: "string" for own, ours in renamed.items() if ours in _TEXT} | dict.fromkeys(_TEXT, "string")
    head = pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns
    types = {name: kind for name, kind in text.items() if name in head}
    return pd.read_csv(path, encoding="utf-8-sig", dtype=types, skipinitialspace=True)


def _gathered(folder: Path) -> DataFrame:
    """Every result folder below a folder; the exam is named by its folder, the patient by the folder above."""
    import pandas as pd

    files = [
        path
        for depth in range(1, _DEEPEST)
        for path in sorted(folder.glob("/".join(["*"] * depth) + f"/{METRICS_NAME}"))
    ]
    tables = []
    for path in files:
        names = path.relative_to(folder).parts[:-1]
        table = pd.read_csv(path, encoding="utf-8-sig")
        if "region" in table.columns:
            tables.append(table.assign(patient=names[-2] if len(names) > 1 else names[-1], exam=names[-1]))
            if GATE_COLUMN in table.columns:
                # What the readers of the exam have said.
                excluded = table[GATE_COLUMN] == str(Verdict.EXCLUDED)
                tables[-1]["excluded"] = ["", WHY_EXCLUDED][bool(excluded.all())]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
