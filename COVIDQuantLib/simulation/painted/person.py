"""A whole person painted around lobes: any build, arms, table, cloth, heart, aorta, bowel gas, streaks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray
from COVIDQuantLib.simulation.painted.chest import ChestFields, Frame, Habitus
from COVIDQuantLib.simulation.painted.mediastinum import Inside, aorta_path
from COVIDQuantLib.simulation.painted.surroundings import Surroundings


def draw_build(rng: np.random.Generator, *, contrast: bool) -> Habitus:
    """Thin to obese; the table is drawn with the surroundings."""
    fat = float(rng.choice([rng.uniform(1, 8), rng.uniform(5, 35), rng.uniform(30, 75)], p=[0.25, 0.5, 0.25]))
    usual = Habitus.draw(rng, contrast=contrast)
    return replace(usual, table=None, fat=fat, muscle=float(rng.uniform(9, 26)))


@dataclass
class Person:
    """What :func:`~COVIDQuantLib.simulation.painted.painting.paint_chest` paints besides a bare chest.

    Attributes:
        body: whether each voxel is the patient, arms included, filled while painting.
        aorta: x, y, z from voxel (0, 0, 0) and radius, millimetres, ``[n, 4]``.
    """

    body: np.ndarray
    aorta: FloatArray
    _around: Surroundings = field(repr=False)
    _inside: Inside = field(repr=False)
    _habitus: Habitus = field(repr=False)

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        shape: tuple[int, ...],
        fields: ChestFields,
        frame: Frame,
        habitus: Habitus,
        blood: float,
    ) -> Person:
        """A person about given lobes.

        Args:
            rng: the draw.
            shape: of the lobes' grid.
            fields: of the chest.
            frame: of the lobes.
            habitus: the chest wall.
            blood: CT number of blood.
        """
        half = 0.5 * (frame.high - frame.low)
        size = (float(half[0]), float(half[1]), float(2 * half[2]))
        path = aorta_path(fields, 0.66 * size[2], rng)
        path[:, :3] += np.array([frame.middle[0], frame.middle[1], frame.low[2]], np.float32)
        inside = Inside.draw(rng, fields, size, blood)
        return cls(np.zeros(shape, bool), path, Surroundings.draw(rng, size, habitus), inside, habitus)

    def wider(self, fields: dict[str, FloatArray]) -> FloatArray:
        """By how many millimetres the skin of a section lies farther out than usual."""
        return self._around.wider(fields)

    def paint(self, hu: FloatArray, fields: dict[str, FloatArray], wall: FloatArray, k: int, mm: float) -> None:
        """Paint what lies in and around one section ``[j, i]`` of the chest, in place.

        Args:
            hu: the section with chest wall, mediastinum and abdomen, float32.
            fields: the section of every field.
            wall: thickness of the chest wall, millimetres.
            k: number of the section.
            mm: width of a voxel.
        """
        self._inside.paint(hu, fields, self._habitus, mm)
        within = self._around.paint_body(hu, fields, wall, self._habitus, mm)
        self.body[k] = within > 0
        self._around.paint_objects(hu, fields, within, mm)

    def finish(self, hu: FloatArray, fields: dict[str, FloatArray], mm: float) -> None:
        """Add what lies over everything, streaks, in place."""
        self._inside.paint_streaks(hu, fields, mm)
