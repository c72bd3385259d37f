"""Rendering: one patient's shapes and tubes into fine sections with their truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.simulation.anatomy.body import AIR_HU, Body
from COVIDQuantLib.simulation.anatomy.lobes import Lobes
from COVIDQuantLib.simulation.anatomy.surroundings import Surroundings
from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.anatomy.trees import Tubes
from COVIDQuantLib.simulation.anatomy.tubes import draw_tubes
from COVIDQuantLib.simulation.anatomy.vessels import Vasculature
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray, GrainField, cover, paint, smooth_step
from COVIDQuantLib.simulation.lesions.phantom_lesions import Pneumonia

_CUFF_MM, _CUFF_LEVEL = 1.8, 0.2
_BLOOD_HU, _AIRWAY_HU, _WALL_HU, _FISSURE_HU = 42.0, -985.0, -60.0, 20.0


@dataclass
class Anatomy:
    """All shapes of one patient.

    Attributes:
        thorax: cavity, diaphragm, mediastinum, lungs.
        lobes: fissures.
        body: chest wall, bones, abdomen, table.
        vasculature: all tubes.
        pneumonia: the lesions.
        textures: random fields of the parenchyma, fine to coarse.
        surroundings: what is around the body, None for nothing but its table.
    """

    thorax: Thorax
    lobes: Lobes
    body: Body
    vasculature: Vasculature
    pneumonia: Pneumonia
    textures: tuple[GrainField, GrainField, GrainField]
    surroundings: Surroundings | None = None


@dataclass
class _Layers:
    """Share (0..255) of every fine voxel filled by each kind of tube."""

    soft: np.ndarray
    vessels: np.ndarray
    walls: np.ndarray
    air: np.ndarray


def render(anatomy: Anatomy, grid: Grid, report: Report = silent) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fine sections at rest, without blur and noise.

    Args:
        anatomy: the patient.
        grid: the grid.
        report: told the fraction done.

    Returns:
        int16 CT numbers, uint8 lobe labels, bool lesions, each ``[k, j, i]`` on the fine grid.
    """
    layers = _draw_layers(anatomy.vasculature, grid, part(report, 0.0, 0.3))
    hu = np.empty(grid.shape, np.int16)
    lobes = np.zeros(grid.shape, np.uint8)
    lesions = np.zeros(grid.shape, bool)
    for k in range(len(grid.z)):
        report(0.3 + 0.7 * k / len(grid.z))
        section, lobes[k], lesions[k] = _section(anatomy, grid, layers, k)
        hu[k] = np.rint(np.clip(section, -1024, 3071))
    return hu, lobes, lesions


def _draw_layers(tubes: Vasculature, grid: Grid, report: Report) -> _Layers:
    layers = _Layers(*(np.zeros(grid.shape, np.uint8) for _ in range(4)))
    draw_tubes(layers.soft, grid, tubes.outside, part(report, 0.0, 0.2))
    draw_tubes(layers.vessels, grid, tubes.vessels, part(report, 0.2, 0.8))
    draw_tubes(layers.walls, grid, tubes.walled(tubes.airways), part(report, 0.8, 0.9))
    draw_tubes(layers.air, grid, Tubes.joined([tubes.trachea, tubes.gas, tubes.airways]), part(report, 0.9, 1.0))
    return layers


def _share(layer: np.ndarray) -> FloatArray:
    return layer.astype(np.float32) * np.float32(1 / 255)


def _section(anatomy: Anatomy, grid: Grid, layers: _Layers, k: int) -> tuple[FloatArray, np.ndarray, np.ndarray]:
    x, y = grid.section_axes
    z, pixel = float(grid.z[k]), grid.pixel_mm
    hu = np.full((len(grid.y), len(grid.x)), AIR_HU, np.float32)
    if anatomy.surroundings is not None:
        anatomy.surroundings.paint_behind(hu, x, y, z, pixel)
    anatomy.body.paint(hu, x, y, z, pixel)
    soft = _share(layers.soft[k])
    # Hilar and mediastinal vessels lie in a cuff of connective tissue.
    cuff = gaussian_filter(soft, _CUFF_MM / pixel, truncate=2.5)
    depth = anatomy.thorax.lungs(x, y, z)
    surface = np.minimum(depth, (_CUFF_LEVEL - cuff) * 6.0 * max(1.0, pixel))
    lesion = np.zeros(hu.shape, bool)
    labels = np.zeros(hu.shape, np.uint8)
    inside = surface > 0
    if inside.any():
        lung, lesion = _lung_section(anatomy, grid, layers, k, depth)
        paint(hu, lung, cover(surface, pixel))
        lesion = lesion & inside
        labels = np.where(inside, anatomy.lobes.labels(x, y, z), 0).astype(np.uint8)
    paint(hu, _BLOOD_HU, soft)
    paint(hu, _AIRWAY_HU, _share(layers.air[k]))
    if anatomy.surroundings is not None:
        anatomy.surroundings.paint_streaks(hu, inside, x, y, z, pixel)
    return hu, labels, lesion


def _lung_section(
    anatomy: Anatomy, grid: Grid, layers: _Layers, k: int, depth: FloatArray
) -> tuple[FloatArray, np.ndarray]:
    """CT numbers of lung and the lesion truth over a whole section; only where there is lung are they meant."""
    x, y = grid.section_axes
    z = float(grid.z[k])
    p = anatomy.thorax.patient
    fine, middle, coarse = (t.at(x, y, z) for t in anatomy.textures)
    lung = p.lung_hu + p.dependent_hu * smooth_step(y, -70, 110) ** 1.5 + 14 * fine + 9 * middle + 8 * coarse
    paint(lung, _FISSURE_HU, anatomy.lobes.visible(x, y, z, grid.pixel_mm))
    sick = anatomy.pneumonia.section(lung, x, y, z, depth)
    lesion = np.zeros(lung.shape, bool)
    if sick is not None:
        lung, lesion = sick
    paint(lung, _WALL_HU, _share(layers.walls[k]))
    paint(lung, _BLOOD_HU, _share(layers.vessels[k]))
    return lung, lesion
