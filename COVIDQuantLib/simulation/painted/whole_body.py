"""A whole person around given lobes: build, arms, table, cloth, heart, aorta, bowel gas, streaks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.painted.aorta import Aorta, descending_aorta
from COVIDQuantLib.simulation.painted.chest_wall import ChestFields, Habitus, LungExtent, SectionFields
from COVIDQuantLib.simulation.painted.mediastinum import InnerOrgans
from COVIDQuantLib.simulation.painted.surroundings import Surroundings


def draw_build(rng: np.random.Generator, *, contrast: bool) -> Habitus:
    """A build from thin to obese; the table is drawn with the surroundings."""
    fat = float(rng.choice([rng.uniform(1, 8), rng.uniform(5, 35), rng.uniform(30, 75)], p=[0.25, 0.5, 0.25]))
    usual = Habitus.draw(rng, contrast=contrast)
    return replace(usual, table=None, fat=fat, muscle=float(rng.uniform(9, 26)))


@dataclass
class Person:
    """What :func:`~COVIDQuantLib.simulation.painted.painting.paint_chest` paints in addition to a bare chest.

    Attributes:
        body: whether each voxel is the patient, arms included, filled while painting.
        aorta: its course.
    """

    body: np.ndarray
    aorta: Aorta
    _around: Surroundings = field(repr=False)
    _inside: InnerOrgans = field(repr=False)
    _habitus: Habitus = field(repr=False)

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        shape: tuple[int, ...],
        fields: ChestFields,
        frame: LungExtent,
        habitus: Habitus,
        blood: float,
        aorta: Aorta | None = None,
    ) -> Person:
        """A person about given lobes.

        Args:
            rng: random generator.
            shape: of the lobes' grid.
            fields: of the chest.
            frame: of the lobes.
            habitus: the chest wall.
            blood: CT number of blood.
            aorta: its course; None for a usual one, where the lobes leave room.
        """
        half = 0.5 * (frame.high - frame.low)
        size = (float(half[0]), float(half[1]), float(2 * half[2]))
        aorta = aorta or descending_aorta(fields, frame, 0.66 * size[2], rng)
        inside = InnerOrgans.draw(rng, fields, size, blood)
        return cls(np.zeros(shape, bool), aorta, Surroundings.draw(rng, size, habitus), inside, habitus)

    def wider(self, fields: SectionFields) -> FloatArray:
        """Millimetres by which the skin of a section is further out than the chest wall."""
        return self._around.wider(fields)

    def paint(self, hu: FloatArray, fields: SectionFields, wall: FloatArray, k: int, mm: float) -> None:
        """Paint the structures in and around one section ``[j, i]`` of the chest, in place.

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

    def finish(self, hu: FloatArray, fields: SectionFields, mm: float) -> None:
        """Add streaks, which overlay everything, in place."""
        self._inside.paint_streaks(hu, fields, mm)
