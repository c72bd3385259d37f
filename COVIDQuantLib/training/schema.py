"""Checking a JSON document against a table of keys; every complaint names the key by its path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from COVIDQuantLib.errors import UsageError

REQUIRED = object()


@dataclass(frozen=True)
class Key:
    """One key of a document.

    Attributes:
        default: its value where it is absent; ``REQUIRED`` if it may not be.
        wanted: what it must be, in words.
        fits: whether a value is that.
        meaning: what it does, for the docs.
    """

    default: Any
    wanted: str
    fits: Callable[[Any], bool]
    meaning: str


Schema = Mapping[str, "Key | Schema"]


def is_number(value: Any) -> bool:
    """A number, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124 - not NaN


def is_count(value: Any) -> bool:
    """A whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def text(default: Any, meaning: str) -> Key:
    """Free text."""
    return Key(default, "text", lambda value: isinstance(value, str), meaning)


def choice(default: Any, meaning: str, *words: Any) -> Key:
    """One of several words."""
    wanted = "one of " + ", ".join("null" if word is None else str(word) or "''" for word in words)
    return Key(default, wanted, lambda value: isinstance(value, str | None) and value in words, meaning)


def number(default: Any, meaning: str, least: float = float("-inf"), most: float = float("inf")) -> Key:
    """A number in a range."""
    wanted = "a number"
    if least > float("-inf"):
        wanted += f" from {least:g}"
    if most < float("inf"):
        wanted += f" up to {most:g}"
    return Key(default, wanted, lambda value: is_number(value) and least <= value <= most, meaning)


def above_zero(default: Any, meaning: str) -> Key:
    """A number above 0."""
    return Key(default, "a number above 0", lambda value: is_number(value) and value > 0, meaning)


def count(default: Any, meaning: str) -> Key:
    """A whole number from 1."""
    return Key(default, "a whole number from 1", is_count, meaning)


def truth(default: Any, meaning: str) -> Key:
    """True or false."""
    return Key(default, "true or false", lambda value: isinstance(value, bool), meaning)


def texts(default: Any, meaning: str) -> Key:
    """A list of texts."""
    return Key(default, "a list of texts", _are_texts, meaning)


def or_null(key: Key) -> Key:
    """The key, or null."""
    return Key(key.default, f"{key.wanted}, or null", lambda value: value is None or key.fits(value), key.meaning)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def checked(document: Any, schema: Schema, where: str, path: str = "") -> dict[str, Any]:
    """A document with all keys: those given, checked, and the defaults of the others.

    Args:
        document: parsed JSON.
        schema: the table of keys, nested as the document is.
        where: the file, for the message.
        path: of the document within the file.

    Raises:
        UsageError: an unknown key, a missing one, or a value that does not fit; names its path.
    """
    if not isinstance(document, Mapping):
        raise UsageError(f"{path or 'the file'} is not an object", where, 'Write it as {"key": value, ...}.')
    for name in document:
        if name not in schema:
            raise UsageError(f"unknown key {_joined(path, name)}", where, f"Known here are {', '.join(schema)}.")
    return {name: _value(document, name, entry, where, _joined(path, name)) for name, entry in schema.items()}


def _value(document: Mapping[str, Any], name: str, entry: Key | Schema, where: str, path: str) -> Any:
    if not isinstance(entry, Key):
        return checked(document.get(name, {}), entry, where, path)
    if name not in document:
        if entry.default is REQUIRED:
            raise UsageError(f"{path} is missing", where, f"Give {entry.wanted}: {entry.meaning}.")
        return entry.default
    if not entry.fits(document[name]):
        raise UsageError(f"{path} cannot be {document[name]!r:.80}", where, f"Give {entry.wanted}.")
    return document[name]


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
