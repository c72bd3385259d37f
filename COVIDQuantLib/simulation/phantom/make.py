"""Making a phantom: the seed's patient, rendered, moved, scanned, with the truth counted."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import HU_MIN, CTVolume
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.simulation.anatomy.body import Body
from COVIDQuantLib.simulation.anatomy.lobes import Lobes, draw_fissures
from COVIDQuantLib.simulation.anatomy.patient import draw_patient
from COVIDQuantLib.simulation.anatomy.surroundings import Surroundings, cut_circle_mm
from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.anatomy.vessels import grow_vasculature
from COVIDQuantLib.simulation.artefacts.motion import Motion, artefacts, draw_motion, move
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.smooth_fields import GrainField
from COVIDQuantLib.simulation.lesions.phantom_lesions import Pneumonia
from COVIDQuantLib.simulation.phantom.render import Anatomy, render
from COVIDQuantLib.simulation.phantom.truth import region_truth, total_truth
from COVIDQuantLib.simulation.phantom_settings import (
    ARMS_DOWN,
    ARMS_UP,
    CUT,
    KERNELS,
    MAX_EXTENT_PERCENT,
    TABLES,
    PhantomSettings,
)
from COVIDQuantLib.simulation.scanner.phantom_scanner import Scanner, section_noise
from COVIDQuantLib.system.memory import refuse_too_large
from COVIDQuantLib.voxels.geometry import Geometry

_MARGIN_MM = 16.0
_CRUMB_SHARE = 0.002
# Fields of view are wide enough for a part of the arms, and for no more.
_ARMS_MM = 84.0

# Measured: what is held at most for each voxel of the fine grid, arrays in passing included.
_BYTES_PER_VOXEL = 16


@dataclass
class Phantom:
    """A made chest CT and what is true of it.

    Attributes:
        ct: the CT in canonical orientation.
        lobes: uint8 ``[k, j, i]`` lobe labels; their union is the lungs.
        lesions: bool ``[k, j, i]``, the pneumonia, within the lungs.
        artefacts: bool ``[k, j, i]``, healthy lung that motion makes look like ground glass.
        truth: seed, settings, patient, lesions and the figures of every region, ready for JSON.
    """

    ct: CTVolume
    lobes: np.ndarray
    lesions: np.ndarray
    artefacts: np.ndarray
    truth: dict[str, Any]


@dataclass(frozen=True)
class _Drawn:
    """The settings with everything that was left open drawn from the seed."""

    extent_percent: float
    motion: Motion | None
    kernel: str
    noise_hu: float
    circle: bool


def _stream(seed: int, purpose: int) -> np.random.Generator:
    """A random stream of its own for each purpose, so that one choice does not shift the others."""
    return np.random.default_rng([seed, purpose])


def make_phantom(settings: PhantomSettings, report: Report = silent) -> Phantom:
    """Make a phantom; the same settings always give the same phantom.

    Args:
        settings: what is wanted.
        report: told the fraction done.

    Raises:
        UsageError: a setting is out of range.
        UnfitInputError: there is too little memory for it.
    """
    settings.check()
    drawn = _draw(settings)
    anatomy = _anatomy(settings, drawn.extent_percent)
    grid = _grid(settings, anatomy)
    refuse_too_large(
        math.prod(grid.shape) * _BYTES_PER_VOXEL,
        f"a phantom of {grid.shape[0] // grid.fine} sections of {settings.matrix}×{settings.matrix} pixels",
        "Choose a smaller matrix, or fewer or thicker sections.",
    )
    report(0.05)
    hu, lobes, lesions = render(anatomy, grid, part(report, 0.05, 0.7))
    spoiled = np.zeros((0,))
    if drawn.motion is not None:
        moved = move(hu, grid, anatomy.thorax, drawn.motion, part(report, 0.7, 0.85))
        spoiled = artefacts(hu, moved, lobes > 0, lesions)
        hu = moved
    labels = _without_specks(_majority_labels(lobes, grid.fine))
    ct = CTVolume(_scan(hu, grid, drawn, settings.seed, part(report, 0.85, 0.97)), grid.geometry)
    radius = min(labels.shape[1:]) / 2 if drawn.circle else math.inf
    if CUT in settings.surroundings:
        radius = min(radius, cut_circle_mm(labels, grid.pixel_mm, anatomy.body.half_width()) / grid.pixel_mm)
    if radius < math.inf:
        _blank_beyond(radius, ct, labels)
    lesions = _majority(lesions, grid.fine) & (labels > 0)
    mask = _majority(spoiled, grid.fine) & (labels > 0) & ~lesions if spoiled.size else np.zeros(labels.shape, bool)
    ct.source = CTSource({"phantom_seed": settings.seed, "thickness_mm": settings.thickness_mm, "kernel": drawn.kernel})
    truth = _truth(settings, drawn, anatomy, ct, (labels, lesions, mask))
    report(1.0)
    return Phantom(ct, labels, lesions, mask, truth)


def _draw(settings: PhantomSettings) -> _Drawn:
    rng = _stream(settings.seed, 1)
    extent = 0.0 if rng.random() < 0.1 else float(MAX_EXTENT_PERCENT * rng.beta(0.8, 3.0))
    kernel = str(rng.choice(KERNELS, p=(0.25, 0.5, 0.25)))
    motion, moves = draw_motion(rng), bool(rng.random() < 0.35)
    circle = bool(rng.random() < 0.2)
    kernel = settings.kernel or kernel
    noise = section_noise(rng, kernel, settings.thickness_mm)
    return _Drawn(
        extent if settings.extent_percent is None else settings.extent_percent,
        motion if (moves if settings.motion is None else settings.motion) else None,
        kernel,
        noise if settings.noise_hu is None else settings.noise_hu,
        circle if settings.circle is None else settings.circle,
    )


def _anatomy(settings: PhantomSettings, extent_percent: float) -> Anatomy:
    seed = settings.seed
    thorax = Thorax(draw_patient(_stream(seed, 2)), _stream(seed, 3))
    lobes = Lobes(thorax, draw_fissures(_stream(seed, 4)), _stream(seed, 5))
    vasculature = grow_vasculature(_stream(seed, 6), thorax, lobes)
    pneumonia = Pneumonia(thorax, vasculature, extent_percent, _stream(seed, 8))
    texture = _stream(seed, 9)
    textures = (GrainField(texture, 1.6), GrainField(texture, 5.0), GrainField(texture, 30.0))
    table = settings.table and not set(settings.surroundings) & set(TABLES)
    body = Body(thorax, _stream(seed, 10), table=table)
    around = Surroundings(settings.surroundings, body, _stream(seed, 11)) if settings.surroundings else None
    return Anatomy(thorax, lobes, body, vasculature, pneumonia, textures, around)


def _grid(settings: PhantomSettings, anatomy: Anatomy) -> Grid:
    p = anatomy.thorax.patient
    pixel = settings.pixel_mm
    if pixel is None:
        arms = _ARMS_MM if set(settings.surroundings) & {ARMS_DOWN, ARMS_UP} else 0.0
        pixel = round((2 * anatomy.body.half_width() + 24 + arms) / settings.matrix, 4)
    slices = settings.slices
    if slices is None:
        slices = math.ceil((p.z_apex - p.z_sulcus + 2 * _MARGIN_MM) / settings.thickness_mm)
    centre = (0.0, anatomy.body.centre_y(), (p.z_apex + p.z_sulcus) / 2)
    return Grid.make(settings.matrix, pixel, settings.thickness_mm, slices, centre)


def _majority(mask: np.ndarray, fine: int) -> np.ndarray:
    """Whether more than half of each thick voxel is in a mask (exact halves count when the lower half is in)."""
    if fine == 1:
        return mask
    sections = mask.reshape(-1, fine, *mask.shape[1:])
    twice = 2 * sections.sum(axis=1, dtype=np.uint8)
    return (twice > fine) | ((twice == fine) & sections[:, fine // 2 - 1])


def _majority_labels(lobes: np.ndarray, fine: int) -> np.ndarray:
    """The lobe that fills most of each thick voxel, where at least half of it is lung."""
    if fine == 1:
        return lobes
    lungs = _majority(lobes > 0, fine)
    labels = np.zeros(lungs.shape, np.uint8)
    most = np.zeros(lungs.shape, np.uint8)
    for lobe in LOBES:
        count = (lobes == lobe.label).reshape(-1, fine, *lobes.shape[1:]).sum(axis=1, dtype=np.uint8)
        labels[count > most] = lobe.label
        np.maximum(most, count, out=most)
    return np.where(lungs, labels, 0).astype(np.uint8)


def _without_specks(lobes: np.ndarray) -> np.ndarray:
    """The labels without crumbs of lung that hang together with neither lung."""
    pieces, count = ndimage.label(lobes)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    crumbs = sizes < _CRUMB_SHARE * sizes[1:].sum()
    crumbs[0] = False
    lobes[crumbs[pieces]] = 0
    return lobes


def _blank_beyond(radius: float, ct: CTVolume, lobes: np.ndarray) -> None:
    """Fill what lies outside a circle (radius in pixels) in each section, and take it out of the lungs."""
    rows, columns = np.ogrid[: ct.hu.shape[1], : ct.hu.shape[2]]
    middle = (np.array(ct.hu.shape[1:]) - 1) / 2
    corners = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 > radius**2
    ct.padding = np.broadcast_to(corners, ct.hu.shape).copy()
    ct.hu[ct.padding] = HU_MIN
    lobes[:, corners] = 0


def _scan(hu: np.ndarray, grid: Grid, drawn: _Drawn, seed: int, report: Report) -> np.ndarray:
    scanner = Scanner(grid, drawn.kernel, drawn.noise_hu, seed)
    sections = hu.reshape(-1, grid.fine, *hu.shape[1:])
    result = np.empty((len(sections), *hu.shape[1:]), np.int16)
    for number, section in enumerate(sections):
        report(number / len(sections))
        result[number] = scanner.section(section.mean(axis=0, dtype=np.float32), number)
    return result


def _truth(
    settings: PhantomSettings,
    drawn: _Drawn,
    anatomy: Anatomy,
    ct: CTVolume,
    masks: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> dict[str, Any]:
    geometry: Geometry = ct.geometry
    lobes, lesions, spoiled = masks
    regions = region_truth(ct.hu, lobes, lesions, geometry.voxel_volume_ml)
    complete = not (lobes[0].any() or lobes[-1].any())
    return {
        "seed": settings.seed,
        "settings": asdict(settings),
        "drawn": {
            "extent_percent": drawn.extent_percent,
            "kernel": drawn.kernel,
            "noise_hu": drawn.noise_hu,
            "circle": drawn.circle,
            "motion": drawn.motion.as_record() if drawn.motion else None,
        },
        "geometry": geometry.as_record(),
        "lungs_complete": complete,
        "patient": anatomy.thorax.patient.as_record(),
        "fissures": asdict(anatomy.lobes.shape),
        "lesions": [lesion.as_record() for lesion in anatomy.pneumonia.lesions],
        "artefact_volume_ml": int(np.count_nonzero(spoiled)) * geometry.voxel_volume_ml,
        "regions": regions,
        **total_truth(regions),
    }
