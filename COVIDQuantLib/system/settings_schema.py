"""Settings of recipes and networks: defaults, what fits, what each does; documents are checked against them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.system.near_names import did_you_mean

REQUIRED = object()


@dataclass(frozen=True)
class Setting:
    """One key of a document, or one argument of a network.

    Attributes:
        default: its value where it is absent; ``REQUIRED`` if it may not be.
        wanted: what it must be, in words.
        fits: whether a value is that.
        meaning: what it does, for the documentation.
    """

    default: Any
    wanted: str
    fits: Callable[[Any], bool]
    meaning: str


Schema = Mapping[str, "Setting | Schema"]


def is_number(value: Any) -> bool:
    """A number, neither a boolean nor NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124 - false for NaN


def is_count(value: Any) -> bool:
    """A whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def text(default: Any, meaning: str) -> Setting:
    """Free text."""
    return Setting(default, "text", lambda value: isinstance(value, str), meaning)


def choice(default: Any, meaning: str, *words: Any) -> Setting:
    """One of several words."""
    wanted = "one of " + ", ".join("null" if word is None else str(word) or "''" for word in words)
    return Setting(default, wanted, lambda value: isinstance(value, str | None) and value in words, meaning)


def number(default: Any, meaning: str, least: float = float("-inf"), most: float = float("inf")) -> Setting:
    """A number in a range."""
    wanted = "a number"
    if least > float("-inf"):
        wanted += f" from {least:g}"
    if most < float("inf"):
        wanted += f" up to {most:g}"
    return Setting(default, wanted, lambda value: is_number(value) and least <= value <= most, meaning)


def above_zero(default: Any, meaning: str) -> Setting:
    """A number above 0."""
    return Setting(default, "a number above 0", lambda value: is_number(value) and value > 0, meaning)


def count(default: Any, meaning: str, most: int | None = None) -> Setting:
    """A whole number from 1."""
    wanted = "a whole number from 1" + ("" if most is None else f" to {most}")
    return Setting(default, wanted, lambda value: is_count(value) and (most is None or value <= most), meaning)


def truth(default: Any, meaning: str) -> Setting:
    """True or false."""
    return Setting(default, "true or false", lambda value: isinstance(value, bool), meaning)


def texts(default: Any, meaning: str) -> Setting:
    """A list of texts."""
    return Setting(default, "a list of texts", _are_texts, meaning)


def or_null(setting: Setting) -> Setting:
    """What fits the setting, or null."""
    return replace(
        setting, wanted=f"{setting.wanted}, or null", fits=lambda value: value is None or setting.fits(value)
    )


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
            remedy = f"{did_you_mean(str(name), schema)}Known here are {', '.join(schema)}."
            raise UsageError(f"unknown key {_joined(path, name)}", where, remedy)
    return {name: _value(document, name, entry, where, _joined(path, name)) for name, entry in schema.items()}


def _value(document: Mapping[str, Any], name: str, entry: Setting | Schema, where: str, path: str) -> Any:
    if not isinstance(entry, Setting):
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
