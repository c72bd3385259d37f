"""What lesions are made of: ground glass, crazy paving, consolidation with open bronchi, and what lies between.

A density is the share of a voxel's air that fluid replaces. Ranges of CT numbers are those of the classes in
``../shared/data/README.md`` (means −652, −337 and −13 HU; Zaffino et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from COVIDQuantLib.simulation.fields.tiled_fields import Axes, FloatArray, smooth_step
from COVIDQuantLib.simulation.lesions.training_shapes import Place

AERATED_HU, FLUID_HU = -860.0, 35.0
_MOST_TUBES = 15
_CLOUDS_MM = 28.0
# Fainter ground glass keeps its density to its edge, or the edge would be lost in noise.
_FAINT = 0.15


@dataclass(frozen=True)
class Kind:
    """A density pattern.

    Attributes:
        name: its name.
        share: how often it is drawn.
        hu: range of the mean CT number of its ground glass in lung of −860 HU.
        shapes: names of the shapes it takes.
        size: factor on the usual radius.
        paving: chance of crazy paving.
        core: range of the depth, in radii, below which it is solid; above 1 never.
        broken: range of how far islands of 4–10 mm scatter through the border of the solid part.
        gradual: how wide that border is, in radii.
        solid: range of the share of air that is gone where it is solid.
    """

    name: str
    share: float
    hu: tuple[float, float]
    shapes: tuple[str, ...]
    size: float = 1.0
    paving: float = 0.0
    core: tuple[float, float] = (9.0, 9.0)
    broken: tuple[float, float] = (0.0, 0.0)
    gradual: float = 0.2
    solid: tuple[float, float] = (0.88, 1.02)


_MASSES = ("ellipsoid", "union", "cloud", "band")
KINDS = (
    Kind("faint ground glass", 0.12, (-800, -740), (*_MASSES, "cuff")),
    Kind("ground glass", 0.26, (-740, -580), (*_MASSES, "cuff", "ring")),
    Kind("dense ground glass", 0.12, (-600, -420), (*_MASSES, "cuff")),
    Kind("crazy paving", 0.12, (-720, -560), _MASSES, 1.15, 1.0),
    Kind("mixed", 0.13, (-680, -500), _MASSES, 1.1, 0.25, (0.1, 0.5), (0.2, 0.7), 0.35, (0.7, 1.0)),
    Kind("mottled", 0.13, (-790, -620), _MASSES, 1.25, 0.2, (-0.1, 0.6), (0.6, 1.5), 1.2, (0.6, 1.0)),
    Kind("consolidation", 0.07, (-560, -380), (*_MASSES, "cuff"), 0.8, 0.0, (-0.05, 0.1), (0.0, 0.5)),
    Kind("organising", 0.05, (-480, -250), ("band", "arcades", "ring", "cuff"), 0.9, 0.0, (0.05, 9.0), (0.0, 0.4)),
)


@dataclass(frozen=True)
class Density:
    """What one lesion is made of.

    Attributes:
        kind: name of its kind.
        radius: half the lesion's size, mm.
        shift: place in the tiles of noise.
        fill: share of the air that fluid replaces in its ground glass.
        mottle: relative strength of its texture.
        soft: width of its edge, mm; the truth's contour is its middle.
        hill: by how much it is thinner at its edge, 0..1.
        core: depth where it turns solid, mm.
        broken: how far islands scatter through the border of the solid part, in widths of that border.
        border: that width, mm.
        solid: share of the air that is gone where it is solid.
        pleural: how much more solid it is at the pleura, in the same widths.
        weave: weights of waves, clouds and nets in its texture.
        paving: added fill on the lines of crazy paving.
        cell: width of these cells and of the texture's waves, mm.
        tubes: bronchi that stay open where it is solid: start and end in mm, radius, ``[n, 7]``.
    """

    kind: str
    radius: float
    shift: float
    fill: float
    mottle: float
    soft: float
    hill: float
    core: float
    broken: float
    border: float
    solid: float
    pleural: float
    weave: tuple[float, float, float]
    paving: float
    cell: float
    tubes: FloatArray = field(repr=False)


def draw_density(rng: np.random.Generator, kind: Kind, centre: FloatArray, radius: float, shift: float) -> Density:
    """A density of the kind for a lesion of the given centre (z, y, x) and radius in mm."""
    core = float(rng.uniform(*kind.core)) * radius
    waves, clouds, nets = np.sqrt(rng.dirichlet((0.6, 1.2, 0.45)))
    fill = float((rng.uniform(*kind.hu) - AERATED_HU) / (FLUID_HU - AERATED_HU))
    open_bronchi = core < radius and rng.random() < 0.6
    return Density(
        kind=kind.name,
        radius=radius,
        shift=shift,
        fill=fill,
        mottle=float(rng.uniform(0.05, 0.3)),
        soft=min(float(np.exp(rng.uniform(np.log(0.5), np.log(6.0)))), 0.4 * radius),
        hill=float(rng.uniform(0, 0.5 if fill > _FAINT else 0.2)),
        core=core,
        broken=float(rng.uniform(*kind.broken)),
        border=float(1.5 + kind.gradual * radius * rng.uniform(0.5, 1.5)),
        solid=float(rng.uniform(*kind.solid)),
        pleural=float(rng.uniform(0, 0.6)) if rng.random() < 0.5 else 0.0,
        weave=(float(waves), float(clouds), float(nets)),
        paving=float(rng.uniform(0.1, 0.3)) if rng.random() < kind.paving else 0.0,
        cell=float(rng.uniform(5, 12)),
        tubes=_bronchi(rng, centre, radius) if open_bronchi else np.zeros((0, 7), np.float32),
    )


def _bronchi(rng: np.random.Generator, centre: FloatArray, radius: float) -> FloatArray:
    """Branching tubes through a lesion: start, end, radius in mm, ``[n, 7]``."""
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    open_ends = [(centre - direction * radius, direction, float(rng.uniform(1.0, 2.2)))]
    tubes: list[list[float]] = []
    while open_ends and len(tubes) < _MOST_TUBES:
        start, direction, bore = open_ends.pop(0)
        end = start + direction * radius * rng.uniform(0.4, 0.8)
        tubes.append([*start, *end, bore])
        for _ in range(2):
            turned = direction + rng.normal(0, 0.5, 3)
            open_ends.append((end, turned / np.linalg.norm(turned), bore * float(rng.uniform(0.65, 0.9))))
    return np.array(tubes, np.float32)


def _tube_weight(tubes: FloatArray, axes: Axes) -> FloatArray:
    """How much of each point of the grid is open bronchus, 0..1."""
    weight = np.zeros((len(axes[0]), len(axes[1]), len(axes[2])), np.float32)
    for tube in tubes:
        start, end, bore = tube[:3], tube[3:6], tube[6]
        low, high = np.minimum(start, end) - bore - 1, np.maximum(start, end) + bore + 1
        box = tuple(slice(*np.searchsorted(axis, (a, b))) for axis, a, b in zip(axes, low, high, strict=True))
        rays = np.meshgrid(
            *(axis[p] - s for axis, p, s in zip(axes, box, start, strict=True)), indexing="ij", sparse=True
        )
        step = end - start
        along = np.clip(sum(r * s for r, s in zip(rays, step, strict=True)) / (step @ step), 0, 1)
        far = sum((r - along * s) ** 2 for r, s in zip(rays, step, strict=True))
        weight[box] = np.maximum(weight[box], np.clip(bore - np.sqrt(far) + 0.5, 0, 1))
    return weight


def _weave(density: Density, place: Place) -> FloatArray:
    """Fine texture with mean about 0 and standard deviation about 1: waves, clouds and nets of lines, each unlike."""
    fields, shift = place.fields, density.shift
    waves, clouds, nets = density.weave
    texture = waves * fields.smooth.at(place.axes, density.cell, shift + 9)
    texture = texture + clouds * fields.rough.at(place.axes, 2.2 * density.cell, shift + 13)
    # The walls' distance has mean 0.2 and standard deviation 0.16 cells; bent, so that the net is no honeycomb.
    bent = fields.cells.at(place.axes, 1.2 * density.cell, shift + 2) + 0.12 * texture
    return texture + nets * np.maximum((0.2 - bent) / 0.16, -1.5)


def _solid(density: Density, place: Place, depth: FloatArray, fine: FloatArray) -> FloatArray:
    """How solid the lesion is, 0..1: within its core, more so at the pleura, broken up by islands."""
    shift, radius = density.shift, density.radius
    patches = place.fields.rough.at(place.axes, max(0.8 * radius, 8.0), shift + 7)
    inner = (depth - density.core + 0.2 * radius * patches) / density.border
    inner = inner + density.broken * (0.7 * fine + 0.4 * patches) + density.pleural * np.exp(-place.depth / 8)
    return smooth_step(0.5 + inner)


def fill_share(density: Density, place: Place, depth: FloatArray) -> FloatArray:
    """Which share of the air is replaced where the lesion has its full weight.

    Args:
        density: what the lesion is made of.
        place: the grid.
        depth: signed depth in the lesion there, mm.

    Returns:
        Share 0..1 (a little above where denser than fluid), ``[z, y, x]``.
    """
    shift, radius = density.shift, density.radius
    fine = _weave(density, place)
    mottle = fine + 0.8 * place.fields.rough.at(place.axes, _CLOUDS_MM, shift + 4)
    fill = density.fill * np.clip(1 + density.mottle * mottle, 0.35, 1.8)
    fill = fill * (1 - density.hill * np.exp(-np.maximum(depth, 0) / (0.3 * radius)))
    if density.paving:
        walls = place.fields.cells.at(place.axes, density.cell, shift) * density.cell
        fill = fill + density.paving * (1 - smooth_step(walls / 1.8 - 0.2))
    if density.core < radius:
        solid = _solid(density, place, depth, fine)
        fill = fill + solid * (density.solid + 0.03 * mottle - fill)
        if len(density.tubes):
            fill = fill * (1 - 0.85 * solid * _tube_weight(density.tubes, place.axes))
    return np.clip(fill, 0, 1.05)
