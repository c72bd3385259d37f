"""The data set of a cohort: Parquet tables of every exam and every region, in the manifest's order.

The tables follow from the manifest and the exams' results alone, so that the same ones always give the same bytes; only
the column ``seconds`` differs from run to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from COVIDQuantLib.anatomy import REGIONS
from COVIDQuantLib.cohort.columns import (
    AGREEMENT_COLUMNS,
    AGREEMENT_FILE,
    EXAM,
    EXAM_COLUMNS,
    EXAMS_FILE,
    EXCLUDED,
    GRADE,
    METRICS_COLUMNS,
    METRICS_FILE,
    MODEL,
    PATIENT,
    REGION,
    VERSION,
    Status,
)
from COVIDQuantLib.cohort.exams.state import ExamState
from COVIDQuantLib.cohort.manifest.rows import Manifest
from COVIDQuantLib.cohort.packages import optional
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.system.atomic_files import OutputFolder

FORMAT = "covidquant-cohort/1"
_SUMMARY = ("ct_score_total", "involved_lobes", "hellinger_distance", "histogram_iou")
_WHOLE = {"ct_score_total", "involved_lobes"}


def put_dataset(manifest: Manifest, states: Sequence[ExamState], key: str, out: OutputFolder) -> list[Path]:
    """Write the tables into a set of files that appear together, when its block ends.

    Args:
        manifest: of the cohort.
        states: of its exams, in its order.
        key: of the settings.
        out: where to.

    Raises:
        OutputError: a file cannot be written.
        UsageError: pyarrow is missing.
    """
    tables = {EXAMS_FILE: exams_table(manifest, states, key), METRICS_FILE: metrics_table(manifest, states)}
    if any(state.row.references for state in states):
        tables[AGREEMENT_FILE] = agreement_table(manifest, states)
    parquet = optional("pyarrow.parquet")
    for name, table in tables.items():
        out.write(name, lambda path, table=table: parquet.write_table(table, path))  # type: ignore[misc]
    return [out.path / name for name in tables]


def exams_table(manifest: Manifest, states: Sequence[ExamState], key: str) -> Any:
    """One row per row of the manifest, as a pyarrow table."""
    arrow = optional("pyarrow")
    types = {
        "edited": arrow.bool_(),
        "seconds": arrow.float64(),
        **{name: arrow.int64() if name in _WHOLE else arrow.float64() for name in _SUMMARY},
    }
    records = [_exam_record(state, key) for state in states]
    columns = _of_manifest(manifest, states, arrow, lambda _: 1)
    columns |= {
        name: arrow.array([record[name] for record in records], types.get(name, arrow.string()))
        for name in EXAM_COLUMNS
    }
    return _table(columns, arrow)


def _exam_record(state: ExamState, key: str) -> dict[str, Any]:
    figures = state.figures if state.status is Status.DONE else None
    summary: Mapping[str, Any] = figures.summary if figures else {}
    tried = state.status in {Status.DONE, Status.FAILED, Status.DUPLICATE}
    return {
        "status": str(state.status),
        "code": state.code or None,
        "reason": state.reason or None,
        GRADE: figures.grade if figures else None,
        EXCLUDED: state.excluded or None,
        "findings": ", ".join(figures.findings) if figures else None,
        "warnings": ", ".join(figures.warnings) if figures else None,
        "agreement": _agreement_word(state),
        "edited": figures.edited if figures else None,
        **{name: summary.get(name) for name in _SUMMARY},
        MODEL: state.model or None,
        VERSION: state.version or None,
        "input_sha256": state.content or None,
        "settings_sha256": key if tried else None,
        "folder": state.folder if tried and state.row.patient and state.row.exam else None,
        "seconds": state.seconds,
    }


def _agreement_word(state: ExamState) -> str | None:
    if state.status is not Status.DONE or not state.row.references:
        return None
    return "not compared" if state.agreement is None else state.agreement.reason or "done"


def metrics_table(manifest: Manifest, states: Sequence[ExamState]) -> Any:
    """One row per finished exam and region, as a pyarrow table."""
    arrow = optional("pyarrow")
    measured = [state.figures.regions if state.status is Status.DONE and state.figures else () for state in states]
    columns = _of_manifest(manifest, states, arrow, lambda index: len(measured[index]))
    regions = [region for rows in measured for region in rows]
    columns[REGION] = arrow.array([row[REGION] for row in regions], arrow.string())
    for name in MEASURES.names:
        columns[name] = arrow.array([_float(row.get(name)) for row in regions], arrow.float64())
    of_exam: dict[str, Callable[[ExamState], Any]] = {
        GRADE: lambda state: state.figures.grade if state.figures else None,
        EXCLUDED: lambda state: state.excluded or None,
        MODEL: lambda state: state.model or None,
        VERSION: lambda state: state.version or None,
    }
    for name, value in of_exam.items():
        values = [value(state) for state, rows in zip(states, measured, strict=True) for _ in rows]
        columns[name] = arrow.array(values, arrow.string())
    if tuple(columns)[-len(METRICS_COLUMNS) :] != METRICS_COLUMNS:
        raise RuntimeError("the columns of the data set are not those of its documentation")
    return _table(columns, arrow)


def agreement_table(manifest: Manifest, states: Sequence[ExamState]) -> Any:
    """One row per exam with references and structure, as a pyarrow table with the columns of ``evaluation.csv``."""
    arrow = optional("pyarrow")
    compared = [s.agreement.structures if s.status is Status.DONE and s.agreement else () for s in states]
    columns = _of_manifest(manifest, states, arrow, lambda index: len(compared[index]))
    rows = [row for structures in compared for row in structures]
    columns["structure"] = arrow.array([row["structure"] for row in rows], arrow.string())
    for name in AGREEMENT_COLUMNS[1:]:
        columns[name] = arrow.array([_float(row.get(name)) for row in rows], arrow.float64())
    return _table(columns, arrow)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _of_manifest(
    manifest: Manifest, states: Sequence[ExamState], arrow: Any, times: Callable[[int], int]
) -> dict[str, Any]:
    """The manifest's columns, every exam's values as often as it has rows."""
    counts = [times(index) for index in range(len(states))]
    found = {
        PATIENT: arrow.array(_repeated([state.row.patient or None for state in states], counts), arrow.string()),
        # Patient and exam name one row: one that repeats an earlier row's names has none of its own.
        EXAM: arrow.array(_repeated([_exam_name(state) for state in states], counts), arrow.string()),
    }
    for name, values in manifest.columns.items():
        found[name] = arrow.array(_repeated(values, counts), _kind(values, arrow))
    return found


def _exam_name(state: ExamState) -> str | None:
    return None if state.code == "exam-twice" else state.row.exam or None


def _repeated(values: Iterable[Any], counts: Sequence[int]) -> list[Any]:
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def _kind(values: Sequence[Any], arrow: Any) -> Any:
    """The type of a column by all of its values, so that it does not depend on which exams are done."""
    known = [value for value in values if value is not None]
    for kind, of in ((bool, arrow.bool_()), (int, arrow.int64()), ((int, float), arrow.float64())):
        if known and all(isinstance(value, kind) and isinstance(value, bool) == (kind is bool) for value in known):
            return of
    return arrow.date32() if known and all(isinstance(value, date) for value in known) else arrow.string()


def _table(columns: Mapping[str, Any], arrow: Any) -> Any:
    regions = ",".join(region.name for region in REGIONS)
    return arrow.table(dict(columns)).replace_schema_metadata({"format": FORMAT, "regions": regions})
