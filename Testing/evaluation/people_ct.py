"""Validation CTs painted from the lobes of real people by code that shares nothing with the training's painter.

Anatomy is real: five lobes at 1.5 mm (``../shared/data/ts_lobes``). Body, organs, vessels, fissures, pneumonia, table
and scanner are painted here, by the ``people_*`` modules, with numpy and scipy alone. The same person always gives the
same CT. They serve validation only: nothing is trained or tuned on them.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.voxels.geometry import Geometry
from Testing.evaluation.people_body import Build, cavity, draw_build, outline, paint_spine, paint_wall
from Testing.evaluation.people_grid import STEP, Chest, load_lobes, mix, ramp
from Testing.evaluation.people_inner import draw_blood, find_hila, paint_airways, paint_belly, paint_mediastinum
from Testing.evaluation.people_lungs import draw_air, fissure_share, paint_vessels, parenchyma
from Testing.evaluation.people_room import add_streaks, cut_field, draw_things, paint_room
from Testing.evaluation.people_sick import paint_lesions
from Testing.evaluation.sections import averaged

EXTENTS = (0.0, 5.0, 20.0)
THICKNESSES_MM = (1.5, 3.0, 5.0)
_SEED = 60660
# Raised with every change of the painting, so that no CT of an older one is taken from a cache.
_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """What is drawn of one person's CT.

    Attributes:
        thickness_mm: of the sections.
        extent_percent: of the pneumonia that is put in.
        contrast: whether vessels are bright.
        things: what is around the body (see people_room.py).
        noise_hu: in the middle of the body at 1.5 mm.
        blur_mm: standard deviation of the in-plane blur.
        circle: share of the section's width that was measured, None for all.
        build: the body.
    """

    thickness_mm: float
    extent_percent: float
    contrast: bool
    things: tuple[str, ...]
    noise_hu: float
    blur_mm: float
    circle: float | None
    build: Build


@dataclass(frozen=True)
class PaintedCT:
    """A painted CT, its true lobes (uint8) and lesions (bool) ``[k, j, i]``, and what it was made by."""

    name: str
    ct: CTVolume
    lobes: np.ndarray
    lesions: np.ndarray
    recipe: dict[str, Any]


def draw_recipe(rng: np.random.Generator) -> Recipe:
    """Any combination of what CTs have."""
    contrast = bool(rng.random() < 1 / 3)
    things = draw_things(rng, rich=bool(rng.random() < 0.5), contrast=contrast)
    arms = next((thing.split()[1] for thing in things if thing.startswith("arms")), "none")
    return Recipe(
        float(rng.choice(THICKNESSES_MM)),
        float(rng.choice(EXTENTS)),
        contrast,
        things,
        float(rng.uniform(9, 30)),
        float(rng.uniform(0.45, 1.0)),
        float(rng.uniform(0.97, 1.08)) if rng.random() < 0.4 else None,
        draw_build(rng, arms),
    )


def painted_ct(folder: Path, person: str, cache: Path) -> PaintedCT:
    """The CT of one person, from the cache if it is there.

    Args:
        folder: holds ``<person>_lobes.nrrd``.
        person: as in ``s0004``.
        cache: folder for the CTs; made if absent, never committed.

    Raises:
        RuntimeError: there is no such person.
    """
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / f"{person}-v{_VERSION}.npz"
    if not file.is_file():
        _make(folder / f"{person}_lobes.nrrd", person, file)
    with np.load(file) as kept:
        recipe = json.loads(str(kept["recipe"]))
        hu = kept["hu"]
        thick = recipe["thickness_mm"]
        geometry = Geometry(hu.shape, (STEP, STEP, thick), (0.0, 0.0, (thick - STEP) / 2))
        ct = CTVolume.from_values(hu, geometry)
        if kept["padding"].any():
            ct.padding = np.broadcast_to(kept["padding"], hu.shape).copy()
        return PaintedCT(person, ct, kept["lobes"], kept["lesions"], recipe)


def _make(source: Path, person: str, file: Path) -> None:
    """Paint, scan and keep one person's CT."""
    rng = np.random.default_rng([_SEED, int(person[1:])])
    recipe = draw_recipe(rng)
    chest = Chest(_with_room(load_lobes(source), recipe.build, rng), rng)
    hu, lesions = paint(chest, recipe)
    hu, lobes, lesions = scan(hu, chest, lesions, recipe)
    padding = np.zeros(hu.shape[1:], bool)
    if recipe.circle:
        padding = cut_field(hu.shape[1:], recipe.circle, tuple(rng.normal(0, 4, 2)))
        hu[:, padding] = -1024
        lobes[:, padding] = 0
    partial = file.with_suffix(".part.npz")
    np.savez_compressed(
        partial, hu=hu, lobes=lobes, lesions=lesions & (lobes > 0), padding=padding, recipe=json.dumps(asdict(recipe))
    )
    partial.replace(file)


def _with_room(lobes: np.ndarray, build: Build, rng: np.random.Generator) -> np.ndarray:
    """Lobes in a square field of view about the body, with what a scan adds above and below."""
    above, below = rng.uniform(12, 50), rng.uniform(6, 80)
    width = lobes.shape[2] * STEP + 2 * (34 + 1.15 * build.fat + float(rng.uniform(0, 30)))
    shift = rng.uniform(-9, 9, 2)
    size = int(width / STEP)
    left = int((size - lobes.shape[2]) / 2 + shift[1] / STEP)
    front = max(8, int((size - lobes.shape[1]) / 2 - 14 / STEP + shift[0] / STEP))
    rear = max(8, size - lobes.shape[1] - front)
    return np.pad(lobes, ((int(below / STEP), int(above / STEP)), (front, rear), (left, size - lobes.shape[2] - left)))


def paint(chest: Chest, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """The person at rest without blur or noise: float32 CT numbers and bool lesions ``[k, j, i]``."""
    rng = chest.rng
    hu = np.full(chest.shape, -1000.0, np.float32)
    inner = cavity(chest)
    body = outline(chest, inner, recipe.build)
    blood, air = draw_blood(rng, contrast=recipe.contrast), draw_air(rng)
    paint_room(hu, chest, body, recipe.things, recipe.build.fat)
    paint_wall(hu, chest, inner, body, recipe.build)
    hila = find_hila(chest)
    floor = paint_mediastinum(hu, chest, inner, hila, blood)
    paint_belly(hu, chest, inner, floor, blood)
    paint_spine(hu, chest, body, recipe.build)
    paint_airways(hu, chest, hila)
    lung = parenchyma(chest, air)
    mix(lung, 10.0, fissure_share(chest, air))
    vessels = paint_vessels(lung, chest, hila, blood)
    lesions = paint_lesions(lung, vessels, chest, recipe.extent_percent)
    # A thin pleura, of which only what partial volume leaves is seen.
    mix(lung, -200.0, 0.25 * ramp(STEP * 1.01 - chest.depth, 0, 0.01))
    hu[chest.lungs] = lung[chest.lungs]
    if "streaks" in recipe.things:
        add_streaks(hu, chest)
    return hu, lesions


def scan(
    hu: np.ndarray, chest: Chest, lesions: np.ndarray, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sections as thick as wanted with blur and noise: int16 CT numbers, uint8 lobes, bool lesions."""
    blurred = ndimage.gaussian_filter(hu, (0.0, recipe.blur_mm / STEP, recipe.blur_mm / STEP))
    thick = recipe.thickness_mm
    sections = averaged(blurred, STEP, thick)
    shares = np.stack([averaged(chest.lobes == label, STEP, thick) for label in range(1, 6)])
    lobes = np.where(shares.sum(axis=0) >= 0.5, shares.argmax(axis=0) + 1, 0).astype(np.uint8)
    sick = averaged(lesions, STEP, thick) >= 0.5
    for k in range(len(sections)):
        sections[k] += _noise(sections[k], chest.rng, recipe)
    return np.rint(sections.clip(-1024, 3071)).astype(np.int16), lobes, sick & (lobes > 0)


def _noise(section: np.ndarray, rng: np.random.Generator, recipe: Recipe) -> np.ndarray:
    """Noise of one section: grainy as the blur, stronger and streaky where much tissue lies in the rays' way."""
    white = rng.standard_normal(section.shape, dtype=np.float32)
    grain = ndimage.gaussian_filter(white, max(0.35, recipe.blur_mm / STEP * 0.9))
    water = np.clip(section + 1000, 0, 2200) * (STEP / 1e4)
    rows = np.exp(0.05 * (water.sum(axis=1, keepdims=True) - 24)).clip(0.4, 3)
    streaks = ndimage.gaussian_filter(rng.standard_normal(section.shape, dtype=np.float32), (0.5, 12)) * 5
    amplitude = recipe.noise_hu * np.sqrt(STEP / recipe.thickness_mm)
    return amplitude * (rows * grain / grain.std() + np.clip(rows - 1.2, 0, 1.5) * streaks)
