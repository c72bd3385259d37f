"""The aorta: of usual width where the lungs leave room for it, or dilated and winding, so that the lungs give way.

The arch of old people is often as wide as 4 cm and lies against the left lung. On a CT without contrast medium it looks
like consolidation there, but for its shape; networks that never saw one take it for diseased lung.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.painted.chest_wall import ChestFields, LungExtent
from COVIDQuantLib.voxels.morphology import bounding_box, close, distance_to

# Window in which the descending aorta is placed: to the left of the midline and before the back of the lungs' hull.
_X, _Y, _ROOM_MM = (4.0, 44.0), (-66.0, -16.0), 15.0
# Radii (mm) of dilated ones: ascending, arch, descending.
_DILATED_MM = ((15.0, 25.0), (13.0, 22.0), (11.0, 22.0))
# Wall and fat around a dilated aorta; recesses of lung beside it that are narrower than this are closed.
_AROUND_MM, _RECESS_MM = (1.0, 4.0), 8.0
_STEP_MM = 3.0


@dataclass(frozen=True)
class Aorta:
    """The course of an aorta.

    Attributes:
        path: x, y, z from voxel (0, 0, 0) and radius, millimetres, ``[n, 4]``.
        whole: from the heart over the arch down; otherwise the descending part alone, from the top down.
    """

    path: FloatArray
    whole: bool = False

    def mask(self, shape: tuple[int, ...], spacing: FloatArray, more_mm: float = 0.0) -> np.ndarray:
        """The aorta, widened by so much, on a grid ``[k, j, i]`` from voxel (0, 0, 0); bool."""
        taken = np.zeros(shape, bool)
        for x, y, z, radius in self.path:
            _stamp(taken, spacing, np.array([z, y, x]), float(radius) + more_mm)
        return taken


def descending_aorta(fields: ChestFields, frame: LungExtent, upper: float, rng: np.random.Generator) -> Aorta:
    """The descending aorta where the lungs leave room for it, left of the spine.

    Args:
        fields: of the chest.
        frame: of the lungs.
        upper: height of the arch, millimetres above the lowest lung.
        rng: for its width and place.
    """
    widest = float(rng.uniform(10, 16))
    x, y, z = fields.x[0, 0], fields.y[0, :, 0], fields.z[:, 0, 0]
    rows = np.flatnonzero(z <= upper)[::-3]
    columns = np.flatnonzero((x > _X[0]) & (x < _X[1]))
    middle = int(np.argmin(np.abs(x)))
    points = []
    for k in rows:
        within = np.flatnonzero(fields.outside[k, :, middle] < 0)
        back = y[within[-1]] if within.size else y.max() * 0.6
        lines = np.flatnonzero((y > back + _Y[0]) & (y < back + _Y[1]))
        if not lines.size or not columns.size:
            continue
        room = fields.gap[k][np.ix_(lines, columns)]
        wish = np.minimum(room, _ROOM_MM) - 0.012 * (x[columns][None] - 20) ** 2
        wish = wish - 0.012 * (y[lines][:, None] - back + 36) ** 2
        j, i = np.unravel_index(int(wish.argmax()), wish.shape)
        points.append((x[columns[i]], y[lines[j]], z[k], np.clip(room[j, i] + 0.5, 6.0, widest)))
    if len(points) < 3:
        return Aorta(np.zeros((0, 4), np.float32))
    path = np.asarray(ndimage.gaussian_filter1d(np.array(points), 1.5, axis=0, mode="nearest"), np.float32)
    path[:, :3] += np.array([frame.middle[0], frame.middle[1], frame.low[2]], np.float32)
    return Aorta(path)


def dilated_aorta(lobes: np.ndarray, spacing: FloatArray, rng: np.random.Generator) -> Aorta:
    """A dilated, winding aorta through a chest with these lobes, wherever the lungs are.

    Args:
        lobes: uint8 ``[k, j, i]``, label values 1 to 5.
        spacing: millimetres along k, j, i.
        rng: for its course and width.
    """
    frame = LungExtent.of(lobes, spacing)
    height, front = frame.high[2] - frame.low[2], frame.low[1]
    top = frame.low[2] + height * rng.uniform(0.70, 0.92)
    heights = np.arange(top, frame.low[2] - 20.0, -_STEP_MM)
    backs = np.array([_back(lobes, spacing, z, frame) for z in heights])
    backs = ndimage.gaussian_filter1d(backs, 20.0 / _STEP_MM, mode="nearest")
    down = np.stack(
        [
            frame.middle[0] + rng.uniform(14, 48) + _winding(rng, heights, 12.0),
            backs - rng.uniform(30, 58) + _winding(rng, heights, 7.0),
            heights,
        ],
        axis=1,
    )
    # A smaller share of the depth than the heart's, as the arch runs forward and to the right.
    start = np.array([frame.middle[0] + rng.uniform(-14, 6), front + rng.uniform(0.22, 0.4) * (backs[0] - front), top])
    turn = np.linspace(0, 1, 24)[1:-1, None]
    arch = start + turn * (down[0] - start)
    arch += np.sin(np.pi * turn) * np.array([rng.uniform(0, 20), 0.0, rng.uniform(8, 26)])
    rise = start + np.linspace(1, 0, 20)[:-1, None] * np.array([6.0, -4.0, -rng.uniform(45, 75)])
    radii = [
        np.full(len(part), rng.uniform(*limits)) for part, limits in zip((rise, arch, down), _DILATED_MM, strict=True)
    ]
    widths = np.concatenate(radii)
    widths[-len(down) :] += np.clip(_winding(rng, heights, 2.0), -4.0, 4.0)
    widths = ndimage.gaussian_filter1d(widths, 4.0, mode="nearest")
    return Aorta(np.column_stack([np.vstack([rise, arch, down]), widths]).astype(np.float32), whole=True)


def give_way(lobes: np.ndarray, spacing: FloatArray, aorta: Aorta, rng: np.random.Generator) -> np.ndarray:
    """The lobes beside an aorta that was placed without regard to them.

    Args:
        lobes: uint8 ``[k, j, i]``, label values 1 to 5.
        spacing: millimetres along k, j, i.
        aorta: its course on that grid.
        rng: for the thickness of wall and fat around it.

    Returns:
        uint8, as ``lobes``; 0 where the aorta is, and in narrow recesses beside it.
    """
    taken = aorta.mask(lobes.shape, spacing, rng.uniform(*_AROUND_MM))
    k_mm, j_mm, i_mm = (float(mm) for mm in spacing)
    k, j, i = (int(np.ceil(2 * _RECESS_MM / mm)) for mm in spacing)
    around = bounding_box(taken, (k, j, i))
    if around is None:
        return lobes
    near = distance_to(taken[around], (k_mm, j_mm, i_mm)) < _RECESS_MM
    closed = close((lobes[around] == 0) | taken[around], _RECESS_MM / 2, (k_mm, j_mm, i_mm))
    result = lobes.copy()
    result[around][taken[around] | (closed & near)] = 0
    return result


def _back(lobes: np.ndarray, spacing: FloatArray, z: float, frame: LungExtent) -> float:
    """Place along y of the back of the lungs at some height, or of all where there is none."""
    section = lobes[min(max(round(z / spacing[0]), 0), len(lobes) - 1)]
    rows = np.flatnonzero(section.any(axis=1))
    return float(rows[-1] * spacing[1] if rows.size else frame.high[1])


def _winding(rng: np.random.Generator, heights: FloatArray, most: float) -> FloatArray:
    """Smooth random shifts along the heights with a standard deviation of half of ``most``, millimetres."""
    waves = ndimage.gaussian_filter1d(rng.standard_normal(len(heights)), 35.0 / _STEP_MM, mode="wrap")
    return waves / max(float(waves.std()), 1e-3) * 0.5 * most * rng.uniform(0, 1)


def _stamp(taken: np.ndarray, spacing: FloatArray, centre: FloatArray, radius: float) -> None:
    """A ball set in a bool array, in place."""
    low = np.maximum(np.floor((centre - radius) / spacing), 0).astype(int)
    high = np.minimum(np.ceil((centre + radius) / spacing) + 1, taken.shape).astype(int)
    if (high <= low).any():
        return
    lines = [np.arange(a, b) * mm - c for a, b, mm, c in zip(low, high, spacing, centre, strict=True)]
    far = lines[0][:, None, None] ** 2 + lines[1][None, :, None] ** 2 + lines[2][None, None, :] ** 2
    taken[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] |= far <= radius**2
