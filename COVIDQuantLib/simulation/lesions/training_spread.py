"""How the disease is spread in one patient: kinds, places and sizes of the lesions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES, SIDE_VALUE
from COVIDQuantLib.simulation.fields.arrays import Axes, FloatArray
from COVIDQuantLib.simulation.fields.tiled_noise import NoiseTiles
from COVIDQuantLib.simulation.lesions.training_coarse_lungs import CoarseLungs
from COVIDQuantLib.simulation.lesions.training_density import KINDS, Density, draw_density
from COVIDQuantLib.simulation.lesions.training_shapes import Place, Shape, draw_shape, signed_depth
from COVIDQuantLib.voxels.box import Slices

BoolArray = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

_MOST_LESIONS = 160
_NOWHERE_MM = -99.0


@dataclass(frozen=True)
class Style:
    """How the disease is spread in one patient.

    Attributes:
        name: its name.
        share: how often it is drawn.
        dorsal: strength of the preference for the back, 0..1.
        basal: strength of the preference for the base, 0..1.
        peripheral: share of lesions that start within 12 mm of the pleura.
        lobes: how many lobes (or lungs) may be affected; 0 for all.
        radius: usual radius, mm.
    """

    name: str
    share: float
    dorsal: float
    basal: float
    peripheral: float
    lobes: int
    radius: float


MANY_SMALL = Style("many small", 0.15, 0.5, 0.5, 0.6, 0, 9.0)
STYLES = (
    Style("typical", 0.5, 0.75, 0.7, 0.7, 0, 15.0),
    MANY_SMALL,
    Style("diffuse", 0.12, 0.3, 0.2, 0.4, 0, 22.0),
    Style("peribronchial", 0.1, 0.4, 0.5, 0.15, 0, 13.0),
    Style("one lobe", 0.06, 0.5, 0.0, 0.5, 1, 16.0),
    Style("lobar", 0.06, 0.4, 0.5, 0.3, 2, 38.0),
    Style("upper", 0.05, 0.2, -0.6, 0.6, 0, 14.0),
)


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        shape: its outline.
        density: what it is made of.
        allowed: which label values it may enter, ``[256]``.
    """

    shape: Shape
    density: Density
    allowed: BoolArray = field(repr=False)


def reach_box(shape: Shape, origin: FloatArray, step: FloatArray, size: tuple[int, ...]) -> Slices:
    """The part of a grid (first voxel and steps in mm, size) that a shape can reach."""
    low = np.floor((shape.centre - shape.reach - origin) / step).astype(int)
    high = np.ceil((shape.centre + shape.reach - origin) / step).astype(int) + 1
    k, j, i = (slice(*np.clip((a, b), 0, n).tolist()) for a, b, n in zip(low, high, size, strict=True))
    return k, j, i


class Lungs(CoarseLungs):
    """Where lesions may be: the labels at coarse steps, in millimetres.

    Args:
        labels: lobes or lungs, ``[k, j, i]``.
        spacing: mm.
    """

    def __init__(self, labels: Labels, spacing: FloatArray) -> None:
        super().__init__(labels, spacing, centred=True)
        # Without padding, the image's border is not taken for pleura.
        inside = self.inside
        depth = ndimage.distance_transform_edt(inside, sampling=self.step) if not inside.all() else inside * 99.0
        self.depth = np.maximum(depth - 0.5 * self.step.min(), 0).astype(np.float32)
        self.points = np.argwhere(inside)
        self.height = self._share(0)
        self.back = self._share(1)

    def _share(self, axis: int) -> FloatArray:
        """Position of the points between the lungs' ends along an axis, 0..1."""
        values = self.points[:, axis].astype(np.float32)
        return (values - values.min()) / max(float(np.ptp(values)), 1.0)

    def levels(self, lesion: Lesion, fields: NoiseTiles) -> tuple[Slices, FloatArray]:
        """The part of the coarse grid that a lesion can reach, and the depth of its points in the lesion, mm."""
        box = reach_box(lesion.shape, self.origin, self.step, self.labels.shape)
        axes: Axes = tuple(axis[part] for axis, part in zip(self.axes, box, strict=True))  # type: ignore[assignment]
        depth = signed_depth(lesion.shape, Place(axes, self.depth[box], fields))
        return box, np.where(lesion.allowed[self.labels[box]], depth, np.float32(_NOWHERE_MM))


def side_table(labels: Labels) -> Labels:
    """Which lung each label value belongs to, ``[256]``; labels 1 and 2 alone are lungs."""
    table = np.arange(256, dtype=np.uint8)
    if labels.max(initial=0) > 2:
        for lobe in LOBES:
            table[lobe.label] = SIDE_VALUE[lobe.side]
    return table


class _LesionDraw:
    """Draws the lesions of one patient.

    Args:
        lungs: the lungs.
        sides: lung of each label.
        rng: random generator.
        style: how the disease is spread; None draws one of ``STYLES``.
    """

    def __init__(self, lungs: Lungs, sides: Labels, rng: np.random.Generator, style: Style | None) -> None:
        self._lungs, self._sides, self._rng = lungs, sides, rng
        shares = np.array([style.share for style in STYLES])
        self.style = style or STYLES[int(rng.choice(len(STYLES), p=shares / shares.sum()))]
        # Each patient has a phase: some are all ground glass, some mostly consolidated.
        leaning = rng.gamma(0.9, 1.0, len(KINDS)) + 0.05
        kinds = leaning * [kind.share for kind in KINDS]
        self._kind_shares = kinds / kinds.sum()
        present = np.unique(lungs.labels[lungs.labels > 0])
        ill = present
        if 0 < self.style.lobes < len(present):
            ill = rng.choice(present, self.style.lobes, replace=False)
        self._chance = self._weights(ill)

    def _weights(self, ill: Labels) -> FloatArray:
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
        centre = (self._lungs.origin + (index + rng.uniform(-0.5, 0.5, 3)) * self._lungs.step).astype(np.float32)
        radius = float(np.clip(rng.lognormal(np.log(self.style.radius * kind.size * growth), 0.45), 4.0, 75.0))
        shape = draw_shape(rng, str(rng.choice(kind.shapes)), centre, radius)
        # Half of the lesions stop at the fissure; none crosses to the other lung.
        bounded = rng.random() < 0.5
        allowed = np.arange(256) == label if bounded else self._sides == self._sides[label]
        allowed[0] = False
        return Lesion(shape, draw_density(rng, kind, centre, radius, shape.shift), allowed)


def draw_lesions(
    lungs: Lungs,
    sides: Labels,
    fields: NoiseTiles,
    rng: np.random.Generator,
    share: float,
    style: Style | None = None,
) -> tuple[list[Lesion], float]:
    """Lesions that cover a share of the lungs, and by how many mm all must grow to do so exactly.

    Args:
        lungs: the lungs.
        sides: of :func:`side_table`.
        fields: noise.
        rng: random generator.
        share: wanted, 0..1.
        style: how the disease is spread; drawn if None.
    """
    draw = _LesionDraw(lungs, sides, rng, style)
    level = np.full(lungs.labels.shape, _NOWHERE_MM, np.float32)
    growth = (0.55 + 1.6 * share**0.5) * float(np.exp(rng.normal(0, 0.2)))
    lesions: list[Lesion] = []
    inside = lungs.labels > 0
    wanted = max(share * len(lungs.points), 1.0)
    while len(lesions) < _MOST_LESIONS and (level[inside] > 0).sum() < wanted:
        lesion = draw.lesion(growth * (1 + len(lesions) / 40))
        box, depth = lungs.levels(lesion, fields)
        level[box] = np.maximum(level[box], depth)
        lesions.append(lesion)
    middle = float(np.quantile(level[inside], 1 - share))
    return lesions, float(np.clip(-middle, -30.0, 3.0))
