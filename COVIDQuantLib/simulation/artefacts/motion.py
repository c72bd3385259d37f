"""Motion during the scan: doubled and blurred edges at the heart and the diaphragm that look like ground glass."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates

from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray, smooth_step

# Healthy lung raised by more than this reads as ground glass.
_ARTEFACT_HU = 100
_DEAD_MM = 0.3


@dataclass(frozen=True)
class Motion:
    """How heart and diaphragm moved.

    Attributes:
        heart_mm: way of the heart's border.
        heart_share: share of the time that the heart spends at the far end.
        beat_mm: table travel per heart beat.
        diaphragm_mm: way of the diaphragm.
        diaphragm_share: share of the time that it spends raised.
        breath_mm: table travel per breath.
        phase: where beat and breath begin, 0..1.
    """

    heart_mm: float
    heart_share: float
    beat_mm: float
    diaphragm_mm: float
    diaphragm_share: float
    breath_mm: float
    phase: float

    def as_record(self) -> dict[str, Any]:
        """The motion for ``truth.json``."""
        return asdict(self)


def draw_motion(rng: np.random.Generator) -> Motion:
    """Draw a motion that spoils an examination visibly."""
    return Motion(
        heart_mm=float(rng.uniform(3.5, 8)),
        heart_share=float(rng.uniform(0.35, 0.55)),
        beat_mm=float(rng.uniform(14, 30)),
        diaphragm_mm=float(rng.uniform(4, 12)),
        diaphragm_share=float(rng.uniform(0.3, 0.55)),
        breath_mm=float(rng.uniform(24, 60)),
        phase=float(rng.uniform(0, 1)),
    )


def move(hu: np.ndarray, grid: Grid, thorax: Thorax, motion: Motion, report: Report = silent) -> np.ndarray:
    """A volume as seen with motion.

    Args:
        hu: int16 ``[k, j, i]``, the fine sections at rest.
        grid: their grid.
        thorax: where heart and diaphragm are.
        motion: how they move.
        report: told the fraction done.

    Returns:
        The volume with motion, int16.
    """
    moved = hu.copy()
    x, y = grid.section_axes
    dome = thorax.diaphragm(x, y)
    for k, z in enumerate(grid.z):
        report(k / len(grid.z))
        shift = _breath(thorax, grid, float(z), dome, motion)
        section = _breathe(hu, k, grid, shift, motion)
        moved[k] = _beat(section, float(z), grid, thorax, motion)
    return moved


def artefacts(rest: np.ndarray, moved: np.ndarray, lungs: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    """Where motion makes healthy lung look like ground glass, bool."""
    return (moved.astype(np.int32) - rest > _ARTEFACT_HU) & lungs & ~lesions


def _breath(thorax: Thorax, grid: Grid, z: float, dome: FloatArray, motion: Motion) -> FloatArray:
    """How far the tissue of a section is raised by breath, mm: near the dome, within the rib cage."""
    x, y = grid.section_axes
    swing = 0.5 + 0.5 * np.cos(2 * np.pi * (z / motion.breath_mm + motion.phase))
    shift = motion.diaphragm_mm * swing * np.exp(-(((z - dome) / 16.0) ** 2))
    return shift * smooth_step(thorax.wall(x, y, z), -1.0, 4.0) if shift.max() > _DEAD_MM else shift


def _breathe(hu: np.ndarray, k: int, grid: Grid, shift: FloatArray, motion: Motion) -> FloatArray:
    """The section with the diaphragm partly raised: some of what lies below."""
    rest = hu[k].astype(np.float32)
    if shift.max() < _DEAD_MM:
        return rest
    rows, columns = (np.flatnonzero((shift > _DEAD_MM).any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    step = float(grid.z[1] - grid.z[0])
    at = np.clip(k - shift[box] / step, 0, None)
    first = int(at.min())
    slab = hu[first : k + 1, box[0], box[1]].astype(np.float32)
    lower = np.floor(at).astype(np.intp) - first
    upper = np.minimum(lower + 1, len(slab) - 1)
    share = (at - first - lower).astype(np.float32)
    below = (
        np.take_along_axis(slab, lower[None], 0)[0] * (1 - share) + np.take_along_axis(slab, upper[None], 0)[0] * share
    )
    rest[box] += motion.diaphragm_share * (below - rest[box])
    return rest


def _beat(section: FloatArray, z: float, grid: Grid, thorax: Thorax, motion: Motion) -> np.ndarray:
    """The section with the heart's border seen twice."""
    x, y = grid.section_axes
    distance = thorax.heart.distance(x, y, z)
    swing = 0.3 + 0.7 * np.sin(np.pi * (z / motion.beat_mm + motion.phase)) ** 2
    strength = motion.heart_mm * swing * np.exp(-(((distance + 3) / 14.0) ** 2))
    if strength.max() < _DEAD_MM:
        return np.rint(section).astype(np.int16)
    rows, columns = (np.flatnonzero((strength > _DEAD_MM).any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    dx, dy = x[:, box[1]] - thorax.heart.centre[0], y[box[0]] - thorax.heart.centre[1]
    way = strength[box] / (np.hypot(dx, dy) + 1.0) / grid.pixel_mm
    j, i = np.mgrid[box]
    far = map_coordinates(section, [j - way * dy, i - way * dx], order=1, mode="nearest")
    result = section.copy()
    result[box] += motion.heart_share * (far - section[box])
    return np.rint(result).astype(np.int16)
