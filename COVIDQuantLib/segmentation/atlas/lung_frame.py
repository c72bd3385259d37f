"""Coordinates of one lung in which the fissures of different people are at nearly the same places."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

FloatArray = np.ndarray

_TAIL_PERCENT = 1.0
_BASE_DEGREE = 2
_WALL_HEIGHTS = np.linspace(-0.9, 0.9, 15)
_SLAB = 0.1
_WALL_PERCENT = 3.0
_COLUMN = 0.08
# Outside these coordinates the smooth base and walls are constant: there is no lung to support them.
_BASE_REACH = 1.1


@dataclass(frozen=True)
class LungFrame:
    """Position of a lung and the shape of its base and its front and back walls.

    In its coordinates x and y run from −1 to 1 between the walls (x to the patient's left, y to the back) and z
    from −1 at the diaphragm below to 1 at the apex, so that a high dome or a leaning chest wall moves the
    fissures with it.

    Attributes:
        low: 1st percentile of the lung's x, y, z, millimetres.
        high: 99th percentile.
        base: coefficients of the diaphragm's height over the box's x and y, quadratic; a share of the box.
        front: coefficients of the front wall over the box's z, quadratic, highest power first, box units.
        back: the same of the back wall.
    """

    low: FloatArray
    high: FloatArray
    base: FloatArray
    front: FloatArray
    back: FloatArray

    @classmethod
    def of(cls, points: FloatArray) -> LungFrame:
        """The frame of a whole lung.

        Args:
            points: positions inside the lung, evenly spread, ``(n, 3)`` as x, y, z in millimetres.
        """
        low = np.percentile(points, _TAIL_PERCENT, axis=0)
        high = np.percentile(points, 100 - _TAIL_PERCENT, axis=0)
        high = np.maximum(high, low + 1.0)
        box = _to_box(points, low, high)
        return cls(low, high, _fit_base(box), *_fit_walls(box))

    def moved(self, by: FloatArray) -> LungFrame:
        """The frame moved by millimetres along x, y, z."""
        return replace(self, low=self.low + by, high=self.high + by)

    @property
    def half_size(self) -> FloatArray:
        """Half the box's edges, millimetres along x, y, z."""
        return 0.5 * (self.high - self.low)

    def to_unit(self, points: FloatArray) -> FloatArray:
        """Coordinates in the frame of positions ``(…, 3)`` in millimetres."""
        box = _to_box(points, self.low, self.high)
        x, y, z = box[..., 0], box[..., 1], box[..., 2]
        height = np.clip(z, -1.0, 1.0)
        front, back = np.polyval(self.front, height), np.polyval(self.back, height)
        base = self.base_at(x, y)
        unit = np.empty_like(box)
        unit[..., 0] = x
        unit[..., 1] = 2 * (y - front) / np.maximum(back - front, 0.2) - 1
        unit[..., 2] = 2 * (z - base) / (1 - base) - 1
        return unit

    def to_points(self, unit: FloatArray) -> FloatArray:
        """Positions ``(…, 3)`` in millimetres of frame coordinates; the inverse of :meth:`to_unit`."""
        x, y, z = unit[..., 0], unit[..., 1], unit[..., 2]
        box_y, box_z = y, z
        # The walls depend on the height and the base on the depth, both weakly: a few iterations converge.
        for _ in range(8):
            base = self.base_at(x, box_y)
            box_z = base + 0.5 * (z + 1) * (1 - base)
            height = np.clip(box_z, -1.0, 1.0)
            front, back = np.polyval(self.front, height), np.polyval(self.back, height)
            box_y = front + 0.5 * (y + 1) * np.maximum(back - front, 0.2)
        box = np.stack([x, box_y, box_z], axis=-1)
        return self.low + 0.5 * (box + 1) * (self.high - self.low)

    @property
    def unit_mm(self) -> FloatArray:
        """Millimetres per frame unit along x, y, z in the middle of the lung."""
        base = float(self.base_at(np.zeros(()), np.zeros(())))
        depth = 0.5 * (self.back[-1] - self.front[-1])
        return self.half_size * np.array([1.0, max(float(depth), 0.1), 0.5 * (1 - base)])

    def base_at(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Height of the diaphragm in box units over the box's x and y."""
        x, y = np.clip(x, -_BASE_REACH, _BASE_REACH), np.clip(y, -_BASE_REACH, _BASE_REACH)
        level, y1, y2, x1, xy, x2 = self.base
        return np.minimum(level + y * (y1 + y * y2) + x * (x1 + y * xy + x * x2), 0.5)

    def as_record(self) -> dict[str, Any]:
        """The frame's numbers for the atlas file."""
        return {name: [float(v) for v in np.atleast_1d(getattr(self, name))] for name in _FIELDS}

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> LungFrame:
        """The frame of an atlas file's numbers."""
        return cls(*(np.asarray(record[name], float) for name in _FIELDS))


_FIELDS = ("low", "high", "base", "front", "back")


def _to_box(points: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    return 2 * (points - low) / (high - low) - 1


def _quadratic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Monomials of x and y up to degree two, ``(…, 6)``."""
    powers = [(a, b) for a in range(_BASE_DEGREE + 1) for b in range(_BASE_DEGREE + 1 - a)]
    return np.stack([x**a * y**b for a, b in powers], axis=-1)


def _fit_base(box: FloatArray) -> FloatArray:
    """The diaphragm: a robust quadratic through the lowest point of every column that is not just the rim."""
    cell = np.floor(box[:, :2] / _COLUMN).astype(np.int64)
    key = (cell[:, 0] - cell[:, 0].min()) * 4096 + (cell[:, 1] - cell[:, 1].min())
    order = np.lexsort((box[:, 2], key))
    ends = np.flatnonzero(np.diff(key[order])) + 1
    first = order[np.r_[0, ends]]
    last = order[np.r_[ends - 1, len(order) - 1]]
    tall = box[last, 2] - box[first, 2] > 0.5
    if tall.sum() < 6:
        return np.array([-1.0, 0, 0, 0, 0, 0])
    lowest = box[first[tall]]
    terms = _quadratic(lowest[:, 0], lowest[:, 1])
    weight = np.ones(len(lowest))
    for _ in range(15):
        weighted = terms * weight[:, None]
        base = np.linalg.solve(weighted.T @ terms + 0.01 * np.eye(6), weighted.T @ lowest[:, 2])
        weight = 1 / (1 + ((lowest[:, 2] - terms @ base) / 0.12) ** 2)
    return base


def _fit_walls(box: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The front and back walls as quadratics of the height."""
    rows = []
    for height in _WALL_HEIGHTS:
        y = box[np.abs(box[:, 2] - height) < _SLAB, 1]
        if len(y) > 20:
            rows.append((height, *np.percentile(y, (_WALL_PERCENT, 100 - _WALL_PERCENT))))
    if len(rows) < 6:
        return np.array([0.0, 0.0, -1.0]), np.array([0.0, 0.0, 1.0])
    heights, front, back = np.array(rows).T
    return np.polyfit(heights, front, 2), np.polyfit(heights, back, 2)
