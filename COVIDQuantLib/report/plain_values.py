"""Parts of a document whose form may be any: what is missing or of another kind reads as empty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    """The mapping; empty if it is none."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> Sequence[Any]:
    """The list; empty if it is none."""
    return value if isinstance(value, (list, tuple)) else ()


def number(value: Any) -> float | None:
    """The number; None if it is none, or not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
