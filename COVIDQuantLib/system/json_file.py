"""Read untrusted JSON files: limited in size and depth before they are parsed."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any, NoReturn

from COVIDQuantLib.errors import UnfitInputError

# Ours are a few levels deep; deeper ones could cause a recursion error.
MAX_DEPTH = 64
MAX_BYTES = 64 << 20
# A number with more digits does not fit a 64-bit integer.
_MAX_DIGITS = 19


def read_json(path: Path, remedy: str, most_bytes: int = MAX_BYTES, *, what: str = "the file is") -> Any:
    """The content of a JSON file in UTF-8.

    Args:
        path: the file.
        remedy: what the user can do if it is refused.
        most_bytes: a larger file is refused unread.
        what: start of the message if it is not JSON.

    Raises:
        FileNotFoundError: there is no such file; the caller reports it.
        UnfitInputError: it is not a regular file, too large, or not JSON.
    """
    try:
        data = _bytes_of(path, remedy, most_bytes)
    except FileNotFoundError:
        raise
    except OSError as error:
        what = f"the file cannot be read ({error.strerror or error})"
        raise UnfitInputError(what, str(path), remedy, code="unreadable") from error
    try:
        return parse_json(data)
    except ValueError as error:
        raise UnfitInputError(f"{what} not JSON ({error})", str(path), remedy, code="json-damaged") from error


def _bytes_of(path: Path, remedy: str, most_bytes: int) -> bytes:
    status = path.stat()
    # Reading a pipe or device could block or never end.
    if not stat.S_ISREG(status.st_mode):
        raise UnfitInputError("this is not a regular file", str(path), remedy, code="not-a-file")
    if status.st_size > most_bytes:
        what = f"the file has {status.st_size / 1e6:.0f} MB, more than any such file should have"
        raise UnfitInputError(what, str(path), remedy, code="json-too-large")
    with path.open("rb") as file:
        return file.read(most_bytes)


def parse_json(data: bytes | str) -> Any:
    """Parse JSON: at most ``MAX_DEPTH`` levels, integers of 64 bits, finite numbers.

    Raises:
        ValueError: it is not; with a short reason.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_whole, parse_float=_finite)
    except RecursionError:
        raise ValueError("its lists or objects are nested too deep") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"its lists or objects are nested more than {MAX_DEPTH} deep")
        level = [
            item
            for each in level
            if isinstance(each, (list, dict))
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, (list, dict))
        ]


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _whole(text: str) -> int:
    value = int(text) if len(text) <= _MAX_DIGITS + 1 else None
    if value is None or not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value
