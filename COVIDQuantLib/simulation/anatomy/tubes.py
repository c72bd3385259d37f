"""Drawing tubes into a voxel grid with partial volume."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.simulation.anatomy.trees import Tubes
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray

# Pieces whose boxes have about the same size are drawn together, so many voxels at a time.
_BOX_STEP = 3
_BATCH_VOXELS = 1 << 19


def draw_tubes(target: np.ndarray, grid: Grid, tubes: Tubes, report: Report = silent) -> None:
    """Raise ``target`` to the share (0..255) of each voxel that the tubes fill.

    Tubes thinner than a voxel fade in proportion to their cross-section, so that their mass is kept.

    Args:
        target: uint8 ``[k, j, i]`` on the fine grid, contiguous, changed in place.
        grid: the fine grid.
        tubes: what to draw.
        report: told the fraction of the tubes drawn.
    """
    margin = (np.maximum(tubes.radius.max(axis=1), 0.5 * grid.pixel_mm) + 0.6 * grid.pixel_mm)[:, None]
    low = np.minimum(tubes.start, tubes.stop) - margin
    high = np.maximum(tubes.start, tubes.stop) + margin
    axes = (grid.x, grid.y, grid.z)
    first = np.stack([np.searchsorted(axis, low[:, n]) for n, axis in enumerate(axes)], axis=1)
    last = np.stack([np.searchsorted(axis, high[:, n], side="right") for n, axis in enumerate(axes)], axis=1)
    seen = np.flatnonzero((last > first).all(axis=1))
    boxes = -(-(last[seen] - first[seen]) // _BOX_STEP) * _BOX_STEP
    sizes, kind = np.unique(boxes, axis=0, return_inverse=True)
    drawn = 0
    for number, size in enumerate(sizes):
        pieces = seen[kind.ravel() == number]
        batch = max(1, _BATCH_VOXELS // int(np.prod(size)))
        for begin in range(0, len(pieces), batch):
            some = pieces[begin : begin + batch]
            _draw_batch(target, grid, tubes.select(some), first[some], size)
            drawn += len(some)
            report(drawn / len(seen))


def _draw_batch(target: np.ndarray, grid: Grid, tubes: Tubes, first: np.ndarray, size: np.ndarray) -> None:
    """Draw pieces ``[n]`` whose boxes begin at ``first`` ``[n, 3]`` (i, j, k) and have one size."""
    lines = []
    for axis, line in enumerate((grid.x, grid.y, grid.z)):
        at = first[:, axis, None] + np.arange(size[axis])
        # A box may hang over the grid's end; there it repeats the last voxel, which does no harm to a maximum.
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
    seen = np.maximum(reach, np.float32(0.5 * width))
    share = np.clip((seen - distance) / np.float32(width) + np.float32(0.5), 0, 1) * (reach / seen) ** 2
    return (share * 255).astype(np.uint8)
