"""A stretch of colon close below the diaphragm: gas and mottled stool within a thin wall, which passes for lung."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.fields.shapes import cover, paint, smooth_step
from COVIDQuantLib.simulation.painted.chest_wall import ChestFields, SectionFields

# How often colon may lie close to the diaphragm; in life less often.
_SHARE = 0.55
# The splenic flexure lies higher than the hepatic one: a quarter of the draws allow either side, a half the left alone,
# a quarter neither.
_LEFT = 0.75
# Points of the tile of noise that stool is made of, and how far apart they lie.
_TILE, _TILE_MM = 40, 2.0
_WALL_HU, _FAT_HU = 35.0, -100.0


@dataclass(frozen=True)
class Haustrum:
    """One sacculation: an ellipsoid with gas in front and stool or fluid behind.

    Attributes:
        at: x, y, z of its centre.
        radii: along x, y, z, millimetres.
        level: y behind which there is stool or fluid.
        specks: gas in the stool, 0 in fluid, 1 where it is mostly gas.
    """

    at: FloatArray
    radii: FloatArray
    level: float
    specks: float


@dataclass(frozen=True)
class Colon:
    """The part of the colon near the diaphragm.

    Attributes:
        haustra: along its course; none where it lies far below.
        wall: thickness, millimetres.
        fat: thickness of the fat around it.
        gas_hu: CT number of its gas.
        tile: periodic noise of unit standard deviation, ``[k, j, i]``.
    """

    haustra: tuple[Haustrum, ...]
    wall: float
    fat: float
    gas_hu: float
    tile: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator, fields: ChestFields) -> Colon:
        """A random stretch about given lungs."""
        noise = ndimage.gaussian_filter(rng.standard_normal((_TILE,) * 3, dtype=np.float32), 1.1, mode="wrap")
        tile = noise / noise.std()
        haustra = tuple(_course(rng, fields)) if rng.random() < _SHARE else ()
        wall, fat, gas = float(rng.uniform(1.2, 3)), float(rng.uniform(1, 9)), float(rng.uniform(-1000, -930))
        return cls(haustra, wall, fat, gas, tile)

    def paint(self, hu: FloatArray, fields: SectionFields, mm: float) -> None:
        """Paint it into one section ``[j, i]``, in place; lungs are painted over it."""
        x, y, z = fields["x"], fields["y"], float(fields["z"][0, 0])
        near = [one for one in self.haustra if abs(z - one.at[2]) < one.radii[2] + self.wall + self.fat]
        if not near:
            return
        inside = np.full(hu.shape, -np.inf, np.float32)
        filling = np.zeros(hu.shape, np.float32)
        for one in near:
            far = np.sqrt(sum(((p - c) / r) ** 2 for p, c, r in zip((x, y, z), one.at, one.radii, strict=True)))
            depth = (1 - far + 0.06 * fields["fat"]) * float(min(one.radii))
            behind = cover(y - one.level, mm)
            here = self.gas_hu + behind * (self._stool(one.specks, x, y, z) - self.gas_hu)
            filling, inside = np.where(depth > inside, here, filling), np.maximum(depth, inside)
        # The diaphragm is a few millimetres thick.
        room = (
            smooth_step(fields["gap"], 1.5, 3.5) * smooth_step(fields["below"], 0.05, 0.15) * (fields["outside"] < -3)
        )
        paint(hu, _FAT_HU + 6 * fields["fat"], cover(inside + self.wall + self.fat, mm) * room)
        paint(hu, _WALL_HU, cover(inside + self.wall, mm) * room)
        paint(hu, filling, cover(inside, mm) * room)

    def _stool(self, specks: float, x: FloatArray, y: FloatArray, z: float) -> FloatArray:
        """CT numbers of stool, mottled with gas."""
        k, j, i = (np.rint(np.asarray(p) / _TILE_MM).astype(int) % _TILE for p in (z, y, x))
        noise = self.tile[k, j, i]
        stool: FloatArray = 30 + 15 * noise - 750 * specks * smooth_step(noise, 0.9 - 1.8 * specks, 2.0 - 1.8 * specks)
        return stool


def _course(rng: np.random.Generator, fields: ChestFields) -> list[Haustrum]:
    """Sacculations one after the other, each as close to the diaphragm as its size allows."""
    side = np.where(fields.x > 0, _LEFT, 1 - _LEFT) > rng.random()
    step = [float(np.diff(line[:2])[0]) for line in (fields.z[:, 0, 0], fields.y[0, :, 0], fields.x[0, 0])]
    room = (fields.below > 0.15) & (fields.outside < -8)
    places = np.argwhere(room & side & (fields.gap > 9) & (fields.gap < 20))
    found: list[Haustrum] = []
    if not len(places):
        return found
    place = places[rng.integers(len(places))]
    for _ in range(int(rng.integers(3, 10))):
        size = float(rng.uniform(8, 19))
        at = np.array([field[tuple(place)] for field in (fields.x, fields.y, fields.z)], np.float32)
        specks = 0.0 if rng.random() < 0.25 else float(rng.uniform(0.1, 0.9))
        level = float(at[1]) + size * float(rng.uniform(-1.3, 1.3))
        found.append(Haustrum(at, (size * rng.uniform(0.75, 1.25, 3)).astype(np.float32), level, specks))
        onward = rng.standard_normal((24, 3))
        onward *= 1.3 * size / np.linalg.norm(onward, axis=1, keepdims=True) / step
        nexts = np.clip(np.rint(place + onward).astype(int), 0, np.array(fields.gap.shape) - 1)
        k, j, i = nexts.T
        wish = np.abs(fields.gap[k, j, i] - size - 3) + 100 * ~room[k, j, i]
        # Not back over what is there already.
        middles = np.stack([fields.x[k, j, i], fields.y[k, j, i], fields.z[k, j, i]], axis=1)
        apart = np.min([np.linalg.norm(middles - one.at, axis=1) for one in found], axis=0)
        wish += 5 * np.maximum(size - apart, 0)
        if wish.min() >= 100:
            break
        place = nexts[int(wish.argmin())]
    return found
