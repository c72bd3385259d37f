"""Vessels and airways as tapering tubes, and their drawing into a voxel grid with partial volume."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.fields.section_grid import Grid

# Thickness of an airway's wall: a share of the lumen's radius, and a part that does not depend on it.
_WALL_SHARE, _WALL_MM = 0.12, 0.45
# Pieces whose boxes have about the same size are drawn together, at most so many voxels at a time.
_BOX_STEP = 3
_BATCH_VOXELS = 1 << 19


@dataclass
class Tubes:
    """Straight pieces of tubes with a radius at each end, all in LPS millimetres.

    Attributes:
        start: ``[n, 3]`` x, y, z.
        stop: ``[n, 3]``.
        radius: ``[n, 2]`` at start and stop.
    """

    start: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    stop: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    radius: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def path(cls, points: FloatArray, radii: FloatArray) -> Tubes:
        """A tube through points ``[n, 3]`` with a radius at each."""
        points, radii = np.asarray(points, float), np.asarray(radii, float)
        return cls(points[:-1], points[1:], np.stack([radii[:-1], radii[1:]], axis=1))

    @classmethod
    def smooth_path(cls, points: FloatArray, radii: FloatArray, steps: int = 8) -> Tubes:
        """A tube along a Catmull-Rom curve through points."""
        points, radii = np.asarray(points, float), np.asarray(radii, float)
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
        u = np.linspace(0, 1, steps, endpoint=False)[:, None]
        curve = []
        for p0, p1, p2, p3 in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
            curve.append(
                0.5
                * (2 * p1 + (p2 - p0) * u + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2 + (3 * p1 - p0 - 3 * p2 + p3) * u**3)
            )
        way = np.concatenate([*curve, points[-1:]])
        at = np.linspace(0, len(points) - 1, len(way))
        return cls.path(way, np.interp(at, np.arange(len(points)), radii))

    @classmethod
    def joined(cls, parts: list[Tubes]) -> Tubes:
        """All pieces of several sets."""
        parts = [p for p in parts if len(p)]
        if not parts:
            return cls()
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("start", "stop", "radius")))

    def select(self, chosen: FloatArray | slice) -> Tubes:
        """The pieces chosen by a mask, indices or a slice."""
        return Tubes(self.start[chosen], self.stop[chosen], self.radius[chosen])

    def walled(self) -> Tubes:
        """Airways including their walls, of tubes that are their lumen."""
        return Tubes(self.start, self.stop, self.radius * (1 + _WALL_SHARE) + _WALL_MM)

    def wider_than(self, radius_mm: float) -> Tubes:
        """The pieces whose greater radius exceeds a limit."""
        return self.select(self.radius.max(axis=1) > radius_mm)


def draw_tubes(target: np.ndarray, grid: Grid, tubes: Tubes, report: Report = silent) -> None:
    """Raise ``target`` to the share (0..255) of each voxel that the tubes fill.

    Tubes thinner than a voxel fade in proportion to their cross-section, so that their mass is kept.

    Args:
        target: uint8 ``[k, j, i]`` on the fine grid, contiguous, changed in place.
        grid: the fine grid.
        tubes: what to draw.
        report: called with the fraction of the tubes drawn.
    """
    margin = (np.maximum(tubes.radius.max(axis=1), 0.5 * grid.pixel_mm) + 0.6 * grid.pixel_mm)[:, None]
    low = np.minimum(tubes.start, tubes.stop) - margin
    high = np.maximum(tubes.start, tubes.stop) + margin
    axes = (grid.x, grid.y, grid.z)
    first = np.stack([np.searchsorted(axis, low[:, n]) for n, axis in enumerate(axes)], axis=1)
    last = np.stack([np.searchsorted(axis, high[:, n], side="right") for n, axis in enumerate(axes)], axis=1)
    hits = np.flatnonzero((last > first).all(axis=1))
    boxes = -(-(last[hits] - first[hits]) // _BOX_STEP) * _BOX_STEP
    sizes, kind = np.unique(boxes, axis=0, return_inverse=True)
    drawn = 0
    for number, size in enumerate(sizes):
        pieces = hits[kind.ravel() == number]
        batch = max(1, _BATCH_VOXELS // int(np.prod(size)))
        for begin in range(0, len(pieces), batch):
            some = pieces[begin : begin + batch]
            _draw_batch(target, grid, tubes.select(some), first[some], size)
            drawn += len(some)
            report(drawn / len(hits))


def tube_layer(grid: Grid, tubes: Tubes, report: Report = silent) -> np.ndarray:
    """Share (0..255) of each voxel of a grid that tubes fill, uint8 ``[k, j, i]``."""
    layer = np.zeros(grid.shape, np.uint8)
    draw_tubes(layer, grid, tubes, report)
    return layer


def layer_share(section: np.ndarray) -> FloatArray:
    """One section of a layer as shares 0..1."""
    return section.astype(np.float32) * np.float32(1 / 255)


def _draw_batch(target: np.ndarray, grid: Grid, tubes: Tubes, first: np.ndarray, size: np.ndarray) -> None:
    """Draw pieces ``[n]`` whose boxes begin at ``first`` ``[n, 3]`` (i, j, k) and have one size."""
    lines = []
    for axis, line in enumerate((grid.x, grid.y, grid.z)):
        at = first[:, axis, None] + np.arange(size[axis])
        # A box may extend beyond the grid; there it repeats the last voxel, which does not change a maximum.
        lines.append(np.minimum(at, len(line) - 1))
    i, j, k = lines[0][:, None, None, :], lines[1][:, None, :, None], lines[2][:, :, None, None]
    share = _share((grid.x[i], grid.y[j], grid.z[k]), tubes, grid.pixel_mm)
    index = (k * target.shape[1] + j) * target.shape[2] + i
    touched = share > 0
    np.maximum.at(target.reshape(-1), index[touched], share[touched])


def _share(at: tuple[FloatArray, FloatArray, FloatArray], tubes: Tubes, width: float) -> np.ndarray:
    """Share 0..255 of voxels ``[n, k, j, i]`` that each of ``n`` tapering pieces fills."""

    def column(values: FloatArray) -> FloatArray:
        return values.astype(np.float32)[:, None, None, None]

    x, y, z = (line - column(tubes.start[:, n]) for n, line in enumerate(at))
    way = tubes.stop - tubes.start
    dx, dy, dz = (column(way[:, n]) for n in range(3))
    along = (x * dx + y * dy + z * dz) / (dx * dx + dy * dy + dz * dz + np.float32(1e-6))
    np.clip(along, 0, 1, out=along)
    distance = np.sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2 + (z - along * dz) ** 2)
    reach = column(tubes.radius[:, 0]) + along * column(tubes.radius[:, 1] - tubes.radius[:, 0])
    drawn = np.maximum(reach, np.float32(0.5 * width))
    share = np.clip((drawn - distance) / np.float32(width) + np.float32(0.5), 0, 1) * (reach / drawn) ** 2
    return (share * 255).astype(np.uint8)
