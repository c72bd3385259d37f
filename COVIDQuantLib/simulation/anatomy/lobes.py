"""The fissures as smooth surfaces, and the lobes that they separate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.anatomy import FISSURES, HORIZONTAL, OBLIQUE, SIDES
from COVIDQuantLib.segmentation.lobes.between_fissures import labels_between
from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.fields.spline_noise import SplineNoise


@dataclass(frozen=True)
class FissureShape:
    """Where the fissures of one patient run (mm at average size; heights from the carina).

    Attributes:
        back_right: height of the right oblique fissure at the back wall.
        back_left: the same on the left.
        front_right: height where the right oblique fissure meets the front wall.
        front_left: the same on the left.
        twist: how much flatter the oblique fissures are laterally than medially (a propeller).
        arch: how far they fall towards the side.
        bow: how far their middle bulges towards the head.
        horizontal: height of the horizontal fissure above the middle of the lung.
        horizontal_forward: its fall towards the front, mm per mm.
        horizontal_outward: its fall towards the side, mm per mm.
        waves: amplitude of the surfaces' irregularities, mm.
        complete: share of each fissure that is developed: right oblique, left oblique, horizontal.
    """

    back_right: float
    back_left: float
    front_right: float
    front_left: float
    twist: float
    arch: float
    bow: float
    horizontal: float
    horizontal_forward: float
    horizontal_outward: float
    waves: float
    complete: tuple[float, float, float]


def draw_fissures(rng: np.random.Generator) -> FissureShape:
    """Draw the fissures' course; about a third of oblique and most horizontal fissures are incomplete."""
    complete = [1.0 if rng.random() < share else rng.uniform(0.45, 0.95) for share in (0.6, 0.65, 0.25)]
    return FissureShape(
        back_right=rng.uniform(8, 28),
        back_left=rng.uniform(14, 34),
        front_right=rng.uniform(-122, -104),
        front_left=rng.uniform(-128, -108),
        twist=rng.uniform(0.05, 0.3),
        arch=rng.uniform(0, 20),
        bow=rng.uniform(-6, 10),
        horizontal=rng.uniform(-36, -14),
        horizontal_forward=rng.uniform(-0.05, 0.2),
        horizontal_outward=rng.uniform(-0.1, 0.15),
        waves=rng.uniform(2.5, 5.5),
        complete=(float(complete[0]), float(complete[1]), float(complete[2])),
    )


class Lobes:
    """Which lobe a point of the lungs belongs to, and how far the fissures are.

    Args:
        thorax: the chest.
        shape: the fissures' course.
        rng: for their irregularities and gaps.
    """

    def __init__(self, thorax: Thorax, shape: FissureShape, rng: np.random.Generator) -> None:
        self.thorax = thorax
        self.shape = shape
        self._waves = [SplineNoise(rng, 38.0) for _ in range(3)]
        self._gaps = [SplineNoise(rng, 24.0) for _ in range(3)]
        self._frame = [float(v) for v in thorax.section(-40.0 * thorax.patient.height)]

    def _oblique(self, x: FloatArray, y: FloatArray, side: int) -> FloatArray:
        """Height of an oblique fissure over a point of the axial plane."""
        p, s = self.thorax.patient, self.shape
        _, _, cy, b = self._frame
        back = s.back_right if side < 0 else s.back_left
        front = s.front_right if side < 0 else s.front_left
        v = (y - cy) / b
        outward = (np.abs(x) - 65) / 65
        slope = 0.5 * (back - front) * (1 - s.twist * outward)
        middle = 0.5 * (back + front)
        height = middle + slope * v + s.bow * (1 - v * v) + 8.0 * v**3 - s.arch * outward * np.abs(outward)
        waves = self._waves[0 if side < 0 else 1].at(x, y, 0.0)
        return p.height * height + s.waves * waves

    def _horizontal(self, x: FloatArray, y: FloatArray) -> FloatArray:
        p, s = self.thorax.patient, self.shape
        _, _, cy, _ = self._frame
        tilt = s.horizontal_forward * (y - cy) - s.horizontal_outward * (np.abs(x) - 65)
        return p.height * s.horizontal + tilt + s.waves * self._waves[2].at(x, y, 0.0)

    def distances(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Approximate signed distances above the oblique and the horizontal fissure, mm.

        The horizontal one is far away (positive) in the left lung and below the oblique fissure.
        """
        right = x < 0
        oblique = z - np.where(right, self._oblique(x, y, -1), self._oblique(x, y, 1))
        oblique = oblique * np.float32(0.7)
        horizontal = np.where(right, z - self._horizontal(x, y), np.float32(1e3))
        return oblique, horizontal

    def labels(self, x: FloatArray, y: FloatArray, z: FloatArray | float) -> FloatArray:
        """Lobe label of each point, uint8, as if it were in a lung."""
        oblique, horizontal = self.distances(x, y, z)
        return lobe_labels(x, oblique, horizontal)

    def visible(self, x: FloatArray, y: FloatArray, z: FloatArray | float, width_mm: float) -> FloatArray:
        """Share of each voxel that a visible fissure's plate fills."""
        oblique, horizontal = self.distances(x, y, z)
        right = x < 0
        share = np.zeros(np.broadcast(x, y).shape, np.float32)
        for index, (distance, where) in enumerate(
            ((oblique, right), (oblique, ~right), (horizontal, right & (oblique > 0)))
        ):
            gap = self._gaps[index].at(x, y, z)
            there = gap < _GAP_LEVEL(self.shape.complete[index])
            plate = _PLATE_MM / max(width_mm, _PLATE_MM) * np.clip(1.2 - np.abs(distance) / width_mm, 0, 1)
            share = np.maximum(share, np.where(where & there, plate, 0))
        return share


_PLATE_MM = 0.27


def _GAP_LEVEL(complete: float) -> float:  # noqa: N802
    """Level below which a field of unit deviation stays for the given share of points."""
    return 9.0 if complete >= 1 else 2.5 * (complete - 0.5)


def lobe_labels(x: FloatArray, oblique: FloatArray, horizontal: FloatArray) -> FloatArray:
    """Lobe labels (uint8, :mod:`COVIDQuantLib.anatomy`) from the side and the signed distances above the fissures."""
    distance = {OBLIQUE: oblique, HORIZONTAL: horizontal}
    right, left = (
        labels_between(side, {f.name: distance[f.kind] >= 0 for f in FISSURES if f.side == side}) for side in SIDES
    )
    return np.where(x < 0, right, left)
