"""Synthetic COVID-19 lesions in healthy lungs: training data that need no expert's drawing.

The idea, healthy lungs into which lesions of known outline are put, is that of Yao et al., *Label-free segmentation of
COVID-19 lesions in lung CT*, IEEE TMI 2021. Beyond it, the shapes, places, kinds and densities here follow the disease
(subpleural, dorsal, basal, multifocal; ground glass, crazy paving, consolidation with air bronchograms), the density is
the physics of it (air replaced by fluid, so vessels stay visible and noise stays), and thick sections average the shape
as a scanner does. Class means of the CT numbers: ``../shared/data/README.md`` (Zaffino et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from COVIDQuantLib.training.synth_fields import Axes, Fields, FloatArray, lerp, smooth_step
from COVIDQuantLib.training.synth_shapes import Place, Shape, draw_shape, signed_depth

BoolArray = npt.NDArray[np.bool_]

AERATED_HU, FLUID_HU = -860.0, 35.0
HU_LIMITS = (-1024.0, 3071.0)
_COARSE_MM, _FINE_MM = 4.0, 2.5
_MOST_LESIONS = 160
_SIDES = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2}


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
class Style:
    """How the disease is spread in one patient.

    Attributes:
        name: its name.
        share: how often it is drawn.
        dorsal: strength of the preference for the back, 0..1.
        basal: strength of the preference for the base, 0..1.
        peripheral: share of lesions that start within 12 mm of the pleura.
        lobes: how many lobes (or lungs) may be ill; 0 for all.
        radius: usual radius, mm.
    """

    name: str
    share: float
    dorsal: float
    basal: float
    peripheral: float
    lobes: int
    radius: float


STYLES = (
    Style("typical", 0.5, 0.75, 0.7, 0.7, 0, 15.0),
    Style("many small", 0.15, 0.5, 0.5, 0.6, 0, 9.0),
    Style("diffuse", 0.12, 0.3, 0.2, 0.4, 0, 22.0),
    Style("peribronchial", 0.1, 0.4, 0.5, 0.15, 0, 13.0),
    Style("one lobe", 0.08, 0.5, 0.0, 0.5, 1, 16.0),
    Style("upper", 0.05, 0.2, -0.6, 0.6, 0, 14.0),
)


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        kind: name of its kind.
        shape: its outline.
        allowed: which label values it may enter, ``[256]``.
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
        cell: width of these cells, mm.
        tubes: bronchi that stay open where it is solid: start and end in mm, radius, ``[n, 7]``.
    """

    kind: str
    shape: Shape
    allowed: BoolArray = field(repr=False)
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


class _Lungs:
    """Where lesions may lie: the labels at coarse steps, in millimetres.

    Args:
        labels: lobes or lungs, ``[k, j, i]``.
        spacing: mm.
    """

    def __init__(self, labels: npt.NDArray[np.uint8], spacing: FloatArray) -> None:
        self.spacing = spacing
        self.steps = np.maximum(1, np.round(_COARSE_MM / spacing)).astype(int)
        first = (self.steps - 1) // 2
        self.labels = labels[tuple(slice(f, None, s) for f, s in zip(first, self.steps, strict=True))]
        self.origin = first * spacing
        self.step = self.steps * spacing
        # One voxel of background around it would make a pleura of the image's border: there is none.
        inside = self.labels > 0
        depth = ndimage.distance_transform_edt(inside, sampling=self.step) if not inside.all() else inside * 99.0
        self.depth = np.maximum(depth - 0.5 * self.step.min(), 0).astype(np.float32)
        self.axes: Axes = tuple(  # type: ignore[assignment]
            (o + np.arange(n) * s).astype(np.float32)
            for o, n, s in zip(self.origin, self.labels.shape, self.step, strict=True)
        )
        self.points = np.argwhere(inside)
        self.height = self._share(0)
        self.back = self._share(1)

    def _share(self, axis: int) -> FloatArray:
        """Where the points lie between the lungs' ends along an axis, 0..1."""
        values = self.points[:, axis].astype(np.float32)
        return (values - values.min()) / max(float(np.ptp(values)), 1.0)

    def near(self, shape: Shape) -> tuple[slice, slice, slice]:
        """The part of the coarse grid that a shape can reach."""
        return _box(shape, self.origin, self.step, self.labels.shape)


def _box(shape: Shape, origin: FloatArray, step: FloatArray, size: tuple[int, ...]) -> tuple[slice, slice, slice]:
    slices = []
    for axis in range(3):
        low = int(np.floor((shape.centre[axis] - shape.reach[axis] - origin[axis]) / step[axis]))
        high = int(np.ceil((shape.centre[axis] + shape.reach[axis] - origin[axis]) / step[axis])) + 1
        slices.append(slice(min(max(low, 0), size[axis]), min(max(high, 0), size[axis])))
    return slices[0], slices[1], slices[2]


def _side_table(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Which lung each label value belongs to, ``[256]``; labels 1 and 2 alone are lungs."""
    table = np.arange(256, dtype=np.uint8)
    if labels.max(initial=0) > 2:
        for label, side in _SIDES.items():
            table[label] = side
    return table


class _Ward:
    """Draws the lesions of one patient.

    Args:
        lungs: the lungs.
        sides: lung of each label.
        rng: source of chance.
    """

    def __init__(self, lungs: _Lungs, sides: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
        self._lungs, self._sides, self._rng = lungs, sides, rng
        shares = np.array([style.share for style in STYLES])
        self.style = STYLES[int(rng.choice(len(STYLES), p=shares / shares.sum()))]
        # Each patient has a phase: some are all ground glass, some mostly consolidated.
        leaning = rng.gamma(0.9, 1.0, len(KINDS)) + 0.05
        kinds = leaning * [kind.share for kind in KINDS]
        self._kind_shares = kinds / kinds.sum()
        present = np.unique(lungs.labels[lungs.labels > 0])
        ill = present
        if 0 < self.style.lobes < len(present):
            ill = rng.choice(present, self.style.lobes, replace=False)
        self._chance = self._weights(ill)

    def _weights(self, ill: npt.NDArray[np.uint8]) -> FloatArray:
        lungs, style = self._lungs, self.style
        low = 1 - lungs.height if style.basal >= 0 else lungs.height
        weight = (1 - abs(style.basal) * (1 - low)) * (1 - style.dorsal * (1 - lungs.back))
        k, j, i = lungs.points.T
        return np.asarray(np.where(np.isin(lungs.labels[k, j, i], ill), weight**2 + 1e-4, 0), np.float32)

    def _centre(self) -> npt.NDArray[np.int64]:
        k, j, i = self._lungs.points.T
        depth = self._lungs.depth[k, j, i]
        wanted = depth < 12 if self._rng.random() < self.style.peripheral else depth > 14
        weight = self._chance * wanted
        if not weight.any():
            weight = self._chance
        cumulated = np.cumsum(weight, dtype=np.float64)
        chosen = np.searchsorted(cumulated, self._rng.random() * cumulated[-1], side="right")
        return np.asarray(self._lungs.points[min(int(chosen), len(cumulated) - 1)])

    def lesion(self, growth: float) -> Lesion:
        """The next lesion; ``growth`` is a factor on its size."""
        rng = self._rng
        kind = KINDS[int(rng.choice(len(KINDS), p=self._kind_shares))]
        index = self._centre()
        label = int(self._lungs.labels[tuple(index)])
        centre = self._lungs.origin + (index + rng.uniform(-0.5, 0.5, 3)) * self._lungs.step
        radius = float(np.clip(rng.lognormal(np.log(self.style.radius * kind.size * growth), 0.45), 4.0, 75.0))
        shape = draw_shape(rng, str(rng.choice(kind.shapes)), centre.astype(np.float32), radius)
        # Half of the lesions stop at the fissure; none crosses to the other lung.
        bounded = rng.random() < 0.5
        allowed = np.arange(256) == label if bounded else self._sides == self._sides[label]
        allowed[0] = False
        target = rng.uniform(*kind.hu)
        core = rng.uniform(*kind.core) * radius
        return Lesion(
            kind.name,
            shape,
            allowed,
            float((target - AERATED_HU) / (FLUID_HU - AERATED_HU)),
            float(rng.uniform(0.05, 0.3)),
            float(np.exp(rng.uniform(np.log(0.5), np.log(6.0)))),
            float(rng.uniform(0, 0.5)),
            float(core),
            float(rng.uniform(*kind.broken)),
            float(1.5 + kind.gradual * radius * rng.uniform(0.5, 1.5)),
            float(rng.uniform(*kind.solid)),
            float(rng.uniform(0, 0.6)) if rng.random() < 0.5 else 0.0,
            _weights(rng),
            float(rng.uniform(0.1, 0.3)) if rng.random() < kind.paving else 0.0,
            float(rng.uniform(5, 12)),
            _bronchi(rng, centre, radius) if core < radius and rng.random() < 0.6 else np.zeros((0, 7), np.float32),
        )


def _bronchi(rng: np.random.Generator, centre: FloatArray, radius: float) -> FloatArray:
    """Branching tubes through a lesion: start, end, radius in mm, ``[n, 7]``."""
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    open_ends = [(centre - direction * radius, direction, float(rng.uniform(1.0, 2.2)))]
    tubes = []
    while open_ends and len(tubes) < 15:
        start, direction, bore = open_ends.pop(0)
        end = start + direction * radius * rng.uniform(0.4, 0.8)
        tubes.append([*start, *end, bore])
        for _ in range(2):
            turned = direction + rng.normal(0, 0.5, 3)
            open_ends.append((end, turned / np.linalg.norm(turned), bore * float(rng.uniform(0.65, 0.9))))
    return np.array(tubes, np.float32)


def _tube_weight(tubes: FloatArray, axes: Axes) -> FloatArray:
    """How much of each point of the grid is open bronchus, 0..1."""
    z, y, x = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    weight = np.zeros((len(axes[0]), len(axes[1]), len(axes[2])), np.float32)
    for a, b, c, *rest in tubes:
        step, bore = np.array(rest[:3]) - (a, b, c), rest[3]
        along = ((z - a) * step[0] + (y - b) * step[1] + (x - c) * step[2]) / np.float32(step @ step)
        along = np.clip(along, 0, 1)
        far = (z - a - along * step[0]) ** 2 + (y - b - along * step[1]) ** 2 + (x - c - along * step[2]) ** 2
        weight = np.maximum(weight, np.clip(bore - np.sqrt(far) + 0.5, 0, 1))
    return weight


def _draw_lesions(
    lungs: _Lungs, sides: npt.NDArray[np.uint8], fields: Fields, rng: np.random.Generator, share: float
) -> tuple[list[Lesion], float]:
    """Lesions that cover a share of the lungs, and by how many mm all must grow to do so exactly."""
    ward = _Ward(lungs, sides, rng)
    level = np.full(lungs.labels.shape, -99, np.float32)
    growth = (0.55 + 1.6 * share**0.5) * float(np.exp(rng.normal(0, 0.2)))
    lesions: list[Lesion] = []
    inside = lungs.labels > 0
    wanted = max(share * len(lungs.points), 1.0)
    while len(lesions) < _MOST_LESIONS and (level[inside] > 0).sum() < wanted:
        lesion = ward.lesion(growth * (1 + len(lesions) / 40))
        box = lungs.near(lesion.shape)
        axes: Axes = tuple(axis[part] for axis, part in zip(lungs.axes, box, strict=True))  # type: ignore[assignment]
        depth = signed_depth(lesion.shape, Place(axes, lungs.depth[box], fields))
        depth = np.where(lesion.allowed[lungs.labels[box]], depth, -99)
        level[box] = np.maximum(level[box], depth)
        lesions.append(lesion)
    reached = level[inside]
    middle = float(np.quantile(reached, 1 - share))
    return lesions, float(np.clip(-middle, -30.0, 3.0))


def _weights(rng: np.random.Generator) -> tuple[float, float, float]:
    """Three weights by chance whose squares sum to 1."""
    weights = np.sqrt(rng.dirichlet((0.8, 0.8, 0.8)))
    return float(weights[0]), float(weights[1]), float(weights[2])


def _weave(lesion: Lesion, place: Place) -> FloatArray:
    """Fine texture with mean about 0 and standard deviation about 1: waves, clouds and nets of lines, each unlike."""
    fields, shift = place.fields, lesion.shape.shift
    waves, clouds, nets = lesion.weave
    texture = waves * fields.smooth.at(place.axes, lesion.cell, shift + 9)
    texture = texture + clouds * fields.rough.at(place.axes, 2.2 * lesion.cell, shift + 13)
    # The walls' distance has mean 0.2 and standard deviation 0.16 cells; bent, so that the net is no honeycomb.
    bent = fields.cells.at(place.axes, 1.2 * lesion.cell, shift + 2) + 0.12 * texture
    return texture + nets * (0.2 - bent) / 0.16


def _solid(lesion: Lesion, place: Place, depth: FloatArray, fine: FloatArray) -> FloatArray:
    """How solid the lesion is, 0..1: within its core, more so at the pleura, broken up by islands."""
    shift, radius = lesion.shape.shift, lesion.shape.radius
    patches = place.fields.rough.at(place.axes, max(0.8 * radius, 8.0), shift + 7)
    inner = (depth - lesion.core + 0.2 * radius * patches) / lesion.border
    inner = inner + lesion.broken * (0.7 * fine + 0.4 * patches) + lesion.pleural * np.exp(-place.depth / 8)
    return smooth_step(0.5 + inner)


def _fill(lesion: Lesion, place: Place, depth: FloatArray) -> FloatArray:
    """Which share of the air is replaced, 0..1, at points of the given signed depth."""
    shift, radius = lesion.shape.shift, lesion.shape.radius
    fine = _weave(lesion, place)
    mottle = fine + 0.8 * place.fields.rough.at(place.axes, 28.0, shift + 4)
    fill = lesion.fill * np.clip(1 + lesion.mottle * mottle, 0.35, 1.8)
    fill = fill * (1 - lesion.hill * np.exp(-np.maximum(depth, 0) / (0.3 * radius)))
    if lesion.paving:
        walls = place.fields.cells.at(place.axes, lesion.cell, shift) * lesion.cell
        fill = fill + lesion.paving * (1 - smooth_step(walls / 1.8 - 0.2))
    if lesion.core < radius:
        solid = _solid(lesion, place, depth, fine)
        fill = fill + solid * (lesion.solid + 0.03 * mottle - fill)
        if len(lesion.tubes):
            fill = fill * (1 - 0.85 * solid * _tube_weight(lesion.tubes, place.axes))
    return smooth_step(0.5 + depth / lesion.soft) * np.clip(fill, 0, 1.05)


def _average(values: FloatArray, factors: npt.NDArray[np.int64]) -> FloatArray:
    """Mean over blocks of ``factors`` points."""
    k, j, i = (n // f for n, f in zip(values.shape, factors, strict=True))
    if (factors == 1).all():
        return values
    return values.reshape(k, factors[0], j, factors[1], i, factors[2]).mean((1, 3, 5), dtype=np.float32)


class _Canvas:
    """The fill of all lesions on the CT's grid.

    Args:
        labels: lobes or lungs, ``[k, j, i]``.
        lungs: the same, coarse.
        fields: noise.
    """

    def __init__(self, labels: npt.NDArray[np.uint8], lungs: _Lungs, fields: Fields) -> None:
        self._labels, self._lungs, self._fields = labels, lungs, fields
        # The voxels that lung shares with the chest wall become denser too, though they are not lung.
        self._around = np.where(labels > 0, labels, ndimage.maximum_filter(labels, 3))
        self._factors = np.maximum(1, np.round(lungs.spacing / _FINE_MM + 0.2)).astype(np.int64)
        self.fill = np.zeros(labels.shape, np.float32)
        self.truth = np.zeros(labels.shape, bool)

    def add(self, lesion: Lesion, growth: float) -> None:
        """Draws a lesion, grown by mm."""
        spacing = self._lungs.spacing
        box = _box(lesion.shape, np.zeros(3, np.float32), spacing, self._labels.shape)
        axes: Axes = tuple(  # type: ignore[assignment]
            (((np.arange(part.start * f, part.stop * f) + 0.5) / f - 0.5) * s).astype(np.float32)
            for part, f, s in zip(box, self._factors, spacing, strict=True)
        )
        coarse = [(a - o) / s for a, o, s in zip(axes, self._lungs.origin, self._lungs.step, strict=True)]
        place = Place(axes, lerp(self._lungs.depth, coarse), self._fields)
        depth = signed_depth(lesion.shape, place) + np.float32(growth)
        fill = _average(_fill(lesion, place, depth), self._factors)
        inside = _average((depth > 0).astype(np.float32), self._factors) >= 0.5
        allowed = lesion.allowed[self._around[box]]
        self.fill[box] = np.maximum(self.fill[box], fill * allowed)
        self.truth[box] |= inside & allowed & (self._labels[box] > 0)


def _densify(hu: FloatArray, fill: FloatArray, labels: npt.NDArray[np.uint8], thicker: float) -> FloatArray:
    """Replaces air by fluid; what is denser stays, bronchi stay open, the noise stays as it was.

    Args:
        hu: the CT.
        fill: share of air replaced.
        labels: lungs.
        thicker: how much vessels within lesions swell, 0..1.
    """
    where = ndimage.find_objects((fill > 0.005).astype(np.uint8))
    if not where:
        return hu
    box = where[0]
    part, share, inside = hu[box], fill[box], labels[box] > 0
    base = ndimage.gaussian_filter(part, (0, 0.8, 0.8))
    usual = float(np.median(part[inside])) if inside.any() else AERATED_HU
    spread = 1.4826 * float(np.median(np.abs((part - base)[inside]))) if inside.any() else 0.0
    # Bronchi are clearly darker than the lung around them; outside the mask nothing but partial volume may change.
    open_air = smooth_step((usual - 60 - base) / 70)
    share = share * (1 - 0.85 * open_air) * (inside | (base > -700))
    if thicker:
        vessels = ndimage.gaussian_filter(smooth_step((base - usual - 150) / 250), (0, 0.9, 0.9))
        share = np.maximum(share, thicker * vessels * smooth_step(share * 6))
    detail = part - base
    kept = np.clip(detail, -2.5 * spread, 2.5 * spread)
    result = hu.copy()
    filled = base + share * np.maximum(FLUID_HU - base, 0) + detail * (1 - share) + kept * share
    result[box] = np.where(share > 0, filled, part)
    return result


def insert_lesions(
    hu: npt.NDArray[np.generic],
    lobes: npt.NDArray[np.uint8],
    spacing_kji: npt.ArrayLike,
    rng: np.random.Generator,
    extent_percent: float,
) -> tuple[FloatArray, BoolArray]:
    """Puts COVID-19 pneumonia into a CT.

    The truth is the half-way contour of each lesion's soft edge, within the labels; vessels and bronchi within the
    contour belong to it, as experts draw it. In thick sections a voxel is lesion when half of it is.

    Args:
        hu: CT numbers, ``[k, j, i]``, canonical (k to the head, j to the back).
        lobes: label values 1..5 of the lobes, or 1 and 2 of the lungs; 0 outside.
        spacing_kji: mm.
        rng: source of chance.
        extent_percent: wanted share of the labelled voxels, 0..100.

    Returns:
        The CT with lesions (float32, within −1024..3071) and the lesion mask (bool).
    """
    image = np.asarray(hu, np.float32)
    spacing = np.asarray(spacing_kji, np.float32)
    if extent_percent <= 0 or not (lobes > 0).any():
        return np.clip(image, *HU_LIMITS), np.zeros(lobes.shape, bool)
    lungs = _Lungs(lobes, spacing)
    if not len(lungs.points):
        return np.clip(image, *HU_LIMITS), np.zeros(lobes.shape, bool)
    fields = Fields(rng)
    lesions, growth = _draw_lesions(lungs, _side_table(lobes), fields, rng, min(extent_percent, 95.0) / 100)
    thicker = float(rng.choice([0.0, rng.uniform(0.2, 0.9)]))
    canvas = _Canvas(lobes, lungs, fields)
    for lesion in lesions:
        canvas.add(lesion, growth)
    return np.clip(_densify(image, canvas.fill, lobes, thicker), *HU_LIMITS), canvas.truth
