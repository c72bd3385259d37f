"""Encoding of values for another process: JSON, with arrays stored separately as plain bytes.

Only values are exchanged, never code: numbers, text, arrays, and dataclasses and enumerations of this library by name.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.worker.failures import WorkerError

_LIBRARY = "COVIDQuantLib"
# Boolean, integer, float and complex types, whose bytes mean the same in every process.
_ARRAY_KINDS = "biufc"

# Stores an array and returns where, as JSON; and the way back.
StoreArray = Callable[[np.ndarray], Any]
LoadArray = Callable[[Any], np.ndarray]


def encode(value: Any, store: StoreArray | None = None) -> Any:
    """A value as JSON.

    Args:
        value: None, a number, text, path, date, slice, sequence, mapping, array, or a dataclass or enumeration of this
            library made of these.
        store: called with each array; None: there may be none.

    Raises:
        TypeError: a value of another kind.
    """
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, Enum):
        return {"enum": [_name_of(type(value)), encode(value.value, store)]}
    if isinstance(value, str | Path):
        return str(value) if isinstance(value, str) else {"path": str(value)}
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else {"float": str(float(value))}
    return _encode_compound(value, store)


def _encode_compound(value: Any, store: StoreArray | None) -> dict[str, Any] | list[Any]:
    if isinstance(value, date) and not isinstance(value, datetime):
        return {"date": value.isoformat()}
    if isinstance(value, slice):
        return {"slice": [encode(part) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, np.ndarray) and store is not None and value.dtype.kind in _ARRAY_KINDS:
        return {"array": store(value)}
    if is_dataclass(value) and not isinstance(value, type):
        content = {field.name: encode(getattr(value, field.name), store) for field in fields(value) if field.init}
        return {"record": [_name_of(type(value)), content]}
    if isinstance(value, Mapping):
        return {"dict": [[encode(key, store), encode(part, store)] for key, part in value.items()]}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        parts = [encode(part, store) for part in value]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    raise TypeError(f"{type(value).__qualname__} cannot be sent to another process")


def decode(record: Any, load: LoadArray | None = None) -> Any:
    """The value that :func:`encode` described.

    Args:
        record: what :func:`encode` returned.
        load: the array for what ``store`` returned; None: there is none.

    Raises:
        ValueError, TypeError, KeyError, AttributeError, ImportError: the record describes no value.
        COVIDQuantError: a record of this library refuses its fields.
    """
    if isinstance(record, list):
        return [decode(part, load) for part in record]
    if not isinstance(record, dict):
        return record
    ((kind, content),) = record.items()
    if kind == "array" and load is not None:
        return load(content)
    return _DECODERS[kind](content, load)


def _decode_record(content: Any, load: LoadArray | None) -> Any:
    name, parts = content
    return _class_named(name, is_dataclass)(**{field: decode(part, load) for field, part in parts.items()})


def _decode_enum(content: Any, load: LoadArray | None) -> Any:
    name, value = content
    return _class_named(name, lambda kind: issubclass(kind, Enum))(decode(value, load))


_DECODERS: dict[str, Callable[[Any, LoadArray | None], Any]] = {
    "float": lambda content, _: float(content),
    "path": lambda content, _: Path(content),
    "date": lambda content, _: date.fromisoformat(content),
    "slice": lambda content, _: slice(*content),
    "tuple": lambda content, load: tuple(decode(part, load) for part in content),
    "dict": lambda content, load: {decode(key, load): decode(part, load) for key, part in content},
    "record": _decode_record,
    "enum": _decode_enum,
}


def _name_of(kind: type) -> list[str]:
    if kind.__module__.split(".", maxsplit=1)[0] != _LIBRARY or "<locals>" in kind.__qualname__:
        raise TypeError(f"{kind.__qualname__} is not part of the library and cannot be sent to another process")
    return [kind.__module__, kind.__qualname__]


def _class_named(name: Sequence[str], fits: Callable[[type], bool]) -> Callable[..., Any]:
    """A class of this library by module and name."""
    module, qualname = name
    if module.split(".", maxsplit=1)[0] != _LIBRARY:
        raise ValueError(f"{module} is not part of the library")
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    if not isinstance(found, type) or not fits(found):
        raise ValueError(f"{module}.{qualname} is neither a dataclass nor an enumeration")
    return found


def unreadable(error: Exception) -> WorkerError:
    """The error for a reply that cannot be decoded."""
    what = f"the reply of the background process cannot be read ({type(error).__name__}: {error})"
    return WorkerError(what, remedy="Try again; if it happens again, report it.")
