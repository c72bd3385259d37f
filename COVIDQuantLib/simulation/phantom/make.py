"""Making a phantom: the seed's patient, rendered, moved, scanned, with the truth counted."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import HU_MIN, CTVolume
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.simulation.anatomy.body import Body
from COVIDQuantLib.simulation.anatomy.lobes import Lobes, draw_fissures
from COVIDQuantLib.simulation.anatomy.patient import draw_patient
from COVIDQuantLib.simulation.anatomy.posture import Placement
from COVIDQuantLib.simulation.anatomy.surroundings import Surroundings, cut_circle_mm
from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.anatomy.vessels import grow_vasculature
from COVIDQuantLib.simulation.artefacts.motion import Motion, artefacts, draw_motion, move
from COVIDQuantLib.simulation.fields.section_grid import Grid
from COVIDQuantLib.simulation.fields.spline_noise import SplineNoise
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
from COVIDQuantLib.simulation.scanner.reconstruction import Scanner, section_noise
from COVIDQuantLib.simulation.scanner.sections import in_blocks, majority, majority_labels
from COVIDQuantLib.system.memory import refuse_too_large
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.voxels.morphology import components

_MARGIN_MM = 16.0
# Breath and tilt bring this much more into view.
_POSTURE_MM = 16.0
_SPECK_SHARE = 0.002
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
class Drawn:
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
        report: called with the fraction done.

    Raises:
        UsageError: a setting is out of range.
        UnfitInputError: there is too little memory for it.
    """
    settings.check()
    drawn = draw_settings(settings)
    return scan_anatomy(settings, drawn, draw_anatomy(settings, drawn.extent_percent), report=report)


def scan_anatomy(
    settings: PhantomSettings,
    drawn: Drawn,
    anatomy: Anatomy,
    placement: Placement | None = None,
    noise_seed: int | None = None,
    report: Report = silent,
) -> Phantom:
    """Render and scan a patient.

    Args:
        settings: what is wanted.
        drawn: with what was left open drawn.
        anatomy: the patient.
        placement: how the patient lies and breathes; None as drawn.
        noise_seed: for the noise of this exam; None takes the settings' seed.
        report: told the fraction done.

    Raises:
        UnfitInputError: there is too little memory for it.
    """
    grid = _grid(settings, anatomy, 0.0 if placement is None else _POSTURE_MM)
    rest = grid if placement is None else placement.rest_grid(grid)
    refuse_too_large(
        math.prod(rest.shape) * _BYTES_PER_VOXEL,
        f"a phantom of {grid.shape[0] // grid.fine} sections of {settings.matrix}×{settings.matrix} pixels",
        "Choose a smaller matrix, or fewer or thicker sections.",
    )
    report(0.05)
    hu, lobes, lesions = render(anatomy, rest, part(report, 0.05, 0.65))
    spoiled = np.zeros((0,))
    if drawn.motion is not None:
        moved = move(hu, rest, anatomy.thorax, drawn.motion, part(report, 0.65, 0.75))
        spoiled = artefacts(hu, moved, lobes > 0, lesions)
        hu = moved
    geometry = grid.geometry
    if placement is not None:
        volumes = [hu, lobes, lesions] + [spoiled] * bool(spoiled.size)
        hu, lobes, lesions, *others = placement.carry(volumes, rest, grid, part(report, 0.75, 0.85))
        spoiled = others[0] if others else spoiled
        x, y, z = (a + b for a, b in zip(geometry.origin, placement.posture.table_mm, strict=True))
        geometry = replace(geometry, origin=(x, y, z))
    labels = _without_specks(majority_labels(lobes, grid.fine))
    noise = settings.seed if noise_seed is None else noise_seed
    ct = CTVolume(_scan(hu, grid, drawn, noise, part(report, 0.85, 0.97)), geometry)
    radius = min(labels.shape[1:]) / 2 if drawn.circle else math.inf
    if CUT in settings.surroundings:
        radius = min(radius, cut_circle_mm(labels, grid.pixel_mm, anatomy.body.half_width()) / grid.pixel_mm)
    if radius < math.inf:
        _blank_beyond(radius, ct, labels)
    lesions = majority(lesions, grid.fine) & (labels > 0)
    mask = majority(spoiled, grid.fine) & (labels > 0) & ~lesions if spoiled.size else np.zeros(labels.shape, bool)
    ct.source = CTSource({"phantom_seed": settings.seed, "thickness_mm": settings.thickness_mm, "kernel": drawn.kernel})
    truth = _truth(settings, drawn, anatomy, ct, (labels, lesions, mask))
    report(1.0)
    return Phantom(ct, labels, lesions, mask, truth)


def draw_settings(settings: PhantomSettings) -> Drawn:
    """Draw what the settings leave open."""
    rng = _stream(settings.seed, 1)
    extent = 0.0 if rng.random() < 0.1 else float(MAX_EXTENT_PERCENT * rng.beta(0.8, 3.0))
    kernel = str(rng.choice(KERNELS, p=(0.25, 0.5, 0.25)))
    motion, moves = draw_motion(rng), bool(rng.random() < 0.35)
    circle = bool(rng.random() < 0.2)
    kernel = settings.kernel or kernel
    noise = section_noise(rng, kernel, settings.thickness_mm)
    return Drawn(
        extent if settings.extent_percent is None else settings.extent_percent,
        motion if (moves if settings.motion is None else settings.motion) else None,
        kernel,
        noise if settings.noise_hu is None else settings.noise_hu,
        circle if settings.circle is None else settings.circle,
    )


def draw_anatomy(settings: PhantomSettings, extent_percent: float) -> Anatomy:
    """All shapes of the seed's patient, with pneumonia of an extent."""
    seed = settings.seed
    thorax = Thorax(draw_patient(_stream(seed, 2)), _stream(seed, 3))
    lobes = Lobes(thorax, draw_fissures(_stream(seed, 4)), _stream(seed, 5))
    vasculature = grow_vasculature(_stream(seed, 6), thorax, lobes)
    pneumonia = Pneumonia(thorax, vasculature, extent_percent, _stream(seed, 8))
    texture = _stream(seed, 9)
    textures = (SplineNoise(texture, 1.6), SplineNoise(texture, 5.0), SplineNoise(texture, 30.0))
    table = settings.table and not set(settings.surroundings) & set(TABLES)
    body = Body(thorax, _stream(seed, 10), table=table)
    around = Surroundings(settings.surroundings, body, _stream(seed, 11)) if settings.surroundings else None
    return Anatomy(thorax, lobes, body, vasculature, pneumonia, textures, around)


def _grid(settings: PhantomSettings, anatomy: Anatomy, room_mm: float) -> Grid:
    p = anatomy.thorax.patient
    pixel = settings.pixel_mm
    if pixel is None:
        arms = _ARMS_MM if set(settings.surroundings) & {ARMS_DOWN, ARMS_UP} else 0.0
        pixel = round((2 * anatomy.body.half_width() + 24 + room_mm + arms) / settings.matrix, 4)
    slices = settings.slices
    if slices is None:
        slices = math.ceil((p.z_apex - p.z_sulcus + 2 * _MARGIN_MM + 2 * room_mm) / settings.thickness_mm)
    centre = (0.0, anatomy.body.centre_y(), (p.z_apex + p.z_sulcus) / 2)
    return Grid.make(settings.matrix, pixel, settings.thickness_mm, slices, centre)


def _without_specks(lobes: np.ndarray) -> np.ndarray:
    """The labels without small pieces of lung that are connected to neither lung."""
    pieces, sizes = components(lobes > 0)
    specks = sizes < _SPECK_SHARE * sizes[1:].sum()
    specks[0] = False
    lobes[specks[pieces]] = 0
    return lobes


def _blank_beyond(radius: float, ct: CTVolume, lobes: np.ndarray) -> None:
    """Set everything outside a circle (radius in pixels) of each section to filler, and remove it from the lungs."""
    rows, columns = np.ogrid[: ct.hu.shape[1], : ct.hu.shape[2]]
    middle = (np.array(ct.hu.shape[1:]) - 1) / 2
    corners = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 > radius**2
    ct.padding = np.broadcast_to(corners, ct.hu.shape).copy()
    ct.hu[ct.padding] = HU_MIN
    lobes[:, corners] = 0


def _scan(hu: np.ndarray, grid: Grid, drawn: Drawn, seed: int, report: Report) -> np.ndarray:
    scanner = Scanner(grid, drawn.kernel, drawn.noise_hu, seed)
    sections = in_blocks(hu, grid.fine)
    result = np.empty((len(sections), *hu.shape[1:]), np.int16)
    for number, section in enumerate(sections):
        report(number / len(sections))
        result[number] = scanner.section(section.mean(axis=0, dtype=np.float32), number)
    return result


def _truth(
    settings: PhantomSettings,
    drawn: Drawn,
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
