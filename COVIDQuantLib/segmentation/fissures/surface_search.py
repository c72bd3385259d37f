"""The cheapest smooth surface through a stack of costs."""

from __future__ import annotations

import numpy as np

FloatArray = np.ndarray

# Directions in which costs are carried across the sheet.
_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))


def cheapest_surface(cost: FloatArray, step_cost: tuple[float, ...], jump_cost: float) -> FloatArray:
    """The level at each node of a sheet that is cheap itself and close to its neighbours' levels.

    Semi-global matching: costs are summed along eight directions by dynamic programming.

    Args:
        cost: ``(first, second, levels)``.
        step_cost: price of a change by 1, 2, … levels from one node to the next.
        jump_cost: price of any larger change.

    Returns:
        The level as float (parabola through the minimum), ``(first, second)``.
    """
    total = np.zeros_like(cost)
    for direction in _DIRECTIONS:
        total += _carried(cost, direction, step_cost, jump_cost)
    return _vertex(total, total.argmin(axis=2))


def _carried(cost: FloatArray, direction: tuple[int, int], steps: tuple[float, ...], jump: float) -> FloatArray:
    """Least cost of a path that arrives at each node and level from one side, less what all levels share."""
    first, second = direction
    if first == 0:
        turned = _carried(cost.transpose(1, 0, 2), (second, 0), steps, jump)
        return turned.transpose(1, 0, 2)
    rows = cost[::first]
    carried = np.empty_like(rows)
    carried[0] = rows[0]
    for row in range(1, len(rows)):
        before = carried[row - 1]
        if second:
            shifted = np.zeros_like(before)
            if second > 0:
                shifted[1:] = before[:-1]
            else:
                shifted[:-1] = before[1:]
            before = shifted
        least = before.min(axis=1, keepdims=True)
        reach = np.minimum(before, least + jump)
        for size, price in enumerate(steps, start=1):
            reach[:, size:] = np.minimum(reach[:, size:], before[:, :-size] + price)
            reach[:, :-size] = np.minimum(reach[:, :-size], before[:, size:] + price)
        carried[row] = rows[row] + reach - least
    return carried[::first]


def _vertex(total: FloatArray, best: FloatArray) -> FloatArray:
    """Level of the minimum to a fraction, by the parabola through it and its neighbours."""
    inner = np.clip(best, 1, total.shape[2] - 2)
    below, at, above = (np.take_along_axis(total, (inner + d)[..., None], axis=2)[..., 0] for d in (-1, 0, 1))
    bend = below - 2 * at + above
    shift = np.where(bend > 1e-6, 0.5 * (below - above) / np.maximum(bend, 1e-6), 0.0)
    return np.where(inner == best, inner + np.clip(shift, -0.5, 0.5), best)
