"""What lies around the lungs: chest wall with ribs, spine and breastbone, mediastinum, abdomen, air, table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray, cover, paint, smooth_step
from COVIDQuantLib.simulation.painted.lungs import smooth_field

_COARSE_MM = 4.0
_ANGLES = 64
_AIR_HU = -1000.0


@dataclass(frozen=True)
class ChestFields:
    """Smooth fields over the grid that say where each tissue lies; float32 ``[k, j, i]`` on a coarse lattice.

    Attributes:
        outside: millimetres outside the hull of both lungs, negative within.
        gap: millimetres from the nearest lung.
        below: 0..1, how surely this is under the diaphragm.
        x: millimetres to the left of the midline.
        y: millimetres behind the middle of the lungs.
        z: millimetres above the lowest lung.
        fat: random field, unit standard deviation.
        bowel: another.
    """

    outside: FloatArray
    gap: FloatArray
    below: FloatArray
    x: FloatArray
    y: FloatArray
    z: FloatArray
    fat: FloatArray
    bowel: FloatArray


@dataclass(frozen=True)
class Frame:
    """Where the lungs lie on the grid, millimetres from voxel (0, 0, 0) along x, y, z.

    Attributes:
        low: least place of any lung voxel.
        high: greatest.
        middle: the midline between the lungs and the middle of their depth and height.
    """

    low: FloatArray
    high: FloatArray
    middle: FloatArray

    @classmethod
    def of(cls, lobes: np.ndarray, spacing: FloatArray) -> Frame:
        """The frame of lobes ``[k, j, i]`` at a spacing along k, j, i."""
        found = np.argwhere(lobes[::3, ::3, ::3] > 0) * 3.0 * spacing
        low, high = found.min(axis=0)[::-1], found.max(axis=0)[::-1]
        right = np.argwhere((lobes[::3, ::3, ::3] > 0) & (lobes[::3, ::3, ::3] < 4))[:, 2] * 3.0 * spacing[2]
        left = np.argwhere(lobes[::3, ::3, ::3] > 3)[:, 2] * 3.0 * spacing[2]
        middle = 0.5 * (low + high)
        middle[0] = 0.5 * (np.percentile(right, 90) + np.percentile(left, 10))
        return cls(low, high, middle)


def chest_fields(rng: np.random.Generator, lobes: np.ndarray, spacing: FloatArray, frame: Frame) -> ChestFields:
    """The fields about given lobes.

    Args:
        rng: for fat and bowel.
        lobes: uint8 ``[k, j, i]``.
        spacing: millimetres along k, j, i.
        frame: of the lobes.
    """
    counts = [max(2, int(np.ceil((n - 1) * mm / _COARSE_MM)) + 1) for n, mm in zip(lobes.shape, spacing, strict=True)]
    lines = [np.linspace(0, n - 1, count) for n, count in zip(lobes.shape, counts, strict=True)]
    lung = lobes[np.ix_(*(np.rint(line).astype(int) for line in lines))] > 0
    z, y, x = (line * mm for line, mm in zip(lines, spacing, strict=True))
    step = np.array([line[1] - line[0] for line in (z, y, x)])
    gap = ndimage.distance_transform_edt(~lung, sampling=step)
    outside = _outside_hull(lung, y - frame.middle[1], x - frame.middle[0], step[0])
    above = np.maximum.accumulate(lung[::-1], axis=0)[::-1] & ~lung & (z < frame.middle[2])[:, None, None]
    deep = (np.cumsum(lung, axis=0) == 0) & above
    below = ndimage.gaussian_filter(deep.astype(np.float32), 10 / step)
    shape = lung.shape
    return ChestFields(
        outside,
        gap.astype(np.float32),
        below,
        np.broadcast_to((x - frame.middle[0])[None, None, :], shape).astype(np.float32),
        np.broadcast_to((y - frame.middle[1])[None, :, None], shape).astype(np.float32),
        np.broadcast_to((z - frame.low[2])[:, None, None], shape).astype(np.float32),
        smooth_field(rng, shape, step, 22.0),
        smooth_field(rng, shape, step, 30.0),
    )


def _outside_hull(lung: np.ndarray, y: FloatArray, x: FloatArray, step: float) -> FloatArray:
    """Millimetres outside the convex hull of each section, which runs on above the lungs and below them."""
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    toward = np.stack([np.sin(angles), np.cos(angles)])
    reach = np.full((len(lung), _ANGLES), -np.inf)
    for k, section in enumerate(lung):
        at = np.argwhere(section)
        if len(at) > 8:
            reach[k] = (np.stack([y[at[:, 0]], x[at[:, 1]]], axis=1) @ toward).max(axis=0)
    known = np.flatnonzero(np.isfinite(reach[:, 0]))
    reach[: known[0]], reach[known[-1] + 1 :] = reach[known[0]], reach[known[-1]]
    for k in range(len(reach) - 2, -1, -1):
        reach[k] = np.maximum(reach[k], reach[k + 1] - 0.05 * step)
    for k in range(1, len(reach)):
        reach[k] = np.maximum(reach[k], reach[k - 1] - 0.9 * step)
    reach = np.maximum(ndimage.gaussian_filter1d(reach, 8 / step, axis=0, mode="nearest"), reach)
    plane = y[:, None, None] * toward[0] + x[None, :, None] * toward[1]
    return np.stack([(plane - row).max(axis=-1) for row in reach]).astype(np.float32)


@dataclass(frozen=True)
class Habitus:
    """What the chest wall of one patient is like, millimetres.

    Attributes:
        muscle: thickness of the wall's inner layer with the ribs.
        fat: thickness of the outer layer.
        rib_distance: from rib to rib.
        rib_slope: how steeply they fall to the front.
        rib_phase: where the first one is.
        bone_hu: of cancellous bone.
        soft_hu: of muscle and blood.
        liver_hu: of the liver.
        fat_hu: of fat.
        table: height of the table below the back, None without.
    """

    muscle: float
    fat: float
    rib_distance: float
    rib_slope: float
    rib_phase: float
    bone_hu: float
    soft_hu: float
    liver_hu: float
    fat_hu: float
    table: float | None

    @classmethod
    def draw(cls, rng: np.random.Generator, *, contrast: bool) -> Habitus:
        """A random patient, with contrast medium or without."""
        return cls(
            muscle=float(rng.uniform(14, 26)),
            fat=float(rng.uniform(3, 34)),
            rib_distance=float(rng.uniform(24, 33)),
            rib_slope=float(rng.uniform(0.2, 0.6)),
            rib_phase=float(rng.uniform(0, 33)),
            bone_hu=float(rng.uniform(150, 330)),
            soft_hu=float(rng.uniform(30, 55)),
            liver_hu=float(rng.uniform(95, 125) if contrast else rng.uniform(40, 65)),
            fat_hu=float(rng.uniform(-115, -90)),
            table=float(rng.uniform(2, 12)) if rng.random() < 0.6 else None,
        )


def paint_section(
    hu: FloatArray, fields: dict[str, FloatArray], body: Habitus, mm: float, wider: FloatArray | float = 0.0
) -> FloatArray:
    """Paint everything but lungs, vessels and airways into one section of air, in place.

    Args:
        hu: float32 ``[j, i]``.
        fields: the section of every field of :class:`ChestFields`, by name.
        body: the patient.
        mm: width of a voxel.
        wider: millimetres by which the skin lies farther out.

    Returns:
        Thickness of the chest wall, millimetres, ``[j, i]``.
    """
    outside, y, z = (fields[name] for name in ("outside", "y", "z"))
    # The wall is thicker behind the shoulders and at the flanks than over the breastbone.
    muscle = body.muscle * (0.8 + 0.5 * smooth_step(y, -60, 70) + 0.12 * fields["bowel"])
    skin = muscle + body.fat * (0.75 + 0.35 * smooth_step(-z, -120, 40)) + 2.0 + wider
    paint(hu, 20.0, cover(skin - outside, mm))
    paint(hu, body.fat_hu, cover(skin - 2.0 - outside, mm))
    strand = smooth_step(fields["fat"], 0.9, 1.3)
    paint(hu, body.soft_hu + 8 - strand * 90, cover(muscle - outside, mm))
    _inside(hu, fields, body, mm)
    _ribs(hu, fields, body, mm)
    _spine(hu, fields, body, mm)
    if body.table is not None:
        _table(hu, fields, skin, body.table, mm)
    return np.asarray(skin, np.float32)


def _inside(hu: FloatArray, fields: dict[str, FloatArray], body: Habitus, mm: float) -> None:
    """Mediastinum above the diaphragm, abdomen below it."""
    x, z, gap, fat = (fields[name] for name in ("x", "z", "gap", "fat"))
    within = cover(1.0 - fields["outside"], mm)
    # Low in the chest it is the heart, high up vessels in fat.
    high = smooth_step(z, 90, 170)
    fatty = smooth_step(fat + 1.6 * high - 1.0 + 0.12 * np.clip(6 - gap, 0, 6), 0.0, 0.5)
    tissue = body.soft_hu + fatty * (body.fat_hu + 10 - body.soft_hu)
    bowel = fields["bowel"]
    left = smooth_step(x, 5, 40)
    belly = body.liver_hu + left * (smooth_step(bowel, 0.2, 0.5) * (body.fat_hu - body.liver_hu) + 5 * fat)
    gas = left * smooth_step(bowel, -1.1, -1.3) * smooth_step(gap, 7, 9)
    belly += gas * (-960 - belly)
    below = smooth_step(fields["below"], 0.15, 0.4)
    paint(hu, tissue + below * (belly - tissue), within)


def _ribs(hu: FloatArray, fields: dict[str, FloatArray], body: Habitus, mm: float) -> None:
    x, y, z = (fields[name] for name in ("x", "y", "z"))
    fall = z + body.rib_slope * np.clip(-y, -90, 90) + 0.06 * np.abs(x) + body.rib_phase
    across = np.abs((fall / body.rib_distance) % 1 - 0.5) * body.rib_distance
    depth = np.abs(fields["outside"] - 6.5)
    # An upright oval: half its height 7 mm, half its depth 3.5 mm.
    inside = (1 - np.hypot(across / 7.0, depth / 3.6)) * 3.6
    beside_spine = cover(np.abs(x) - 14, mm)
    front = smooth_step(-y, 55, 75) * smooth_step(70 - np.abs(x), 0, 30)
    cortex = 480 * (1 - front) + 60 * front
    marrow = body.bone_hu * (1 - front) + 95 * front
    paint(hu, cortex, cover(inside, mm) * beside_spine)
    paint(hu, marrow, cover(inside - 1.2, mm) * beside_spine)
    bone = np.hypot(x / 17.0, (fields["outside"] - 8) / 6.0)
    breast = (1 - bone) * 6.0
    at_front = (y < -20) & (z > 60)
    paint(hu, 380.0, cover(breast, mm) * at_front)
    paint(hu, body.bone_hu * 0.7, cover(breast - 1.5, mm) * at_front)


def _spine(hu: FloatArray, fields: dict[str, FloatArray], body: Habitus, mm: float) -> None:
    """Vertebral bodies, discs and arches between the backs of the lungs: the hull's back in the midline is 0 away."""
    x, z, outside = (fields[name] for name in ("x", "z", "outside"))
    behind = fields["y"] > 0
    level = (z / 24.0) % 1
    disc = level < 0.2
    back = np.where(behind, outside + 24.0, 99.0)
    vertebra = (1 - np.hypot(x / 16.5, back / 14.0)) * 14.0
    paint(hu, np.where(disc, 90.0, 420.0), cover(vertebra, mm))
    paint(hu, np.where(disc, 80.0, body.bone_hu), cover(vertebra - 1.5, mm))
    canal = np.where(behind, outside + 2.0, 99.0)
    arch = (1 - np.hypot(x / 14.0, canal / 12.0)) * 12.0
    hole = (1 - np.hypot(x / 9.0, canal / 7.5)) * 7.5
    paint(hu, 400.0, cover(arch, mm) * ~disc)
    paint(hu, 25.0, cover(hole, mm))
    spinous = (1 - np.hypot(x / 3.5, np.where(behind, outside - 20.0, 99.0) / 13.0)) * 3.5
    paint(hu, 350.0, cover(spinous, mm) * (level > 0.5))


def _table(hu: FloatArray, fields: dict[str, FloatArray], skin: FloatArray, gap_mm: float, mm: float) -> None:
    """A curved mattress and board under the back, drawn only where there is air."""
    y, x = fields["y"], fields["x"]
    body = np.where(skin - fields["outside"] > 0, y, -np.inf)
    if not np.isfinite(body).any():
        return
    top = float(body.max()) + gap_mm - 0.0006 * x**2
    air = hu < -900
    for value, start, stop in ((-930.0, 0.0, 18.0), (-150.0, 18.0, 21.0), (-940.0, 21.0, 50.0)):
        layer = np.minimum(y - top - start, top + stop - y)
        hu += np.where(air, cover(layer, mm), 0) * (value - hu)
