"""From the cells of a manifest to values of one type per column: dates, numbers, texts; what is missing is None."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any

Value = str | int | float | bool | date | None

# What tables write where nothing is known.
_MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "–", "?", "<na>"}
_DAY_FORMATS = ("%Y-%m-%d", "%Y%m%d")
_WHOLE = re.compile(r"[+-]?[0-9]+")
# Not numbers but codes: 007, and more digits than float64 keeps.
_CODE = re.compile(r"[+-]?(?:0[0-9]+|[0-9]{16,})")


def text_of(value: Any) -> str | None:
    """A cell as text: blanks at the ends stripped, whole floats without their fraction; None if it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = " ".join(str(value).split())
    return None if text.casefold() in _MISSING else text


def day_of(value: Any) -> date | None:
    """A cell as a day; None if it is missing.

    Raises:
        ValueError: it is not YYYY-MM-DD (or YYYYMMDD); other orders are ambiguous.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = text_of(value)
    if text is None:
        return None
    # A time after the day is left out.
    head = text.replace("T", " ").split(" ")[0]
    for pattern in _DAY_FORMATS:
        try:
            return datetime.strptime(head, pattern).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    raise ValueError(f"“{text[:30]}” is not a date as YYYY-MM-DD")


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text) or _CODE.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    if "_" in text or _CODE.fullmatch(text):
        raise ValueError(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.casefold()]


def typed(cells: Iterable[Any], *, decimal_comma: bool = False) -> list[Value]:
    """A column's cells as values of the narrowest type that fits all of them.

    Tried in order: true or false, whole numbers, numbers, days, texts.

    Args:
        cells: texts or typed values.
        decimal_comma: whether ``1,5`` is a number.
    """
    texts = [text_of(cell) for cell in cells]
    known = [text for text in texts if text is not None]
    if not known:
        return [None] * len(texts)
    number: Callable[[str], Any] = (lambda text: _number(text.replace(",", "."))) if decimal_comma else _number
    for parse in (_truth, _whole, number, day_of):
        values = _all_as(parse, texts)
        if values is not None:
            return values
    return list(texts)


def _all_as(parse: Callable[[str], Any], texts: Sequence[str | None]) -> list[Value] | None:
    try:
        return [None if text is None else parse(text) for text in texts]
    except (ValueError, KeyError, OverflowError):
        return None
