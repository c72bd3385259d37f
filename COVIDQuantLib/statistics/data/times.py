"""When an exam was made: which visit, how many days after onset; and the exams that belong to a named time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.statistics.data.read_table import as_numbers
from COVIDQuantLib.statistics.report.numbers import counted

if TYPE_CHECKING:
    from pandas import DataFrame

# Names under which the days since onset arrive; the first is ours.
DAYS_COLUMNS = ("days", "onset_days", "days_since_onset")


def add_times(exams: DataFrame, where: str, warnings: list[str]) -> DataFrame:
    """Add ``visit``, ``days`` and ``since_first`` where the tables allow it.

    ``days`` (since onset) is taken as given, or is ``date`` − ``onset``. Visits are numbered from 1 by date, else by
    days since onset, unless a column ``visit`` gives them.

    Raises:
        UnfitInputError: a date cannot be read, or a number is none.
    """
    import numpy as np

    given = next((name for name in DAYS_COLUMNS if name in exams.columns), None)
    dates = {name: _dates(exams[name], name, where) for name in ("date", "onset") if name in exams.columns}
    exams = exams.assign(**dates)
    if given is not None:
        exams["days"] = as_numbers(exams[given], given, where)
    elif len(dates) == 2:
        exams["days"] = (exams["date"] - exams["onset"]).dt.days.astype(float)
    else:
        exams["days"] = np.nan
    before = int((exams["days"] < 0).sum())
    if before:
        warnings.append(f"before the onset of symptoms: {counted(before, 'exams')}; check their dates")
    dated = "date" in dates and exams["date"].notna().any()
    order = exams["date"] if dated else exams["days"]
    if order.isna().any() and order.notna().any():
        warnings.append(f"{counted(int(order.isna().sum()), 'exams')} without a date, in no visit")
    first = order.groupby(exams["patient"]).transform("min")
    apart = order - first
    exams["since_first"] = apart.dt.days.astype(float) if dated else apart.astype(float)
    if "visit" in exams.columns:
        exams["visit"] = as_numbers(exams["visit"], "visit", where)
    elif order.notna().any():
        exams["visit"] = order.groupby(exams["patient"]).rank(method="first")
    else:
        alone = ~exams["patient"].duplicated(keep=False)
        exams["visit"] = np.where(alone, 1.0, np.nan)
        if not alone.all():
            warnings.append("no exam has a date or days since onset: exams of patients with several belong to no visit")
    return exams


def _dates(values: Any, name: str, where: str) -> Any:
    import pandas as pd

    dates = pd.to_datetime(values, errors="coerce", format="ISO8601")
    wrong = dates.isna() & values.notna() & (values.astype(str).str.strip() != "")
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        what = f"{str(values.iloc[row])!r:.40} in the column {name} is not a date (row {row + 1} of the data)"
        raise UnfitInputError(what, where, "Write dates as YYYY-MM-DD.", code="not-a-date")
    return dates.dt.tz_localize(None) if getattr(dates.dt, "tz", None) is not None else dates


def at_time(exams: DataFrame, time: Mapping[str, Any]) -> DataFrame:
    """The exams of a named time, at most one per patient.

    Args:
        exams: with ``visit`` and ``since_first``.
        time: either ``visit`` (from 1), or ``days``: first and last day after the first exam, among which the exam
            nearest to the middle counts.
    """
    if time["visit"]:
        return exams[exams["visit"] == time["visit"]].drop_duplicates("patient")
    low, high = time["days"]
    inside = exams[exams["since_first"].between(low, high)]
    nearest = (inside["since_first"] - (low + high) / 2).abs().sort_values(kind="stable").index
    return inside.loc[nearest].drop_duplicates("patient").sort_index()
