"""The chests that the shipped networks were trained on: phantoms, painted chests of real shape, real healthy CTs.

Every chest is determined by its kind and number. Phantom seeds below 1000 are kept for evaluation and refused here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from COVIDQuantLib.ct.masks.label_maps import read_label_map
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.segmentation.lungs.model_free import find_lungs
from COVIDQuantLib.simulation.lesions.training_consolidation import add_dense
from COVIDQuantLib.simulation.lesions.training_lesions import insert_lesions
from COVIDQuantLib.simulation.lesions.training_mimics import add_negatives
from COVIDQuantLib.simulation.lesions.training_spread import MANY_SMALL
from COVIDQuantLib.simulation.painted.aorta import dilated_aorta, give_way
from COVIDQuantLib.simulation.painted.lung_shapes import Margins
from COVIDQuantLib.simulation.painted.painting import paint_person
from COVIDQuantLib.simulation.painted.real_lobes import GRID_MM, place_lobes, read_lobes
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.simulation.scanner.domain_randomisation import randomise
from COVIDQuantLib.simulation.scanner.reconstruction import whole_hu
from COVIDQuantLib.training.label_free.people import HELD_OUT, lobes_file
from COVIDQuantLib.training.label_free.subjects import LEFT_LUNG, RIGHT_LUNG, Chest, plain_labels
from COVIDQuantLib.voxels.geometry import Triple

FIRST_SEED = 1000
_THICKNESSES_MM = (1.25, 1.5, 1.5, 2.0, 3.0, 5.0, 5.0)
# Phantoms with a greater share of diseased lung get no further lesions.
_WELL_ENOUGH = 0.05
# Share of the people whose aorta is dilated.
_DILATED = 0.3
# Share of the variants that get small lesions alone.
_ONLY_SMALL = 0.3


@dataclass(frozen=True)
class RealCT:
    """A real CT whose licence allows training, without disease.

    Attributes:
        file: its name in the data folder.
        lungs: label map of its lungs; empty if they are found by the model-free path.
        right: label value of the right lung in it.
        left: label value of the left lung.
        licence: of the data.
    """

    file: str
    lungs: str = ""
    right: int = 1
    left: int = 2
    licence: str = ""


REAL_CTS = (
    RealCT("ts_aorta_ct_cropped.nrrd", licence="Apache-2.0"),
    RealCT("ts_pulmonary_ct_cropped.nrrd", licence="Apache-2.0"),
    RealCT("cip_ct64_ct.nrrd", "cip_ct64_lungs_L1_R2.nrrd", 2, 1, "Chest Imaging Platform, BSD-style"),
)


def phantom_chest(seed: int, matrix: int = 256) -> Chest:
    """A phantom with its own pneumonia; thickness, motion and extent follow from the seed.

    Raises:
        UsageError: the seed is one of those kept for evaluation.
    """
    if seed < FIRST_SEED:
        raise UsageError(f"phantom seed {seed} is kept for evaluation", remedy=f"Train on seeds from {FIRST_SEED}.")
    rng = np.random.default_rng([seed, 77])
    thickness = float(rng.choice(_THICKNESSES_MM))
    motion = bool(rng.random() < 0.5)
    extent = 0.0 if rng.random() < 0.1 else float(55 * rng.beta(0.9, 2.5))
    made = make_phantom(PhantomSettings(seed, thickness, matrix=matrix, motion=motion, extent_percent=extent))
    return Chest(made.ct.hu, made.ct.geometry.spacing_kji, made.lobes, made.lesions)


def real_chest(real: RealCT, data: Path) -> Chest:
    """A real CT with its lungs; its lobes are not known.

    Raises:
        UnfitInputError: a file is missing or unreadable.
    """
    ct = read_ct(data / real.file)
    upright, turn = ct.canonical()
    if real.lungs:
        given, _ = read_label_map(data / real.lungs, ct.geometry, content="lungs")
        given = turn.apply(given)
        lungs = np.select([given == real.right, given == real.left], [1, 2]).astype(np.uint8)
    else:
        lungs = find_lungs(upright).mask
    labels = np.select([lungs == 1, lungs == 2], [RIGHT_LUNG, LEFT_LUNG]).astype(np.uint8)
    return Chest(upright.hu, upright.geometry.spacing_kji, labels, np.zeros(lungs.shape, bool))


def variants(chest: Chest, count: int, rng: np.random.Generator) -> Iterator[Chest]:
    """Variants of a chest: with mimics of pneumonia, with lesions, and as from other scanners.

    Args:
        chest: nearly healthy; a diseased one has no variants.
        count: how many.
        rng: the draws.
    """
    lungs = np.count_nonzero(chest.lobes)
    if np.count_nonzero(chest.lesions) > _WELL_ENOUGH * lungs:
        return
    labels = plain_labels(chest.lobes)
    for _ in range(count):
        hu = chest.hu.astype(np.float32)
        if rng.random() < 0.85:
            hu, _ = add_negatives(hu, labels, chest.spacing, rng)
        hu, lesions = _pneumonia(hu, labels, chest.spacing, rng, 0.3, 2.2)
        if rng.random() < 0.6:
            hu, _ = randomise(hu, chest.spacing, rng, lungs=labels > 0)
        yield Chest(whole_hu(hu), chest.spacing, chest.lobes, lesions | chest.lesions, chest.body, aorta=chest.aorta)


def _pneumonia(
    hu: np.ndarray, labels: np.ndarray, spacing: Triple, rng: np.random.Generator, none: float, usual: float
) -> tuple[np.ndarray, np.ndarray]:
    """A CT with lesions of an extent around ``exp(usual)`` percent, with many small ones, or by chance ``none``."""
    style, extent = None, float(min(60.0, rng.lognormal(usual, 1.0)))
    if rng.random() < _ONLY_SMALL:
        # Networks that see them only beside large lesions take small ones for vessels.
        style, extent = MANY_SMALL, float(rng.uniform(0.1, 2.0))
    elif rng.random() < none:
        extent = 0.0
    return insert_lesions(hu, labels, spacing, rng, extent, style)


def dense_variants(chest: Chest, count: int, rng: np.random.Generator) -> Iterator[Chest]:
    """As :func:`variants`, of a healthy chest, two in three also with dense disease at the lungs' edges.

    Args:
        chest: of a real person, painted or real.
        count: how many.
        rng: the draws.
    """
    for _ in range(count):
        hu, lobes = chest.hu.astype(np.float32), chest.lobes
        labels = plain_labels(lobes)
        if rng.random() < 0.8:
            hu, _ = add_negatives(hu, labels, chest.spacing, rng)
        hu, lesions = _pneumonia(hu, labels, chest.spacing, rng, 0.5, 2.0)
        if rng.random() < 0.67:
            made = add_dense(hu, labels, chest.spacing, rng)
            hu, lesions = made.hu, (lesions & (made.lobes > 0)) | made.disease
            lobes = np.where((labels > 0) & (made.lobes == 0), 0, lobes).astype(np.uint8)
        if rng.random() < 0.6:
            hu, _ = randomise(hu, chest.spacing, rng, lungs=labels > 0)
        yield Chest(whole_hu(hu), chest.spacing, lobes, lesions, chest.body, aorta=chest.aorta)


def person_chest(name: str, seed: int, data: Path) -> Chest:
    """A healthy chest painted around a real person's lobes, deformed at random; determined by name and seed.

    Raises:
        UsageError: the person is kept for evaluation.
        UnfitInputError: the map cannot be read.
    """
    if name in HELD_OUT:
        raise UsageError(f"the person {name} is kept for evaluation", remedy="Train on others.")
    rng = np.random.default_rng([seed, int(name[1:])])
    shares, spacing = read_lobes(lobes_file(data, name))
    lobes = place_lobes(shares, spacing, Margins.draw(rng), rng, scale=float(rng.uniform(0.9, 1.1)))
    aorta, grid = None, np.full(3, GRID_MM)
    if rng.random() < _DILATED:
        aorta = dilated_aorta(lobes, grid, rng)
        lobes = give_way(lobes, grid, aorta, rng)
    hu, body = paint_person(lobes, (GRID_MM,) * 3, rng, aorta=aorta)
    taken = None if aorta is None else aorta.mask(lobes.shape, grid)
    return Chest(whole_hu(hu), (GRID_MM,) * 3, lobes, np.zeros(lobes.shape, bool), body, aorta=taken)
