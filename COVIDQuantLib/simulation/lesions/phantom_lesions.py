"""COVID-19 pneumonia: patches of ground glass and consolidation with a sharp truth."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.anatomy.trees import Tubes
from COVIDQuantLib.simulation.anatomy.tubes import draw_tubes
from COVIDQuantLib.simulation.anatomy.vessels import Vasculature
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray, GrainField, smooth_step

_KINDS = ("ground glass", "mixed", "crazy paving", "consolidation")
_KIND_SHARES = (0.46, 0.28, 0.14, 0.12)
# Depth into the lesion (in radii) where its core turns to consolidation; beyond reach where there is none.
_NO_CORE = 9.0
_CORE_OF = {
    "ground glass": (_NO_CORE, _NO_CORE),
    "crazy paving": (_NO_CORE, _NO_CORE),
    "mixed": (0.2, 0.5),
    "consolidation": (0.04, 0.15),
}
_SITES = ("subpleural", "peribronchial", "basal")
_SITE_SHARES = (0.5, 0.25, 0.25)
_SAMPLE_STEP_MM = 3.5
_COARSE_WAVE, _FINE_WAVE = 0.15, 0.08


@dataclass(frozen=True)
class Lesion:
    """One patch; patches that touch flow together.

    Attributes:
        kind: ground glass, mixed, crazy paving or consolidation.
        site: subpleural, peribronchial or basal.
        centre: x, y, z in LPS millimetres.
        radius: half its size across, mm.
        depth: how far it reaches from the pleura, mm; 0 if the pleura does not shape it.
        rank: the greater, the sooner it appears as the extent grows.
        ggo_hu: CT number of its ground glass.
        core: how early its middle turns to consolidation; none above 1.
    """

    kind: str
    site: str
    centre: tuple[float, float, float]
    radius: float
    depth: float
    rank: float
    ggo_hu: float
    core: float

    def as_record(self) -> dict[str, Any]:
        """The lesion for ``truth.json``."""
        return asdict(self)


class Pneumonia:
    """The lesions of one patient as an implicit field, cut at the level that gives the wanted extent.

    Args:
        thorax: the chest.
        vasculature: its airways, and the tubes that belong to no lung.
        extent_percent: wanted share of the lungs.
        rng: for place, kind and shape.
    """

    def __init__(
        self, thorax: Thorax, vasculature: Vasculature, extent_percent: float, rng: np.random.Generator
    ) -> None:
        self._thorax = thorax
        self._waves = GrainField(rng, 9.0), GrainField(rng, 3.2)
        self._core_wave, self._mottle, self._septa = GrainField(rng, 10.0), GrainField(rng, 4.0), GrainField(rng, 3.4)
        self.extent_percent = extent_percent
        self.lesions: list[Lesion] = []
        self._level = np.inf
        if extent_percent > 0:
            points, depth = self._lung_points(vasculature.outside)
            self.lesions = self._draw(rng, points, depth, vasculature.nodes)
            self._level = self._find_level(points, depth)

    def _lung_points(self, outside: Tubes) -> tuple[FloatArray, FloatArray]:
        """Points ``[n, 3]`` evenly throughout the lungs, and their depth under the lungs' surface."""
        p = self._thorax.patient
        middle = (0.0, 0.0, (p.z_apex + p.z_sulcus) / 2)
        sections = math.ceil((p.z_apex - p.z_sulcus + 16) / _SAMPLE_STEP_MM)
        grid = Grid.make(math.ceil(340 / _SAMPLE_STEP_MM), _SAMPLE_STEP_MM, _SAMPLE_STEP_MM, sections, middle)
        taken = np.zeros(grid.shape, np.uint8)
        draw_tubes(taken, grid, outside)
        x, y = grid.section_axes
        # The lung ends halfway into a voxel that a tube and its cuff fill to a third.
        depth = np.stack([self._thorax.lungs(x, y, float(z)) for z in grid.z])
        k, j, i = np.nonzero((depth > 0) & (taken < 85))
        return np.stack([grid.x[i], grid.y[j], grid.z[k]], axis=1), depth[k, j, i]

    def _draw(
        self, rng: np.random.Generator, points: FloatArray, depth: FloatArray, bronchi: FloatArray
    ) -> list[Lesion]:
        count = int(3 + rng.integers(0, 4) + self.extent_percent * rng.uniform(0.25, 0.6))
        p = self._thorax.patient
        low = smooth_step(points[:, 2], p.z_apex, p.z_sulcus * 0.5) + 0.15
        back = smooth_step(points[:, 1], -60, 60) + 0.3
        weights = {
            "subpleural": (depth < 14) * low * back,
            "basal": (points[:, 2] < 0.55 * p.z_sulcus) * back * 1.0,
        }
        lesions = []
        for _ in range(count):
            site = str(rng.choice(_SITES, p=_SITE_SHARES))
            if site == "peribronchial":
                centre = bronchi[rng.integers(len(bronchi))] + rng.normal(0, 3, 3)
            else:
                weight = weights[site]
                centre = points[rng.choice(len(points), p=weight / weight.sum())].astype(float)
            lesions.append(self._lesion(rng, site, centre))
        return lesions

    def _lesion(self, rng: np.random.Generator, site: str, centre: FloatArray) -> Lesion:
        kind = str(rng.choice(_KINDS, p=_KIND_SHARES))
        growth = 1 + 0.012 * self.extent_percent
        # Dense patches are small.
        usual = 13 if kind == "consolidation" else 17
        radius = float(rng.lognormal(np.log(usual), 0.4) * growth)
        flat = site == "subpleural" or (site == "basal" and rng.random() < 0.6)
        low, high = _CORE_OF[kind]
        x, y, z = (float(c) for c in centre)
        return Lesion(
            kind,
            site,
            (x, y, z),
            radius,
            float(rng.uniform(0.5, 1.1) * radius) if flat else 0.0,
            float(rng.uniform(0, 0.8)),
            float(rng.uniform(-660, -500)),
            float(rng.uniform(low, high)),
        )

    def _find_level(self, points: FloatArray, depth: FloatArray) -> float:
        x, y, z = points.T
        field, _ = self._field(x, y, z, depth, -np.inf)
        return float(np.quantile(field, 1 - self.extent_percent / 100))

    def _field(
        self, x: FloatArray, y: FloatArray, z: FloatArray | float, depth: FloatArray, level: float
    ) -> tuple[FloatArray, FloatArray]:
        """The implicit field and which lesion rules each point; lesions that stay under ``level`` are left out."""
        shape = np.broadcast(x, y).shape
        field: FloatArray = np.full(shape, -9.0, np.float32)
        owner = np.zeros(shape, np.int16)
        for number, lesion in enumerate(self.lesions):
            cx, cy, cz = lesion.centre
            reach = 1.1 * (lesion.rank - level + 4 * (_COARSE_WAVE + _FINE_WAVE)) * lesion.radius
            if bool(np.all(np.abs(z - cz) > reach)):
                continue
            square = ((x - cx) ** 2 + (y - cy) ** 2 + (1.2 * (z - cz)) ** 2) / lesion.radius**2
            if lesion.depth:
                square = 0.6 * square + (np.maximum(depth, 0) / lesion.depth) ** 2
            value = lesion.rank - np.sqrt(square)
            better = value > field
            field = np.where(better, value, field)
            owner[better] = number
        field = field + _COARSE_WAVE * self._waves[0].at(x, y, z) + _FINE_WAVE * self._waves[1].at(x, y, z)
        return field, owner

    def section(
        self, hu: FloatArray, x: FloatArray, y: FloatArray, z: float, depth: FloatArray
    ) -> tuple[FloatArray, FloatArray] | None:
        """What the pneumonia makes of a section of lung.

        Args:
            hu: parenchyma without pneumonia, ``[j, i]``.
            x: row of positions.
            y: column of positions.
            z: height.
            depth: signed distance to the lungs' surface.

        Returns:
            The CT numbers with pneumonia and the lesion truth (bool), or None where there is none.
        """
        if not self.lesions or depth.max() <= 0:
            return None
        field, owner = self._field(x, y, z, depth, self._level)
        margin = field - self._level
        inside = (margin > 0) & (depth > -2)
        if not inside.any():
            return None
        j, i = np.nonzero(inside)
        result = hu.copy()
        waves = np.stack([wave.at(x, y, z)[j, i] for wave in (self._mottle, self._core_wave, self._septa)])
        result[j, i] = self._density(hu[j, i], owner[j, i], margin[j, i], waves)
        return result, inside

    def _density(self, hu: FloatArray, owner: FloatArray, margin: FloatArray, waves: FloatArray) -> FloatArray:
        """CT numbers within lesions, all arguments ``[n]`` (``waves`` ``[3, n]``: mottle, coarse waves, septa)."""
        radius, ggo, core, paving = (
            np.array(values, np.float32)[owner]
            for values in zip(
                *((n.radius, n.ggo_hu, n.core, n.kind == "crazy paving") for n in self.lesions), strict=True
            )
        )
        mottle, coarse, septa = waves
        edge = 0.45 + 0.55 * smooth_step(margin * radius, 0.0, 5.0)
        target = ggo + 45 * mottle + 35 * coarse
        lines = smooth_step(0.3 - np.abs(septa), 0.0, 0.2)
        target = target + paving * 170 * lines
        result = hu + edge * (np.maximum(target, hu + 60) - hu)
        solid = smooth_step(margin + 0.14 * coarse + 0.08 * mottle - core, -0.06, 0.14)
        solid = solid * (core < _NO_CORE)
        dense = 18 + 14 * mottle
        return result + solid * (dense - result)
