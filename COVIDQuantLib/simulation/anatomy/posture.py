"""The same patient in another exam: another breath, another place on the table, by a map that is known exactly."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates

from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.simulation.anatomy.body import AIR_HU, Body
from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.shapes import smooth_step

# What a breath that changes the lungs' volume by all of itself does: the diaphragm's way as a share of the lungs'
# height, and how much wider and deeper the rib cage gets. Together they give the volume within 3 % (tested).
_DOWN, _WIDER, _DEEPER = 0.62, 0.17, 0.48
# Lying on the back, the hind part of the diaphragm moves further than the front.
_HIND = 0.35
# The diaphragm's way grows from the apex to here (in heights of the lungs) and stays the same below.
_LOWEST = 1.25
# Rendered beyond the exam's sections on either side, for what breath and tilt bring into view.
_BEYOND_MM = 48.0
_INVERSE_STEPS = 40


@dataclass(frozen=True)
class Posture:
    """How the patient lies and breathes in one exam, relative to the patient as drawn from the seed.

    Attributes:
        breath: lung volume as a factor; below 1 less air.
        shift_mm: how far the patient lies to the left, to the back and to the head.
        turn_degrees: how far the patient is turned about the x, y and z axes, in this order.
        table_mm: where the exam puts the origin of its coordinates, added to every position.
    """

    breath: float = 1.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    table_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def as_record(self) -> dict[str, Any]:
        """The posture for ``truth.json``."""
        return asdict(self)


def draw_posture(rng: np.random.Generator) -> Posture:
    """Draw what two exams of one patient usually differ in."""

    def triple(*limits: float) -> tuple[float, float, float]:
        x, y, z = (float(rng.uniform(-limit, limit)) for limit in limits)
        return x, y, z

    return Posture(float(rng.uniform(0.82, 1.08)), triple(7, 5, 6), triple(2.5, 1.5, 3.5), triple(5, 25, 150))


class Placement:
    """The map between an exam's coordinates and those of the patient at rest.

    Args:
        posture: how the patient lies and breathes.
        thorax: the chest at rest.
        body: its body, for the axis that it turns about.
    """

    def __init__(self, posture: Posture, thorax: Thorax, body: Body) -> None:
        p = thorax.patient
        self.posture = posture
        self._apex, self._height = p.z_apex, p.z_apex - p.z_sulcus
        _, _, self._middle, self._half_depth = (float(v) for v in thorax.section(-40.0 * p.height))
        self._back = float(thorax.spine_y(0.0))
        self._centre = np.array([0.0, body.centre_y(), (p.z_apex + p.z_sulcus) / 2])
        self._turn = _rotation(posture.turn_degrees)

    def to_rest(self, points: FloatArray) -> FloatArray:
        """Where points of the exam (LPS mm ``[..., 3]``) lie in the patient at rest."""
        points = np.asarray(points, float) - np.asarray(self.posture.table_mm)
        x, y, z = self._to_rest(points[..., 0], points[..., 1], points[..., 2])
        return np.stack([x, y, z], axis=-1)

    def from_rest(self, points: FloatArray) -> FloatArray:
        """Where points of the patient at rest (LPS mm ``[..., 3]``) lie in the exam; inverse of :meth:`to_rest`."""
        rest = np.asarray(points, float)
        lying = rest.copy()
        for _ in range(_INVERSE_STEPS):
            lying += rest - np.stack(self._exhaled(*np.moveaxis(lying, -1, 0)), axis=-1)
        turned = (lying - self._centre) @ self._turn.T + self._centre + np.asarray(self.posture.shift_mm)
        return turned + np.asarray(self.posture.table_mm)

    def _to_rest(self, x: FloatArray, y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        off = [at - c - s for at, c, s in zip((x, y, z), self._centre, self.posture.shift_mm, strict=True)]
        # The inverse of a rotation is its transpose.
        lying = [sum(self._turn[row, axis] * off[row] for row in range(3)) + self._centre[axis] for axis in range(3)]
        return self._exhaled(*lying)

    def _exhaled(self, x: FloatArray, y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Undo the breath: where points of the chest in this breath lie at rest."""
        more = self.posture.breath - 1.0
        t = (self._apex - z) / self._height
        bell = np.sin(np.pi * np.clip(t, 0, 1)) ** 2
        hind = 1 + _HIND * np.clip((y - self._middle) / self._half_depth, -1, 1)
        down = _DOWN * more * self._height * hind * np.clip(t, 0, _LOWEST) ** 1.5
        deeper = 1 + _DEEPER * more * bell * smooth_step(self._back - y, -20, 60)
        return x / (1 + _WIDER * more * bell), self._back + (y - self._back) / deeper, z + down

    def rest_grid(self, grid: Grid) -> Grid:
        """The grid on which the patient at rest is rendered for an exam's grid: the same with more sections."""
        step = float(grid.z[1] - grid.z[0])
        beyond = grid.fine * math.ceil(_BEYOND_MM / grid.thickness_mm)
        up = np.arange(-beyond, len(grid.z) + beyond) * step + float(grid.z[0])
        return Grid(grid.x, grid.y, up.astype(np.float32), grid.pixel_mm, grid.thickness_mm, grid.fine)

    def carry(self, volumes: list[np.ndarray], rest: Grid, grid: Grid, report: Report = silent) -> list[np.ndarray]:
        """What was rendered at rest as it lies in the exam.

        Args:
            volumes: ``[k, j, i]`` on the grid at rest: int16 CT numbers are interpolated, beyond them is air; of all
                others the nearest voxel is taken, beyond them is 0.
            rest: the grid at rest.
            grid: the exam's.
            report: told the fraction done.
        """
        carried = [np.zeros(grid.shape, volume.dtype) for volume in volumes]
        x, y = grid.section_axes
        for k, z in enumerate(grid.z):
            report(k / len(grid.z))
            points = self._to_rest(x.astype(float), y.astype(float), np.array(float(z)))
            at = [
                (np.broadcast_to(point, grid.shape[1:]) - line[0]) / float(line[1] - line[0])
                for point, line in zip(reversed(points), (rest.z, rest.y, rest.x), strict=True)
            ]
            for volume, result in zip(volumes, carried, strict=True):
                order, beyond = (1, AIR_HU) if volume.dtype == np.int16 else (0, 0)
                source = volume.view(np.uint8) if volume.dtype == bool else volume
                section = map_coordinates(source, at, order=order, mode="constant", cval=beyond, output=np.float32)
                result[k] = np.rint(section)
        return carried


def _rotation(degrees: tuple[float, float, float]) -> FloatArray:
    """Turns about x, then y, then z as one matrix."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
