"""Suggest the known name that a mistyped one may mean."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def did_you_mean(name: str, known: Iterable[Any]) -> str:
    """A sentence that suggests the nearest known name, with a space after it; empty if none is near."""
    near = get_close_matches(name, [str(each) for each in known], n=1)
    return f"Did you mean {near[0]}? " if near else ""
