"""Variables of a study: a column, a measure of a region, or a comparison such as ``extent_percent > 5``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.statistics.data.read_table import as_numbers
from COVIDQuantLib.system.near_names import did_you_mean

if TYPE_CHECKING:
    from pandas import DataFrame

_COMPARISON = re.compile(r"^\s*(?P<column>.+?)\s*(?P<sign>>=|<=|≥|≤|!=|≠|==|=|>|<)\s*(?P<value>[^<>=≥≤≠!]+?)\s*$")
_SIGNS = {"≥": ">=", "≤": "<=", "≠": "!=", "==": "="}
_SHOWN = {">=": "≥", "<=": "≤", "!=": "≠"}
_YES, _NO = {"yes", "true", "1", "1.0", "y"}, {"no", "false", "0", "0.0", "n"}
_TITLES = {"days": "Days since onset", "visit": "Visit", "since_first": "Days since the first exam"}


@dataclass(frozen=True)
class Variable:
    """A variable with its values.

    Attributes:
        name: as the study writes it.
        title: for people, with the unit.
        values: numbers, one per exam; NaN where undefined. A comparison is 1 where it holds and 0 where not.
        yes_no: whether it is a comparison or a column of yes and no.
    """

    name: str
    title: str
    values: np.ndarray
    yes_no: bool = False

    @property
    def defined(self) -> np.ndarray:
        """Where it has a value."""
        return np.isfinite(self.values)


def variable(exams: DataFrame, name: str, labels: Mapping[str, str]) -> Variable:
    """A variable of a study.

    Args:
        exams: a row per exam.
        name: a column, ``measure@region``, or a comparison of one with a number or word.
        labels: titles that the study gives.

    Raises:
        UnfitInputError: there is no such column, or its cells are no numbers where numbers are needed
            (``column-missing``, ``not-a-number``).
    """
    if name in exams.columns:
        values, yes_no = _numbers(exams, name)
        return Variable(name, title_of(name, labels), values, yes_no)
    found = _COMPARISON.match(name)
    if found is None:
        raise _missing(exams, name)
    column, sign, wanted = found["column"], _SIGNS.get(found["sign"], found["sign"]), found["value"].strip("\"'")
    if column not in exams.columns:
        raise _missing(exams, column)
    title = (
        labels.get(name) or f"{title_of(column, labels, unit=False)} {_SHOWN.get(sign, sign)} {wanted}{_unit(column)}"
    )
    return Variable(name, title, _compared(exams, column, sign, wanted), yes_no=True)


def title_of(name: str, labels: Mapping[str, str], *, unit: bool = True) -> str:
    """A variable's title: the study's label, or that of the measure with its region and unit."""
    if name in labels:
        return labels[name]
    measure, _, region = name.partition("@")
    if measure not in MEASURES.names:
        return _TITLES.get(name) or name.replace("_", " ").strip().capitalize()
    record = MEASURES.named(measure)
    title = record.called + (f", {region}" if region else "")
    return f"{title} ({record.unit})" if unit and record.unit else title


def _unit(column: str) -> str:
    measure = column.partition("@")[0]
    unit = MEASURES.named(measure).unit if measure in MEASURES.names else ""
    return f" {unit}" if unit else ""


def words(exams: DataFrame, name: str) -> np.ndarray:
    """A column as texts, empty where undefined.

    Raises:
        UnfitInputError: there is no such column.
    """
    if name not in exams.columns:
        raise _missing(exams, name)
    column = exams[name]
    texts = [_word(value) for value in column]
    return np.array(texts, dtype=object)


def _word(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _missing(exams: DataFrame, name: str) -> UnfitInputError:
    remedy = f"{did_you_mean(name, exams.columns)}Columns are those of the tables, and measure@region."
    return UnfitInputError(f"no column is named {name}", "the study's tables", remedy, code="column-missing")


def _numbers(exams: DataFrame, name: str) -> tuple[np.ndarray, bool]:
    """Values of a column, and whether it says yes and no."""
    texts = {word.lower() for word in words(exams, name) if word}
    if texts and texts <= _YES | _NO:
        values = [np.nan if not word else float(word.lower() in _YES) for word in words(exams, name)]
        return np.array(values), True
    return np.asarray(as_numbers(exams[name], name, "the study's tables"), float), False


def _compared(exams: DataFrame, column: str, sign: str, wanted: str) -> np.ndarray:
    try:
        number = float(wanted)
    except ValueError:
        return _same_word(exams, column, sign, wanted)
    values = _numbers(exams, column)[0]
    holds = {
        ">": values > number,
        "<": values < number,
        ">=": values >= number,
        "<=": values <= number,
        "=": values == number,
        "!=": values != number,
    }[sign]
    return np.where(np.isfinite(values), holds.astype(float), np.nan)


def _same_word(exams: DataFrame, column: str, sign: str, wanted: str) -> np.ndarray:
    if sign not in {"=", "!="}:
        what = f"{column} {sign} {wanted} compares with a word, which has no order"
        raise UnfitInputError(what, "the study", "Compare with a number, or use =.", code="not-a-number")
    texts = words(exams, column)
    known = sorted({word for word in texts if word})
    if wanted not in known:
        what = f"the column {column} never says {wanted}"
        shown = ", ".join(known[:8])
        raise UnfitInputError(what, "the study's tables", f"{did_you_mean(wanted, known)}It says {shown}.",
                              code="value-unknown")  # fmt: skip
    holds = (texts == wanted) == (sign == "=")
    return np.where(texts != "", holds.astype(float), np.nan)
