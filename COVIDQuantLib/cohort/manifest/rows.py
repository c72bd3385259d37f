"""A manifest's rows, checked: which exam of which patient, where its images are, and what else is known of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from COVIDQuantLib.cohort.columns import DATE, EXAM, EXCLUDED, ONSET, OURS, PATIENT, Status
from COVIDQuantLib.cohort.manifest.table import RawRow, RawTable, read_table
from COVIDQuantLib.cohort.manifest.values import Value, day_of, text_of, typed
from COVIDQuantLib.ct.files.input_files import quoted, shown
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError

PATH, SERIES, USE = "path", "series", "use"
REFERENCES = {f"reference_{kind}": kind for kind in ("lobes", "lungs", "lesions")}
REQUIRED = (PATIENT, EXAM, PATH)
_DAYS = (DATE, ONSET)
# Of these only what the data set needs is kept.
_NOT_CARRIED = {PATH, SERIES, USE, EXCLUDED, *REFERENCES}
_KNOWN = {*REQUIRED, *_DAYS, *_NOT_CARRIED}
_NO = {"no", "n", "false", "0"}
_YES = {"yes", "y", "true", "1"}


@dataclass(frozen=True)
class ExamRow:
    """One exam of the manifest.

    Attributes:
        place: where its row is, for messages.
        patient, exam: as the manifest names them; empty if it does not.
        path: of the images, absolute.
        series: which DICOM series; None for the best.
        references: label maps drawn by people, by what they show (``lobes``, ``lungs``, ``lesions``).
        excluded: why the exam should not count in statistics, or ``yes``; empty if it counts.
        status: ``pending``; or why it is not to be quantified.
        code, reason: of that.
    """

    place: str
    patient: str
    exam: str
    path: Path
    series: str | None = None
    references: Mapping[str, Path] = field(default_factory=dict)
    excluded: str = ""
    status: Status = Status.PENDING
    code: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """The exam for a message."""
        return f"{self.patient or '?'} {self.exam or '?'}"

    def refused(self, reason: str, code: str, status: Status = Status.UNREADABLE) -> ExamRow:
        """The same row, not to be quantified."""
        return replace(self, status=status, code=code, reason=reason)


@dataclass
class Manifest:
    """The exams of a cohort.

    Attributes:
        path: of the manifest.
        rows: in the manifest's order.
        columns: what the data set repeats of them beside patient and exam: values by column, one per row.
        warnings: about the manifest.
    """

    path: Path
    rows: list[ExamRow]
    columns: dict[str, list[Value]]
    warnings: list[CTWarning] = field(default_factory=list)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; a row that cannot be used says so and leaves the others as they are.

    Args:
        path: CSV or Parquet with the columns ``patient``, ``exam`` and ``path`` (relative to the manifest), in any
            order and case; optionally ``date``, ``onset``, ``series``, ``use``, ``excluded``, ``reference_lobes`` …
            and any others.

    Raises:
        UnfitInputError: it cannot be read, a column is missing, twice or has the name of a figure, or there is no row.
    """
    table = read_table(path)
    _check_columns(path, table.columns)
    if not table.rows:
        raise UnfitInputError("the manifest has no rows", shown(path), "Give one row per exam.", "manifest-empty")
    names = {name: _folded(name) for name in table.columns}
    raw = [RawRow(row.place, {names[n]: v for n, v in row.values.items()}, row.fault) for row in table.rows]
    rows = _without_twins([_exam_row(row, path.absolute().parent) for row in raw])
    carried = [name for name in names.values() if name not in {PATIENT, EXAM, *_NOT_CARRIED}]
    columns = {name: _column(name, raw, table) for name in carried}
    return Manifest(path, rows, columns, [*table.warnings, *_warnings(columns)])


def _folded(name: str) -> str:
    """Our own columns in any case; others as they are."""
    return name.casefold() if name.casefold() in _KNOWN else name


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    folded = [name.casefold() for name in columns]
    missing = [name for name in REQUIRED if name not in folded]
    if missing:
        near = [match for name in missing for match in difflib.get_close_matches(name, folded, 1, 0.5)]
        hint = f"Rename {quoted(near[0])}?" if near else f"It has {quoted(', '.join(columns))}."
        what = f"the manifest lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        raise UnfitInputError(what, shown(path), hint, code="manifest-columns")
    ours = sorted(name for name in columns if name.casefold() in OURS)
    if ours:
        what = f"the column {quoted(ours[0])} has the name of a column of the data set"
        raise UnfitInputError(what, shown(path), "Rename it.", code="manifest-columns")


def _exam_row(raw: RawRow, folder: Path) -> ExamRow:
    values = raw.values
    patient, exam, path = (text_of(values.get(name)) or "" for name in REQUIRED)
    row = ExamRow(raw.place, patient, exam, _absolute(_path_text(values.get(PATH)), folder))
    if raw.fault:
        return row.refused(raw.fault, "row-unreadable")
    missing = [name for name, text in zip(REQUIRED, (patient, exam, path), strict=True) if not text]
    if missing:
        return row.refused(f"it gives no {' and no '.join(missing)}", "row-unreadable")
    for name in _DAYS:
        try:
            day_of(values.get(name))
        except ValueError as error:
            return row.refused(f"{name}: {error}", "row-unreadable")
    if (text_of(values.get(USE)) or "yes").casefold() in _NO:
        return row.refused("the manifest says not to use it", "", Status.LEFT_OUT)
    references = {
        kind: _absolute(_path_text(values[name]), folder)
        for name, kind in REFERENCES.items()
        if text_of(values.get(name))
    }
    excluded = text_of(values.get(EXCLUDED)) or ""
    excluded = "" if excluded.casefold() in _NO else "yes" if excluded.casefold() in _YES else excluded
    return replace(row, series=text_of(values.get(SERIES)), references=references, excluded=excluded)


def _path_text(value: Any) -> str:
    """A path as it stands, blanks inside it too."""
    return "" if value is None else str(value).strip()


def _absolute(text: str, folder: Path) -> Path:
    if "\0" in text:
        return folder
    path = folder / text
    if "\\" in text and not path.exists():
        # Written on Windows; there both signs part folders.
        other = folder / PureWindowsPath(text).as_posix()
        path = other if other.exists() else path
    return path


def _without_twins(rows: list[ExamRow]) -> list[ExamRow]:
    """The rows; one that repeats an earlier one's exam, or its images, is not to be quantified."""
    tests: tuple[tuple[Callable[[ExamRow], Any], str, str, Status], ...] = (
        (lambda r: (r.patient, r.exam), "the same patient and exam as", "exam-twice", Status.UNREADABLE),
        (
            lambda r: (r.patient.casefold(), r.exam.casefold()),
            "patient and exam differ only in case from",
            "exam-twice",
            Status.UNREADABLE,
        ),
        (lambda r: (str(r.path), r.series), "the same images as", "images-twice", Status.DUPLICATE),
    )
    met: list[dict[Any, ExamRow]] = [{} for _ in tests]
    kept = []
    for row in rows:
        if row.status is Status.PENDING:
            for (key, words, code, status), seen in zip(tests, met, strict=True):
                first = seen.get(key(row))
                if first is not None:
                    row = row.refused(f"{words} {first.place} ({first.name})", code, status)  # noqa: PLW2901
                    break
            else:
                for (key, *_), seen in zip(tests, met, strict=True):
                    seen[key(row)] = row
        kept.append(row)
    return kept


def _column(name: str, rows: Sequence[RawRow], table: RawTable) -> list[Value]:
    cells = [row.values.get(name) for row in rows]
    if name in _DAYS:
        return [_day_or_none(cell) for cell in cells]
    return typed(cells, decimal_comma=table.decimal_comma)


def _day_or_none(cell: Any) -> Value:
    try:
        return day_of(cell)
    except ValueError:
        return None


def _warnings(columns: Mapping[str, list[Value]]) -> list[CTWarning]:
    days = [(day, onset) for day, onset in zip(*(columns.get(name, ()) for name in _DAYS), strict=False)]
    before = sum(1 for day, onset in days if day is not None and onset is not None and day < onset)
    if not before:
        return []
    return [CTWarning("onset-after-exam", f"{before} exams are before the onset of symptoms: check the dates.")]
