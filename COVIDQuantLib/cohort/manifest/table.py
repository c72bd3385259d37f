"""Read a manifest's table, CSV or Parquet, into rows of plain values; a bad row does not spoil the others."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from COVIDQuantLib.cohort.packages import optional
from COVIDQuantLib.ct.files.input_files import check_input, quoted, shown
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError

_PARQUET, _ZIP = b"PAR1", b"PK\x03\x04"
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_DELIMITERS = ",;\t|"
_MOST_BYTES = 2 << 30
_EXPORT = "Export it again as CSV (UTF-8) or Parquet."


@dataclass(frozen=True)
class RawRow:
    """One row as the table has it.

    Attributes:
        place: where it is, for messages: ``line 12`` of a CSV, ``row 12`` of a Parquet table.
        values: by the column's name as in the header; texts (CSV) or typed values (Parquet).
        fault: why it cannot be read; empty if it can.
    """

    place: str
    values: dict[str, Any]
    fault: str = ""


@dataclass
class RawTable:
    """The table of a manifest.

    Attributes:
        columns: names in the header, stripped of blanks.
        rows: in order; blank lines are left out.
        decimal_comma: whether numbers may be written with a comma (tables separated by semicolons).
        warnings: about the file.
    """

    columns: tuple[str, ...]
    rows: list[RawRow]
    decimal_comma: bool = False
    warnings: list[CTWarning] = field(default_factory=list)


def read_table(path: Path) -> RawTable:
    """Read the table; its kind is recognised by its first bytes, not by its name.

    Args:
        path: a CSV file (commas, semicolons, tabs or bars; UTF-8, UTF-16 or Windows-1252) or a Parquet file.

    Raises:
        UnfitInputError: it cannot be read, is neither CSV nor Parquet, is damaged, or has no header.
        UsageError: pyarrow is missing, which Parquet needs.
    """
    size = check_input(path).st_size
    if size > _MOST_BYTES:
        raise UnfitInputError("the manifest is larger than 2 GiB", shown(path), "Divide it.", code="manifest-damaged")
    try:
        with path.open("rb") as file:
            start = file.read(4)
            if start == _PARQUET:
                return _read_parquet(path)
            data = start + file.read()
    except OSError as error:
        what = f"it cannot be read ({error.strerror or error})"
        raise UnfitInputError(what, shown(path), "Check its permissions.", code="unreadable") from error
    if start == _ZIP:
        what = "the manifest is a workbook or archive, not a table"
        raise UnfitInputError(what, shown(path), "Save it as CSV (UTF-8).", code="manifest-kind")
    return _read_csv(path, data)


def _read_parquet(path: Path) -> RawTable:
    parquet = optional("pyarrow.parquet")
    try:
        table = parquet.read_table(path)
        names = [str(name).strip() for name in table.column_names]
        columns = [column.to_pylist() for column in table.columns]
    except Exception as error:  # pyarrow raises many kinds on damaged files
        what = f"the Parquet table is damaged ({str(error).splitlines()[0]:.120})"
        raise UnfitInputError(what, shown(path), _EXPORT, code="manifest-damaged") from error
    _check_header(path, names)
    kept = [index for index, name in enumerate(names) if name]
    rows = [
        RawRow(f"row {number}", {names[index]: values[index] for index in kept})
        for number, values in enumerate(zip(*columns, strict=True), start=1)
    ]
    return RawTable(tuple(names[index] for index in kept), rows)


def _read_csv(path: Path, data: bytes) -> RawTable:
    text, warnings = _decoded(path, data)
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=lambda sign: (_count_outside_quotes(head, sign), -_DELIMITERS.index(sign)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines = _lines(path, reader)
    names: list[str] = []
    for place, cells, fault in lines:
        if fault:
            raise UnfitInputError(f"the header cannot be read ({fault})", shown(path), _EXPORT, code="manifest-damaged")
        names = [cell.strip() for cell in cells]
        del place
        break
    _check_header(path, names)
    rows = [_row(place, names, cells, fault) for place, cells, fault in lines]
    return RawTable(tuple(name for name in names if name), rows, delimiter == ";", warnings)


def _decoded(path: Path, data: bytes) -> tuple[str, list[CTWarning]]:
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding), []
    except UnicodeDecodeError:
        if b"\0" in data:
            what = "the manifest is neither text nor Parquet"
            raise UnfitInputError(what, shown(path), _EXPORT, code="manifest-kind") from None
    told = "The manifest is not UTF-8; it was read as Windows-1252: check letters beyond A to Z."
    return data.decode("cp1252", errors="replace"), [CTWarning("manifest-encoding", told)]


def _count_outside_quotes(line: str, sign: str) -> int:
    return sum(part.count(sign) for part in line.split('"')[::2])


def _lines(path: Path, reader: Any) -> Iterator[tuple[str, list[str], str]]:
    """Place, cells and fault of every line that is not blank; a fault in one leaves the others.

    Raises:
        UnfitInputError: a quotation mark is never closed, so that it is unknown which rows follow.
    """
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                what = f"the quotation mark that opens on line {first} or after it is never closed"
                raise UnfitInputError(what, shown(path), "Close it, or double it.", code="manifest-damaged") from None
            last = reader.line_num
            yield (f"line {first}" if last <= first else f"lines {first} to {last}"), [], str(error)
            continue
        if any(cell.strip() for cell in cells):
            yield f"line {first}", cells, ""


def _row(place: str, names: list[str], cells: list[str], fault: str) -> RawRow:
    while len(cells) > len(names) and not cells[-1].strip():
        cells = cells[:-1]
    if not fault and len(cells) != len(names):
        fault = f"it has {len(cells)} fields, the header has {len(names)}"
    if not fault and any("\0" in cell for cell in cells):
        fault = "it contains a zero byte"
    return RawRow(place, {name: cell for name, cell in zip(names, cells, strict=False) if name}, fault)


def _check_header(path: Path, names: list[str]) -> None:
    if not any(names):
        raise UnfitInputError(
            "the manifest has no header", shown(path), "Begin it with the names of its columns.", "manifest-columns"
        )
    folded = [name.casefold() for name in names if name]
    twice = sorted({name for name in folded if folded.count(name) > 1})
    if twice:
        what = f"the column {quoted(twice[0])} is there twice"
        raise UnfitInputError(what, shown(path), "Rename or remove one of the two.", code="manifest-columns")
