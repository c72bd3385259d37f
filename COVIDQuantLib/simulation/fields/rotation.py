"""Rotations as matrices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def rotation(turns: Iterable[tuple[int, int, float]]) -> np.ndarray:
    """The product of turns in order, ``[3, 3]``, each the two axes of its plane and an angle in radians."""
    result = np.eye(3)
    for first, second, angle in turns:
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result
