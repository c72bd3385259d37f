"""Mimics of pneumonia: changes of healthy lung that leave the lesion mask as it is.

Each is applied at random to a CT before (or without) lesions, so that a network is trained on the usual causes of
false positives with a negative truth: motion of heart and diaphragm (the cause that the Changsha paper names, row C5 of
``docs/papers.md``), vessels at the base (row Y3), dependent density, expiration, thick sections, emphysema,
contrast medium, thin plates and strands, plain fissures, mosaic attenuation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES, LOWER_LOBE
from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN
from COVIDQuantLib.segmentation.lungs.sides import sides_of_lobes
from COVIDQuantLib.simulation.fields.arrays import Axes, FloatArray
from COVIDQuantLib.simulation.fields.shapes import smooth_step
from COVIDQuantLib.simulation.fields.tiled_noise import NoiseTiles

_MARGIN = 4
_LOWER_LOBES = [lobe.label for lobe in LOBES if lobe.terminology.type == LOWER_LOBE]
# How deep dependent density reaches; how often it reaches deep, and how often it differs between stacks of sections.
_SHALLOW_MM, _DEEP_MM, _DEEP = (5.0, 30.0), (30.0, 70.0), 0.35
# The most that shallow and deep dependent density adds.
_MOST_HU = (250.0, 300.0)


@dataclass(frozen=True)
class Scene:
    """The lungs' box of a CT.

    Attributes:
        hu: CT numbers, ``[k, j, i]``.
        labels: lobes or lungs.
        spacing: mm along k, j, i.
        fields: noise.
        axes: positions along z, y, x in mm.
        inside: whether it is lung.
    """

    hu: FloatArray
    labels: npt.NDArray[np.uint8]
    spacing: FloatArray
    fields: NoiseTiles
    axes: Axes = field(init=False, repr=False)
    inside: npt.NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute the derived attributes."""
        axes = tuple((np.arange(n) * s).astype(np.float32) for n, s in zip(self.hu.shape, self.spacing, strict=True))
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "inside", self.labels > 0)

    @property
    def has_lobes(self) -> bool:
        """Whether the labels are lobes; otherwise right and left lung at most."""
        return bool(self.labels.max(initial=0) > 2)

    def air(self) -> FloatArray:
        """1 in aerated lung, 0 in vessels, walls and outside."""
        return smooth_step((-400 - self.hu) / 300) * self.inside

    def height(self) -> FloatArray:
        """0 at the base, 1 at the apex, ``[z, 1, 1]``."""
        return np.linspace(0, 1, self.hu.shape[0], dtype=np.float32)[:, None, None]


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _dependent(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """Dependent density at the dorsal surface, without a sharp border; one patient in twelve is prone.

    In some it reaches deep, is mottled, differs from one stack of sections to the next as the patient breathes, or is
    less outside the lower lobes.
    """
    prone = rng.random() < 1 / 12
    away = _above_the_surface(scene, prone=prone)
    wave = scene.fields.rough.at(scene.axes, float(rng.uniform(40, 90)), float(rng.uniform(0, 40)))
    deep = rng.random() < _DEEP
    reach = float(rng.uniform(*(_DEEP_MM if deep else _SHALLOW_MM))) * (1 + 0.3 * wave)
    layer = np.maximum(1 - away / np.maximum(reach, 2), 0) ** float(rng.uniform(0.8, 2))
    if deep:
        mottle = scene.fields.rough.at(scene.axes, float(rng.uniform(6, 16)), float(rng.uniform(0, 40)))
        layer = layer * np.clip(1 + float(rng.uniform(0, 0.3)) * mottle, 0.3, 1.7)
    if rng.random() < _DEEP:
        layer = layer * _stacks(scene, rng)
    if rng.random() < 0.5 and scene.has_lobes:
        layer = layer * np.where(np.isin(scene.labels, _LOWER_LOBES), np.float32(1), np.float32(rng.uniform(0.3, 1)))
    lower = 1 - float(rng.uniform(0, 0.9)) * scene.height()
    slope = float(rng.uniform(0, 60)) * np.exp(-away / 70)
    most = float(rng.uniform(80, _MOST_HU[deep]))
    return scene.hu + scene.air() * (most * layer * lower + slope)


def _above_the_surface(scene: Scene, *, prone: bool) -> FloatArray:
    """Distance from the surface of the lungs that lies below, mm, ``[k, j, i]``."""
    inside = scene.inside[:, ::-1] if not prone else scene.inside
    first = np.where(inside.any(axis=1), inside.argmax(axis=1), 0).astype(np.float32)
    # The costal surface is smooth; a column that starts at the heart follows its neighbours.
    first = ndimage.minimum_filter(first, (1, max(1, round(20 / float(scene.spacing[2])))))
    first = ndimage.gaussian_filter(first, 6 / scene.spacing[[0, 2]])[:, None, :]
    steps = np.arange(scene.hu.shape[1], dtype=np.float32)[None, :, None]
    away: FloatArray = np.maximum((steps if prone else steps[:, ::-1]) - first, 0) * scene.spacing[1]
    return away


def _stacks(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """A factor for each stack of sections, 0.3 to 1.3, ``[k, 1, 1]``."""
    number = (scene.axes[0] / float(rng.uniform(8, 30)) + float(rng.uniform(0, 1))).astype(int)
    factors = rng.uniform(0.3, 1.3, number.max(initial=0) + 1).astype(np.float32)
    return factors[number][:, None, None]


def _expiration(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """Less air everywhere: −860 HU become −780 to −680."""
    added = float(rng.uniform(60, 180)) * (1 + 0.5 * (0.5 - scene.height()))
    return scene.hu + scene.air() * added


def _shifted(hu: FloatArray, steps: npt.ArrayLike) -> FloatArray:
    shifted: FloatArray = ndimage.shift(hu, steps, order=1, mode="nearest", prefilter=False)
    return shifted


def _breathing(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """The diaphragm and the vessels above it at two or more heights at once, in bands along the table."""
    way = float(rng.uniform(4, 22))
    times = int(rng.integers(1, 4))
    moved = [
        _shifted(scene.hu, (_sign(rng) * way * n / times / float(scene.spacing[0]), 0, 0)) for n in range(1, times + 1)
    ]
    blurred = np.mean(moved, axis=0, dtype=np.float32)
    z = scene.axes[0][:, None, None]
    bands = 0.6 + 0.4 * np.cos(2 * np.pi * z / float(rng.uniform(20, 60)) + float(rng.uniform(0, 6.3)))
    near = smooth_step((float(rng.uniform(0.25, 0.7)) - scene.height()) / 0.2)
    return scene.hu + (float(rng.uniform(0.3, 0.75)) * bands * near).astype(np.float32) * (blurred - scene.hu)


def _heartbeat(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """The heart's border and the vessels beside it doubled or smeared across the section."""
    angle, way = rng.uniform(0, 2 * np.pi), float(rng.uniform(2.5, 8))
    step = np.array([0, np.sin(angle), np.cos(angle)]) * way / scene.spacing
    moved = _shifted(scene.hu, step)
    if rng.random() < 0.4:
        moved = 0.5 * (moved + _shifted(scene.hu, step / 2))
    shape = scene.hu.shape
    # The heart is in the lower half, in front and left of the middle (LPS: the left is at the greater index).
    middle = np.array([0.3, 0.4, 0.58]) + rng.normal(0, 0.05, 3)
    rays = [
        (np.linspace(0, 1, n, dtype=np.float32) - m) / w
        for n, m, w in zip(shape, middle, (0.32, 0.3, 0.27), strict=True)
    ]
    far = np.sqrt(rays[0][:, None, None] ** 2 + rays[1][None, :, None] ** 2 + rays[2][None, None, :] ** 2)
    z = scene.axes[0][:, None, None]
    beats = 0.55 + 0.45 * np.cos(2 * np.pi * z / float(rng.uniform(10, 35)) + float(rng.uniform(0, 6.3)))
    weight = float(rng.uniform(0.3, 0.7)) * smooth_step((1.4 - far) / 0.5) * beats
    return scene.hu + weight.astype(np.float32) * (moved - scene.hu)


def _partial_volume(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """The dome of the diaphragm averaged with the lung above it."""
    size = max(2, round(float(rng.uniform(4, 22)) / float(scene.spacing[0])))
    averaged = ndimage.uniform_filter1d(scene.hu, size, axis=0, mode="nearest")
    near = smooth_step((float(rng.uniform(0.2, 0.6)) - scene.height()) / 0.15)
    return scene.hu + near * (averaged - scene.hu)


def _emphysema(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """Holes of −950 to −1000 HU, mostly above; round or bounded by thin walls."""
    wave, shift = float(rng.uniform(5, 18)), float(rng.uniform(0, 40))
    if rng.random() < 0.5:
        holes = smooth_step(scene.fields.smooth.at(scene.axes, wave, shift) - float(rng.uniform(0, 1)))
    else:
        walls = scene.fields.cells.at(scene.axes, wave, shift)
        region = scene.fields.rough.at(scene.axes, 50.0, shift + 3)
        holes = smooth_step(walls / 0.15) * smooth_step(region - float(rng.uniform(0, 0.8)))
    above = 1 - float(rng.uniform(0, 0.9)) * (1 - scene.height())
    depth = float(rng.uniform(0.4, 1)) * (float(rng.uniform(-1000, -955)) - scene.hu)
    return scene.hu + scene.air() * holes * above * np.minimum(depth, 0)


def _contrast(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """Vessels full of contrast medium."""
    return scene.hu + float(rng.uniform(60, 260)) * smooth_step((scene.hu + 350) / 350) * scene.inside


def _congestion(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """Wider vessels."""
    # Round vessels stay round: a disc, not a square.
    disc = ndimage.generate_binary_structure(2, 1)[None]
    wide = ndimage.gaussian_filter(ndimage.maximum_filter(scene.hu, footprint=disc), (0, 0.5, 0.5))
    vessel = smooth_step((wide + 600) / 300) * scene.inside
    return scene.hu + float(rng.uniform(0.2, 0.7)) * vessel * np.maximum(wide - scene.hu, 0)


def _plates(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """Thin bent plates and strands, under 3 mm: atelectasis and scars, too thin to be annotated as pneumonia."""
    points = np.argwhere(scene.inside & (scene.height() < 0.6))
    hu = scene.hu
    if not len(points):
        return hu
    for _ in range(int(rng.integers(1, 5))):
        centre = points[rng.integers(len(points))] * scene.spacing
        normal = rng.standard_normal(3) * (1.0, 1.0, 0.6)
        normal /= np.linalg.norm(normal)
        radius = float(rng.uniform(10, 45))
        low = np.maximum((centre - radius) / scene.spacing, 0).astype(int)
        high = ((centre + radius) / scene.spacing).astype(int) + 1
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        axes: Axes = tuple(axis[part] for axis, part in zip(scene.axes, box, strict=True))  # type: ignore[assignment]
        z, y, x = np.meshgrid(*(a - c for a, c in zip(axes, centre, strict=True)), indexing="ij", sparse=True)
        bend = scene.fields.smooth.at(axes, 40.0, float(rng.uniform(0, 40)))
        off = np.abs(normal[0] * z + normal[1] * y + normal[2] * x + 1.5 * bend)
        ball = smooth_step((1 - np.sqrt(z**2 + y**2 + x**2) / radius) / 0.2)
        # A plate thinner than a voxel shows by the share of the voxel that it fills.
        voxel = float(np.abs(normal) @ scene.spacing)
        thin = float(rng.uniform(0.6, 2.8))
        share = np.clip((thin / 2 + voxel / 2 - off) / voxel, 0, min(1.0, thin / voxel)) * ball
        hu = hu.copy() if hu is scene.hu else hu
        rise = float(rng.uniform(0.4, 1)) * np.maximum(0 - hu[box], 0)
        hu[box] += (share * rise * scene.inside[box]).astype(np.float32)
    return hu


def _fissures(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """More visible fissures; no change where only the lungs are known."""
    labels = scene.labels
    if not scene.has_lobes:
        return scene.hu
    sides = sides_of_lobes(labels)
    border = np.zeros(labels.shape, np.float32)
    for axis in range(3):
        after = [slice(None)] * 3
        before = [slice(None)] * 3
        after[axis], before[axis] = slice(1, None), slice(None, -1)
        a, b = labels[tuple(after)], labels[tuple(before)]
        meets = (a != b) & (sides[tuple(after)] == sides[tuple(before)]) & (a > 0) & (b > 0)
        border[tuple(before)][meets] = 1
    line = ndimage.gaussian_filter(border, float(rng.uniform(0.4, 1.3)) / scene.spacing)
    line /= max(float(line.max()), 1e-3)
    return scene.hu + scene.air() * line * float(rng.uniform(50, 300))


def _mosaic(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """Large fields a little lighter or darker, smooth or bounded like lobules."""
    noise = scene.fields.rough.at(scene.axes, float(rng.uniform(25, 90)), float(rng.uniform(0, 40)))
    if rng.random() < 0.5:
        noise = 2 * smooth_step(0.5 + 2 * noise) - 1
    return scene.hu + scene.air() * np.clip(noise, -1.5, 1.5) * float(rng.uniform(8, 40))


@dataclass(frozen=True)
class Negative:
    """A change that leaves the lesion mask as it is.

    Attributes:
        name: its name.
        probability: how often it is applied.
        function: takes the scene and the random generator and returns the changed CT numbers.
    """

    name: str
    probability: float
    function: Callable[[Scene, np.random.Generator], FloatArray]


# In the order of application: the tissue first, then how the scan blurs it.
NEGATIVES = (
    Negative("emphysema", 0.15, _emphysema),
    Negative("expiration", 0.25, _expiration),
    Negative("mosaic attenuation", 0.25, _mosaic),
    Negative("dependent density", 0.5, _dependent),
    Negative("plates", 0.2, _plates),
    Negative("fissures", 0.25, _fissures),
    Negative("contrast medium", 0.25, _contrast),
    Negative("congestion", 0.2, _congestion),
    Negative("breathing", 0.25, _breathing),
    Negative("heartbeat", 0.25, _heartbeat),
    Negative("partial volume", 0.15, _partial_volume),
)


def add_negatives(
    hu: npt.NDArray[np.generic],
    lobes: npt.NDArray[np.uint8],
    spacing_kji: npt.ArrayLike,
    rng: np.random.Generator,
    names: Collection[str] | None = None,
) -> tuple[FloatArray, list[str]]:
    """Adds mimics of pneumonia to a CT. The labels of lungs and lesions stay valid.

    Args:
        hu: CT numbers, ``[k, j, i]``, canonical (k to the head, j to the back).
        lobes: label values 1..5 of the lobes, or 1 and 2 of the lungs; 0 outside.
        spacing_kji: mm.
        rng: random generator.
        names: exactly these changes; by default each with its probability.

    Returns:
        The changed CT (float32, within −1024..3071) and the names of what was done.
    """
    image = np.clip(np.asarray(hu, np.float32), HU_MIN, HU_MAX)
    found = ndimage.find_objects((lobes > 0).astype(np.uint8))
    if not found:
        return image, []
    box = tuple(slice(max(part.start - _MARGIN, 0), part.stop + _MARGIN) for part in found[0])
    scene = Scene(image[box], lobes[box], np.asarray(spacing_kji, np.float32), NoiseTiles(rng))
    done = []
    for negative in NEGATIVES:
        drawn = rng.random() < negative.probability
        if drawn if names is None else negative.name in names:
            scene = replace(scene, hu=np.asarray(negative.function(scene, rng), np.float32))
            done.append(negative.name)
    image[box] = np.clip(scene.hu, HU_MIN, HU_MAX)
    return image, done
