"""Drawing tubes into a voxel grid with partial volume."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.phantom.fields import FloatArray
from COVIDQuantLib.phantom.grid import Grid
from COVIDQuantLib.phantom.trees import Tubes
from COVIDQuantLib.progress import Report, silent


def draw_tubes(target: np.ndarray, grid: Grid, tubes: Tubes, report: Report = silent) -> None:
    """Raise ``target`` to the share (0..255) of each voxel that the tubes fill.

    Tubes thinner than a voxel fade in proportion to their cross-section, so that their mass is kept.

    Args:
        target: uint8 ``[k, j, i]`` on the fine grid, changed in place.
        grid: the fine grid.
        tubes: what to draw.
        report: told the fraction of the tubes drawn.
    """
    width = grid.pixel_mm
    margin = np.maximum(tubes.radius.max(axis=1), 0.5 * width) + 0.6 * width
    low = np.minimum(tubes.start, tubes.stop) - margin[:, None]
    high = np.maximum(tubes.start, tubes.stop) + margin[:, None]
    axes = (grid.x, grid.y, grid.z)
    first = np.stack([np.searchsorted(axis, low[:, n]) for n, axis in enumerate(axes)], axis=1)
    last = np.stack([np.searchsorted(axis, high[:, n], side="right") for n, axis in enumerate(axes)], axis=1)
    for n in np.flatnonzero((last > first).all(axis=1)):
        if n % 500 == 0:
            report(n / len(tubes))
        (i0, j0, k0), (i1, j1, k1) = first[n], last[n]
        box = target[k0:k1, j0:j1, i0:i1]
        share = _share(
            (grid.x[i0:i1], grid.y[j0:j1], grid.z[k0:k1]), tubes.start[n], tubes.stop[n], tubes.radius[n], width
        )
        np.maximum(box, share, out=box)


def _share(
    axes: tuple[FloatArray, FloatArray, FloatArray],
    start: FloatArray,
    stop: FloatArray,
    radius: FloatArray,
    width: float,
) -> np.ndarray:
    """Share 0..255 of the voxels of a box that one tapering piece fills."""
    x = (axes[0] - np.float32(start[0]))[None, None, :]
    y = (axes[1] - np.float32(start[1]))[None, :, None]
    z = (axes[2] - np.float32(start[2]))[:, None, None]
    dx, dy, dz = (np.float32(v) for v in stop - start)
    along = (x * dx + y * dy + z * dz) / (dx * dx + dy * dy + dz * dz + np.float32(1e-6))
    np.clip(along, 0, 1, out=along)
    distance = np.sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2 + (z - along * dz) ** 2)
    reach = np.float32(radius[0]) + along * np.float32(radius[1] - radius[0])
    seen = np.maximum(reach, np.float32(0.5 * width))
    faint = (reach / seen) ** 2
    share = np.clip((seen - distance) / np.float32(width) + np.float32(0.5), 0, 1) * faint
    return (share * 255).astype(np.uint8)
