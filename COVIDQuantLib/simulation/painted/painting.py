"""Chests of real shape painted into CTs: training CTs whose lobes are exact because the CT is made from them.

:func:`draw_subject` deforms real lungs at random and draws fissures through them; :func:`paint_chest` paints a CT
around any lobes: parenchyma, vessels that keep to their lobe, bronchi, faint fissures with gaps, chest
wall, mediastinum, abdomen, and what the scanner adds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.special import ndtri

from COVIDQuantLib.anatomy import FISSURES, HORIZONTAL
from COVIDQuantLib.simulation.anatomy.tissue_hu import AIR_HU, AIRWAY_HU, AIRWAY_WALL_HU
from COVIDQuantLib.simulation.anatomy.tubes import Tubes, layer_share, tube_layer
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.fields.gaussian_noise import gaussian_noise
from COVIDQuantLib.simulation.fields.interpolation import enlarge, linear_weights
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.shapes import cover, paint, smooth_step
from COVIDQuantLib.simulation.painted.aorta import Aorta
from COVIDQuantLib.simulation.painted.chest_wall import (
    ChestFields,
    Habitus,
    LungExtent,
    SectionFields,
    chest_fields,
    paint_section,
)
from COVIDQuantLib.simulation.painted.drawn_lobes import draw_lobes
from COVIDQuantLib.simulation.painted.lung_shapes import Margins, draw_lungs
from COVIDQuantLib.simulation.painted.trees import grow_trees
from COVIDQuantLib.simulation.painted.whole_body import Person, draw_build
from COVIDQuantLib.simulation.phantom_settings import KERNELS
from COVIDQuantLib.simulation.scanner.reconstruction import Scanner, section_noise
from COVIDQuantLib.voxels.geometry import Triple
from COVIDQuantLib.voxels.interpolation import neighbours

_ATTEMPTS = 20
_FISSURE_HU = 10.0
_FISSURE_SIGMA = 1.3
# Readers annotate only visible fissures, so a smaller share is made invisible.
_SEEN_MISSING = 0.4


@dataclass(frozen=True)
class Look:
    """Appearance of a chest; None is drawn at random.

    Attributes:
        kernel: of :data:`COVIDQuantLib.simulation.phantom_settings.KERNELS`.
        noise_hu: standard deviation of the noise; 0 without.
        contrast: whether contrast medium was given.
        visibility: of the fissures, 0..1.
        scan: whether the scanner's blur and noise are added.
    """

    kernel: str | None = None
    noise_hu: float | None = None
    contrast: bool | None = None
    visibility: float | None = None
    scan: bool = True


@dataclass(frozen=True)
class Structures:
    """Real structures to paint instead of drawn ones, None to draw.

    But for the aorta, bool masks, or the share (0..1, float32) of each voxel that they fill, ``[k, j, i]`` on the
    lobes' grid.

    Attributes:
        vessels: within the lungs.
        airways: lumen, with the trachea.
        fissures: thin sheets.
        nodules: solid nodules.
        aorta: its course.
    """

    vessels: np.ndarray | None = None
    airways: np.ndarray | None = None
    fissures: np.ndarray | None = None
    nodules: np.ndarray | None = None
    aorta: Aorta | None = None


def draw_subject(rng: np.random.Generator, data: Path, spacing: Triple) -> np.ndarray:
    """Lobes of a new patient with real-shaped lungs on a grid with room for the chest wall.

    Args:
        rng: random generator.
        data: folder with ``cip_lobe_atlas`` and ``cip_ct64_lungs_L1_R2.nrrd``.
        spacing: of the grid, millimetres along k, j, i.

    Returns:
        uint8 ``[k, j, i]``, label values of :mod:`COVIDQuantLib.anatomy`.

    Raises:
        RuntimeError: the data cannot be read, or no draw gave five believable lobes.
    """
    for _ in range(_ATTEMPTS):
        side, depth, above, below = (float(v) for v in rng.uniform((28, 26, 6, 6), (52, 48, 40, 60)))
        margins = Margins(side, side, depth, depth, above, below)
        lungs, geometry = draw_lungs(rng, data, spacing, margins)
        lobes = draw_lobes(rng, lungs, geometry, data)
        if lobes is not None:
            return lobes
    raise RuntimeError(f"no believable lobes in {_ATTEMPTS} draws")


def paint_chest(
    lobes: np.ndarray,
    spacing: Triple,
    rng: np.random.Generator,
    given: Structures | None = None,
    look: Look | None = None,
) -> FloatArray:
    """A CT of a chest that has these lobes.

    Args:
        lobes: uint8 ``[k, j, i]``, label values 1 to 5, all present.
        spacing: millimetres along k, j, i; j and i alike.
        rng: random generator.
        given: real structures.
        look: its appearance.

    Returns:
        float32 CT numbers ``[k, j, i]``.
    """
    given, look = given or Structures(), look or Look()
    contrast = _contrast(rng, look)
    body = Habitus.draw(rng, contrast=contrast)
    blood = float(rng.uniform(120, 320)) if contrast else body.soft_hu
    return _painted(lobes, np.array(spacing), rng, given, look, body, blood, whole=False)[0]


def paint_person(
    lobes: np.ndarray,
    spacing: Triple,
    rng: np.random.Generator,
    look: Look | None = None,
    aorta: Aorta | None = None,
) -> tuple[FloatArray, np.ndarray]:
    """A CT of a whole person of any build that has these lobes, with arms, table, cloth and other surroundings.

    Args:
        lobes: uint8 ``[k, j, i]``, label values 1 to 5, all present.
        spacing: millimetres along k, j, i; j and i alike.
        rng: random generator.
        look: its appearance.
        aorta: its course, where these lobes leave room for it; None to draw a usual one.

    Returns:
        float32 CT numbers, and whether a voxel is the patient, both ``[k, j, i]``.
    """
    look = look or Look()
    contrast = _contrast(rng, look)
    body = draw_build(rng, contrast=contrast)
    blood = float(rng.uniform(110, 420)) if contrast else body.soft_hu
    hu, patient = _painted(lobes, np.array(spacing), rng, Structures(aorta=aorta), look, body, blood, whole=True)
    return hu, patient | (lobes > 0)


def _contrast(rng: np.random.Generator, look: Look) -> bool:
    return bool(rng.random() < 0.25) if look.contrast is None else look.contrast


def _painted(
    lobes: np.ndarray,
    step: FloatArray,
    rng: np.random.Generator,
    given: Structures,
    look: Look,
    body: Habitus,
    blood: float,
    *,
    whole: bool,
) -> tuple[FloatArray, np.ndarray]:
    """The CT, and where a whole person is."""
    frame = LungExtent.of(lobes, step)
    around = chest_fields(rng, lobes, step, frame)
    person = Person.draw(rng, lobes.shape, around, frame, body, blood, given.aorta) if whole else None
    chest = _Sections(around, lobes.shape)
    grid = _grid(lobes.shape, step)
    mm = grid.pixel_mm
    layers = _Layers.of(rng, lobes, grid, frame, given, None if person is None else person.aorta)
    lung = _parenchyma(rng, lobes, step)
    share = _lung_share(lobes)
    sheets = _fissure_share(rng, lobes, step, given, look)
    hu = np.full(lobes.shape, AIR_HU, np.float32)
    for k in range(len(lobes)):
        section, fields_here = hu[k], chest.at(k)
        wall = paint_section(section, fields_here, body, mm, 0.0 if person is None else person.wider(fields_here))
        if person is not None:
            person.paint(section, fields_here, wall, k, mm)
        paint(section, blood, layers.part("great", k))
        paint(section, AIRWAY_WALL_HU + 60, layers.part("trachea_wall", k))
        inside = lung[k]
        paint(inside, _FISSURE_HU, sheets[k])
        paint(inside, AIRWAY_WALL_HU, layers.part("walls", k))
        paint(inside, blood, layers.part("vessels", k))
        paint(section, inside, share[k])
        paint(section, AIRWAY_HU, layers.part("air", k))
        if person is not None:
            person.finish(section, fields_here, mm)
    hu = scan(hu, grid, rng, look) if look.scan else hu
    return hu, np.zeros(0, bool) if person is None else person.body


def scan(hu: FloatArray, grid: Grid, rng: np.random.Generator, look: Look) -> FloatArray:
    """The scanner's effect: blur of a kernel and noise."""
    kernel = look.kernel or str(rng.choice(KERNELS))
    noise = look.noise_hu
    if noise is None:
        noise = section_noise(rng, kernel, float(grid.z[1] - grid.z[0])) * rng.uniform(0.4, 1.6)
    scanner = Scanner(grid, kernel, noise, int(rng.integers(1 << 31)))
    return np.stack([scanner.section(section, k) for k, section in enumerate(hu)]).astype(np.float32)


def _grid(shape: tuple[int, ...], step: FloatArray) -> Grid:
    z, y, x = (np.arange(n, dtype=np.float32) * np.float32(mm) for n, mm in zip(shape, step, strict=True))
    return Grid(x, y, z, float(step[2]), float(step[0]), 1)


class _Sections:
    """Fields on the coarse lattice, interpolated to the grid one section at a time."""

    def __init__(self, coarse: ChestFields, shape: tuple[int, ...]) -> None:
        self._fields = {field.name: getattr(coarse, field.name) for field in fields(coarse)}
        counts = coarse.gap.shape
        self._up = neighbours(np.linspace(0, counts[0] - 1, shape[0]), counts[0])
        self._rows, self._columns = (linear_weights(c, n) for c, n in zip(counts[1:], shape[1:], strict=True))

    def at(self, k: int) -> SectionFields:
        """Every field of one section, float32 ``[j, i]``."""
        low, high, share = (values[k] for values in self._up)
        part = np.float32(share)
        return {
            name: self._rows @ ((1 - part) * field[low] + part * field[high]) @ self._columns.T
            for name, field in self._fields.items()
        }


@dataclass(frozen=True)
class _Layers:
    """Share (0..255) of every voxel that each kind of tube fills."""

    great: np.ndarray
    trachea_wall: np.ndarray
    walls: np.ndarray
    vessels: np.ndarray
    air: np.ndarray

    def part(self, name: str, k: int) -> FloatArray:
        """One section of a layer as shares 0..1."""
        return layer_share(getattr(self, name)[k])

    @classmethod
    def of(
        cls,
        rng: np.random.Generator,
        lobes: np.ndarray,
        grid: Grid,
        frame: LungExtent,
        given: Structures,
        aorta: Aorta | None = None,
    ) -> _Layers:
        """Grown trees, or the given structures in their stead."""
        trees = grow_trees(rng, lobes, np.array([grid.z[1] - grid.z[0], grid.pixel_mm, grid.pixel_mm]), frame, aorta)
        great = tube_layer(grid, trees.great)
        vessels = tube_layer(grid, trees.vessels) if given.vessels is None else _soft(given.vessels)
        if given.nodules is not None:
            vessels = np.maximum(vessels, _soft(given.nodules))
        if given.airways is not None:
            inside = given.airways > (0.3 if given.airways.dtype != bool else 0)
            wall = _soft(ndimage.binary_dilation(inside, iterations=max(1, round(1.0 / grid.pixel_mm))))
            return cls(great, wall, wall, vessels, _soft(given.airways))
        return cls(
            great,
            tube_layer(grid, trees.trachea.walled()),
            tube_layer(grid, trees.airways.walled()),
            vessels,
            tube_layer(grid, Tubes.joined([trees.trachea, trees.airways])),
        )


def _soft(mask: np.ndarray) -> np.ndarray:
    """A mask with softened edges, or shares as they are, 0..255."""
    if mask.dtype != bool:
        return (255 * mask).astype(np.uint8)
    return (255 * ndimage.gaussian_filter(mask.astype(np.float32), 0.5, truncate=3)).astype(np.uint8)


def _lung_share(lobes: np.ndarray) -> FloatArray:
    """Share of each voxel that is lung, with the label map's voxel steps smoothed."""
    soft = ndimage.gaussian_filter((lobes > 0).astype(np.float32), 0.9, truncate=3)
    return smooth_step(soft, 0.2, 0.8)


def _parenchyma(rng: np.random.Generator, lobes: np.ndarray, step: FloatArray) -> FloatArray:
    """CT numbers of the lungs' tissue: denser towards the back, with texture of several grains."""
    base, gravity = rng.uniform(-905, -800), rng.uniform(10, 95)
    y = np.arange(lobes.shape[1]) * step[1]
    rows = np.flatnonzero((lobes > 0).any(axis=(0, 2))) * step[1]
    depth = smooth_step(y, rows[0], rows[-1]) ** rng.uniform(0.8, 2.0)
    lung = np.broadcast_to((base + gravity * depth)[None, :, None], lobes.shape).astype(np.float32)
    for grain, most in ((2.5, 22.0), (7.0, 16.0), (28.0, 18.0)):
        size = tuple(np.maximum(np.ceil(np.array(lobes.shape) * step / max(grain / 2, step.min())), 4).astype(int))
        field = gaussian_noise(rng, size, np.array(lobes.shape) * step / size, grain)
        if size != lobes.shape:
            field = enlarge(field, lobes.shape)
        lung += rng.uniform(0.3, 1.0) * most * field
    shifts = np.concatenate([[0.0], rng.normal(0, 8, 5)]).astype(np.float32)
    return lung + shifts[lobes]


def _fissure_share(
    rng: np.random.Generator, lobes: np.ndarray, step: FloatArray, given: Structures, look: Look
) -> FloatArray:
    """How much of each voxel the visible parts of the fissures fill."""
    share = np.zeros(lobes.shape, np.float32)
    for fissure in FISSURES:
        visible = rng.uniform(0.15, 1.0) if look.visibility is None else look.visibility
        missing = rng.uniform(0.1, 0.7) if fissure.kind == HORIZONTAL else rng.uniform(0.0, 0.5)
        if given.fissures is not None:
            missing *= _SEEN_MISSING
        thickness = rng.uniform(0.7, 1.5)
        box = ndimage.find_objects(np.isin(lobes, (*fissure.above, *fissure.below)).astype(np.uint8))[0]
        part = lobes[box]
        distance = _border_distance(np.isin(part, fissure.above), np.isin(part, fissure.below), step)
        if given.fissures is not None:
            # Real fissures are painted where they were annotated; the rest of the border stays invisible.
            sheet = _soft(given.fissures[box]) / np.float32(255) * (np.abs(distance) < 8)
        else:
            sheet = cover(0.5 * thickness - np.abs(distance), float(step[2]))
        there = _zoomed_field(rng, part.shape, step, 30.0)
        level = np.quantile(there, missing)
        sheet = sheet * visible * smooth_step(there, level - 0.15, level + 0.15)
        share[box] = np.maximum(share[box], sheet)
    return share


def _zoomed_field(rng: np.random.Generator, shape: tuple[int, ...], step: FloatArray, grain: float) -> FloatArray:
    size = tuple(np.maximum(np.ceil(np.array(shape) * step / 6.0), 4).astype(int))
    return enlarge(gaussian_noise(rng, size, np.array(shape) * step / size, grain), shape)


def _border_distance(above: np.ndarray, below: np.ndarray, step: FloatArray) -> FloatArray:
    """Millimetres from the border between two groups of lobes, positive above; smooth although labels are voxels.

    Blurring a half space by a Gaussian gives the normal distribution of the distance, whose inverse is applied.
    """
    sigma_mm = _FISSURE_SIGMA * float(step.max())
    sigma = sigma_mm / step
    own = ndimage.gaussian_filter(above.astype(np.float32), sigma, truncate=3)
    other = ndimage.gaussian_filter(below.astype(np.float32), sigma, truncate=3)
    part = own / np.maximum(own + other, 1e-3)
    distance = np.full(above.shape, 99.0, np.float32)
    near = (part > 0.02) & (part < 0.98) & (own + other > 0.05)
    distance[near] = sigma_mm * ndtri(part[near])
    return distance
