"""One row per exam with everything known about it, from the tables of a study; who is left out, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.statistics.data.quality import EXCLUDED, LeftOut, leave_out
from COVIDQuantLib.statistics.data.read_table import as_numbers, need_columns, read_table
from COVIDQuantLib.statistics.data.times import add_times
from COVIDQuantLib.statistics.report.numbers import counted

if TYPE_CHECKING:
    from pandas import DataFrame

KEY = ("patient", "exam")
_UNKNOWN = "not quantified"
# Status of exams that the manifest of a batch excludes.
_EXCLUDED_STATUS = "left out"


@dataclass(frozen=True)
class StudyData:
    """The exams of a study.

    Attributes:
        exams: a row per exam that counts: ``patient``, ``exam``, ``visit`` (from 1), ``days`` (since onset),
            ``since_first`` (days), every clinical column, every measure of the whole lung under its name and of the
            other regions as ``measure@region``.
        left_out: exams that do not count, with the reason.
        listed: exams in all tables together.
        warnings: what was noticed in the tables.
    """

    exams: DataFrame
    left_out: tuple[LeftOut, ...] = ()
    listed: int = 0
    warnings: tuple[str, ...] = field(default=())

    @property
    def patients(self) -> int:
        """Patients with an exam that counts."""
        return int(self.exams["patient"].nunique())


def read_study_data(config: Mapping[str, Any], folder: Path) -> StudyData:
    """Read and join the tables that a study names.

    Args:
        config: the study's settings (``config.py``).
        folder: against which its paths are resolved.

    Raises:
        UnfitInputError: a table is missing or damaged, lacks a column, or holds an exam twice with different figures.
    """
    names, columns = config["data"], config["columns"]
    warnings: list[str] = []
    where = folder / names["metrics"]
    exams = wide_table(read_table(where, columns), str(where), warnings)
    left_out: list[LeftOut] = []
    if names["exams"]:
        path = folder / names["exams"]
        listed = _one_row_each(read_table(path, columns), KEY, str(path), warnings)
        exams, left_out = _with_exams(exams, listed)
    if names["clinical"]:
        path = folder / names["clinical"]
        exams = _with_clinical(exams, read_table(path, columns), str(path), warnings)
    total = len(exams) + len(left_out)
    counted, more = leave_out(exams, config["quality"], str(where))
    counted = add_times(counted, str(where), warnings).reset_index(drop=True)
    return StudyData(counted, (*left_out, *more), total, tuple(warnings))


def wide_table(table: DataFrame, where: str, warnings: list[str]) -> DataFrame:
    """A row per exam from a table with a row per exam and region.

    Raises:
        UnfitInputError: a column is missing, or an exam occurs twice with different figures.
    """
    need_columns(table, (*KEY, "region"), where)
    measures = [name for name in MEASURES.names if name in table.columns]
    if not measures:
        remedy = f"Expected at least one of {', '.join(MEASURES.names)}."
        raise UnfitInputError("the table has no measure", where, remedy, code="column-missing")
    table = table[table["region"].notna()]
    table = _one_row_each(table, (*KEY, "region"), where, warnings)
    for name in measures:
        table[name] = as_numbers(table[name], name, where)
    keys = list(KEY)
    wide = table.pivot(index=keys, columns="region", values=measures)
    wide.columns = [name if region == WHOLE_LUNG.name else f"{name}@{region}" for name, region in wide.columns]
    others = [name for name in table.columns if name not in {*measures, "region"}]
    about = table[others].groupby(keys, sort=False, dropna=False).first()
    return about.join(wide).reset_index()


def _one_row_each(table: DataFrame, key: tuple[str, ...], where: str, warnings: list[str]) -> DataFrame:
    """The table without rows that repeat another wholly.

    Raises:
        UnfitInputError: two rows of one key differ (``exam-twice``).
    """
    need_columns(table, key, where)
    keys = list(key)
    nameless = table[keys].isna().any(axis=1)
    if nameless.any():
        warnings.append(
            f"{counted(int(nameless.sum()), 'rows')} without {' or '.join(keys)} in {Path(where).name}, not used"
        )
        table = table[~nameless]
    distinct = table.drop_duplicates()
    twice = distinct[distinct.duplicated(keys, keep=False)]
    if len(twice):
        name = ", ".join(f"{column} {twice.iloc[0][column]}" for column in keys)
        remedy = "Keep one row for each."
        raise UnfitInputError(f"{name} occurs twice with different values", where, remedy, code="exam-twice")
    if len(distinct) < len(table):
        warnings.append(f"{counted(len(table) - len(distinct), 'repeated rows')} in {Path(where).name}, counted once")
    return distinct.copy()


def _with_exams(exams: DataFrame, listed: DataFrame) -> tuple[DataFrame, list[LeftOut]]:
    """Join the list of exams; those without figures are left out with their reason."""
    keys = list(KEY)
    new = [name for name in listed.columns if name in keys or name not in exams.columns]
    joined = exams.merge(listed[new], on=keys, how="left")
    known = set(map(tuple, exams[keys].itertuples(index=False)))
    missing = listed[[key not in known for key in map(tuple, listed[keys].itertuples(index=False))]]
    reasons, states = (_texts(missing, name) for name in ("reason", "status"))
    left = [
        LeftOut(str(patient), str(exam), EXCLUDED if state == _EXCLUDED_STATUS else _not_quantified(state), reason)
        for patient, exam, reason, state in zip(missing["patient"], missing["exam"], reasons, states, strict=True)
    ]
    return joined, left


def _not_quantified(state: str) -> str:
    return f"{_UNKNOWN}: {state}" if state else _UNKNOWN


def _texts(table: DataFrame, column: str) -> list[str]:
    """A column's texts, empty where there is none."""
    if column not in table.columns:
        return [""] * len(table)
    return [value.strip() if isinstance(value, str) else "" for value in table[column]]


def _with_clinical(exams: DataFrame, clinical: DataFrame, where: str, warnings: list[str]) -> DataFrame:
    """Join a table with a row per patient, or per exam if it has that column."""
    need_columns(clinical, ("patient",), where)
    key = KEY if "exam" in clinical.columns else KEY[:1]
    clinical = _one_row_each(clinical, key, where, warnings)
    both = [name for name in clinical.columns if name in exams.columns and name not in key]
    joined = exams.drop(columns=both).merge(clinical, on=list(key), how="left", indicator="_joined")
    alone = joined.loc[joined["_joined"] == "left_only", "patient"].nunique()
    if alone:
        warnings.append(f"{counted(alone, 'patients')} not in {Path(where).name}, without clinical variables")
    return joined.drop(columns="_joined")
