"""Linear interpolation along one axis between evenly numbered nodes."""

from __future__ import annotations

import numpy as np


def neighbours(at: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two nodes about each place, and the share of the way from the first to the second.

    Args:
        at: places in units of the nodes, within ``0..count − 1``.
        count: number of nodes.

    Returns:
        First and second node (whole numbers) and the share (0..1, type of ``at``); at the last node both are the last.
    """
    low = np.minimum(np.floor(at).astype(np.intp), count - 1)
    return low, np.minimum(low + 1, count - 1), at - low


def linear_matrix(at: np.ndarray, count: int) -> np.ndarray:
    """Matrix ``(len(at), count)`` float32 that brings values at nodes to places between; arguments as above."""
    low, high, share = neighbours(at, count)
    rows = np.arange(len(at))
    matrix = np.zeros((len(at), count), np.float32)
    matrix[rows, low] = 1 - share
    matrix[rows, high] += share
    return matrix
