"""Write ``metrics.csv`` and ``metrics.json``, and read them with validation."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import COVIDQuantLib
from COVIDQuantLib.anatomy import REGIONS
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import COVIDQuantError, UnfitInputError
from COVIDQuantLib.export.csv_file import write_rows
from COVIDQuantLib.export.reader_records import RATING, ReaderRecords, records_of
from COVIDQuantLib.grades import CheckResult, Grade, grade_of
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import MetricsTable, Row, Value, compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.readers.identity import SegmentationIdentity
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.system.atomic_files import settle_results, write_atomically
from COVIDQuantLib.system.json_file import read_json

CSV_FILE = "metrics.csv"
JSON_FILE = "metrics.json"
FORMAT = "covidquant-metrics/1"
_FORMATS = "covidquant-metrics/"
_LIBRARIES = ("numpy", "scipy", "SimpleITK", "pydicom")
# JSON values up to this length are written on one line.
_LINE = 110
# Values recomputed from the counts differ only by rounding.
_TOLERANCE = 1e-9


GRADE_COLUMN = "grade"
# Only in the file of an exam that readers have rated.
GATE_COLUMN = "quality_gate"
_AGAIN = "Run quantify again to make a new one."


def write_csv(
    path: Path, metrics: MetricsTable, grade: Grade | None = None, records: Mapping[str, Any] | None = None
) -> None:
    """Write the table: one line per region, full precision, undefined values empty.

    Args:
        path: the file.
        metrics: the figures.
        grade: of the result, repeated on every line; None if nothing was checked.
        records: the exam's further entries; a rating adds a column with its verdict.

    Raises:
        OutputError: the file cannot be written.
    """
    verdict = (records or {}).get(RATING, {}).get("verdict")
    heading = [*metrics.columns, GRADE_COLUMN, *([GATE_COLUMN] if verdict else ())]
    last = [grade or "", *([verdict] if verdict else ())]
    rows = [[*(row[column] for column in metrics.columns), *last] for row in metrics.rows]
    write_atomically(path, lambda target: write_rows(target, [heading, *rows]))


def metrics_record(
    ct: CTVolume,
    segmentation: Segmentation,
    histogram: JointHistogram,
    metrics: MetricsTable,
    records: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that ``metrics.json`` holds, as plain values.

    The file records how it was made but no date, so that the same input gives the same file. ``records`` are the
    exam's further entries.
    """
    steps = segmentation.provenance.values()
    record = {
        "format": FORMAT,
        "software": software_versions(),
        "regions": list(metrics.rows),
        **metrics.summary(),
        "models": [step["model"] for step in steps if isinstance(step, Mapping) and step.get("model")],
        "segmentation": segmentation.provenance,
        "input": dict(ct.source),
        "geometry": ct.geometry.as_record(),
        "warnings": [_warning_record(warning) for warning in (*ct.warnings, *segmentation.warnings)],
        "grade": grade_of(segmentation.checks),
        "checks": [check.as_record() for check in segmentation.checks],
        **(records or {}),
        "histogram": histogram.as_record(),
    }
    plain: dict[str, Any] = plain_values(record)
    return plain


def _warning_record(warning: CTWarning) -> dict[str, str]:
    return {"code": warning.code, "message": warning.message}


def software_versions() -> dict[str, str]:
    """Versions of COVIDQuant, Python and the libraries that the results depend on."""
    versions = {"COVIDQuant": COVIDQuantLib.__version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # Slicer ships some without package metadata
            versions[library] = "unknown"
    return versions


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON: full precision, undefined values ``null``, never NaN.

    Raises:
        OutputError: the file cannot be written.
    """
    text = _text(plain_values(record), "") + "\n"
    write_atomically(path, lambda target: _write_text(target, text))


def _write_text(target: Path, text: str) -> None:
    with target.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def plain_values(value: Any) -> Any:
    """A value in JSON types; numbers that JSON cannot represent become null."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain_values(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_values(item) for item in value]
    if isinstance(value, np.generic):
        return plain_values(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def _text(value: Any, indent: str) -> str:
    """Readable JSON: short values and lists of numbers on one line, everything else one entry per line."""
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    numbers = isinstance(value, list) and all(isinstance(item, (int, float)) for item in value)
    if len(flat) <= _LINE or numbers or not isinstance(value, (dict, list)):
        return flat
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_text(item, inner)}" for key, item in value.items()]
    else:
        parts = [_text(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{closing}"


@dataclass(frozen=True)
class MetricsFile:
    """A checked ``metrics.json``.

    Attributes:
        path: where it was read from.
        metrics: its table, with the file's own values.
        histogram: the counts that the values follow from.
        record: everything else as read.
        checks: checks of the result; empty in files from before checks existed.
        readers: the readers' rating and the edit record.
    """

    path: Path
    metrics: MetricsTable
    histogram: JointHistogram
    record: dict[str, Any]
    checks: tuple[CheckResult, ...] = ()
    readers: ReaderRecords = field(default_factory=ReaderRecords)

    @property
    def identity(self) -> SegmentationIdentity:
        """Which segmentation was counted."""
        return SegmentationIdentity.of(self.histogram)

    @property
    def grade(self) -> Grade | None:
        """The worst grade of any check; None if nothing was checked."""
        return grade_of(self.checks)


def read_metrics(path: Path) -> MetricsFile:
    """Read and validate ``metrics.json``, or the one in a folder.

    Every value must follow from the file's own counts and thresholds, so edits by hand are detected.

    Raises:
        UnfitInputError: it is missing, damaged, of another format, its values contradict its counts, or a reader's
            record in it is of another exam.
    """
    path = path / JSON_FILE if path.is_dir() else path
    settle_results(path.parent)
    try:
        record = read_json(path, _AGAIN)
    except FileNotFoundError as error:
        raise UnfitInputError("there is no such file", str(path), "Give a folder written by quantify.") from error
    return metrics_of(record, path)


def metrics_of(record: Any, path: Path) -> MetricsFile:
    """Validate what a ``metrics.json`` or a report of ours holds.

    Args:
        record: parsed from it.
        path: the file it is from.

    Raises:
        UnfitInputError: it is damaged, of another format, or its values contradict its counts.
    """
    _check_format(path, record)
    try:
        histogram = JointHistogram.from_record(record["histogram"])
        expected = compute_metrics(histogram, Thresholds(**record["thresholds"]))
        metrics = MetricsTable(
            _rows(record["regions"], expected),
            record["ct_score_total"],
            record["involved_lobes"],
            record["hellinger_distance"],
            record["histogram_iou"],
            expected.thresholds,
        )
        checks = tuple(CheckResult.from_record(entry) for entry in record.get("checks", ()))
    except (COVIDQuantError, KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        raise _unfit(path, f"has a missing or invalid field ({type(error).__name__}: {error})") from error
    _check_figures(path, metrics, expected)
    if record.get("grade") != grade_of(checks):
        raise _unfit(path, f"has grade {record.get('grade')}, but its checks give {grade_of(checks)}")
    readers = records_of(record, SegmentationIdentity.of(histogram), str(path))
    return MetricsFile(path, metrics, histogram, record, checks, readers)


def _rows(told: Sequence[Mapping[str, Any]], expected: MetricsTable) -> tuple[Row, ...]:
    """The file's rows with every column of ours.

    A measure that is in no row, and a zone without a row, are newer than the file: what its counts say stands in.
    """
    newer = [name for name in expected.columns[1:] if not any(name in row for row in told)]
    right = {row["region"]: row for row in expected.rows}
    rows: list[Row] = []
    for row in told:
        filled = {**row, **{name: right.get(row["region"], {}).get(name) for name in newer}}
        rows.append({name: filled[name] for name in expected.columns})
    there = {row["region"] for row in rows}
    zones = {region.name for region in REGIONS if region.zone}
    for place, row in enumerate(expected.rows):
        if row["region"] in zones - there:
            rows.insert(place, row)
    return tuple(rows)


def _check_format(path: Path, record: Any) -> None:
    found_format = record.get("format") if isinstance(record, dict) else None
    if found_format == FORMAT:
        return
    if isinstance(found_format, str) and found_format.startswith(_FORMATS):
        what = f"has the format {found_format[:40]}; this version of COVIDQuant reads {FORMAT}"
        remedy = "Use the version that wrote it, or run quantify again with this one."
        raise UnfitInputError(what, str(path), remedy, code="metrics-version")
    raise _unfit(path, f"does not have the format {FORMAT}")


def _check_figures(path: Path, metrics: MetricsTable, expected: MetricsTable) -> None:
    names = [row["region"] for row in metrics.rows]
    if names != [row["region"] for row in expected.rows]:
        raise _unfit(path, f"has the regions {names}")
    for row, right in zip(metrics.rows, expected.rows, strict=True):
        for column in expected.columns:
            if not _agrees(row[column], right[column]):
                raise _unfit(
                    path, f"gives {column} of {row['region']} as {row[column]}, its counts give {right[column]}"
                )
    for name in ("ct_score_total", "involved_lobes"):
        if not _agrees(getattr(metrics, name), getattr(expected, name)):
            raise _unfit(path, f"gives {name} as {getattr(metrics, name)}, its counts give {getattr(expected, name)}")


def _agrees(value: Any, expected: Value) -> bool:
    if expected is None or isinstance(expected, str) or not isinstance(value, (int, float)) or isinstance(value, bool):
        return bool(value == expected)
    return math.isclose(value, expected, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _unfit(path: Path, what: str) -> UnfitInputError:
    return UnfitInputError(what, str(path), _AGAIN, code="metrics-damaged")
