"""Pneumonia of the painted people: ground glass, crazy paving, consolidation within and against the chest wall."""

from dataclasses import dataclass

import numpy as np

from Testing.evaluation.people_grid import STEP, Chest, mix, ramp

_ML = STEP**3 / 1000


@dataclass
class Patch:
    """One patch: signed millimetres to its border (positive inside) and how much of it is consolidated."""

    inside: np.ndarray
    box: tuple[slice, slice, slice]
    solid: float


def paint_lesions(lung: np.ndarray, vessels: np.ndarray, chest: Chest, extent: float) -> np.ndarray:
    """Put patches into lungs until an extent (percent of the lungs) is reached; gives the truth, bool.

    Patches lie at the pleura and in the back more often than not and mostly keep to their lobe; some are flat
    consolidations against the ribs as high as soft tissue.
    """
    truth = np.zeros(chest.shape, bool)
    wanted = extent / 100 * chest.lungs.sum()
    waves = [chest.field(grain) for grain in (22, 8, 4)]
    fabric = chest.field(4.5)
    for _ in range(200):
        if truth.sum() >= wanted:
            break
        patch = _draw(chest, waves, (wanted - truth.sum()) * _ML)
        box = patch.box
        share = ramp(patch.inside, -1.5, float(chest.rng.uniform(1.0, 4.0))) * chest.lungs[box]
        truth[box] |= (share > 0.5) & chest.lungs[box]
        _paint(lung[box], vessels[box], share, patch, fabric[box], waves[1][box], chest.rng)
    return truth


def _draw(chest: Chest, waves: list[np.ndarray], left_ml: float) -> Patch:
    """A patch somewhere, no larger than what is still wanted."""
    rng = chest.rng
    radius = min(float(rng.uniform(7, 45)), max(6.0, (left_ml * 1000 * 0.24) ** (1 / 3) * 1.25))
    flat = rng.random() < 0.3
    depth_limit = 6 if flat else (12 if rng.random() < 0.65 else 60)
    places = np.argwhere(chest.lungs[::3, ::3, ::3]) * 3
    depth = chest.depth[tuple(places.T)]
    weight = (
        (depth < depth_limit) * (0.3 + (places[:, 1] / chest.shape[1]) ** 3) * (1.4 - places[:, 0] / chest.shape[0])
    )
    centre = places[rng.choice(len(places), p=weight / weight.sum())]
    lobe = chest.lobes[tuple(centre)]
    reach = int(np.ceil(1.7 * radius / STEP))
    box = tuple(slice(max(0, c - reach), min(n, c + reach + 1)) for c, n in zip(centre, chest.shape, strict=True))
    axes = radius * rng.uniform(0.7, 1.3, 3)
    away = np.ogrid[box]
    q = np.sqrt(sum(((line - c) * STEP / a) ** 2 for line, c, a in zip(away, centre, axes, strict=True)))
    inside = (1 - q) * radius + radius * (0.22 * waves[0][box] + 0.10 * waves[1][box]) + 0.8 * waves[2][box]
    if flat:
        inside = np.minimum(inside, rng.uniform(8, 22) + 4 * waves[1][box] - chest.depth[box])
    if rng.random() < 0.75:
        inside = np.where(chest.lobes[box] == lobe, inside, -5.0)
    solid = float(rng.uniform(0.6, 1.0)) if flat else float(rng.choice([0.0, 0.0, 0.3, 0.7, 1.0]))
    return Patch(inside, box, solid)


def _paint(
    lung: np.ndarray,
    vessels: np.ndarray,
    share: np.ndarray,
    patch: Patch,
    fabric: np.ndarray,
    wave: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Ground glass first, then the consolidated part of it, with some open bronchi left as they are."""
    glass = float(rng.uniform(-690, -420)) + 35 * fabric
    free = share * (1 - vessels)
    mix(lung, np.maximum(glass, lung), free)
    if rng.random() < 0.4:
        lung += share * 140 * ramp(np.abs(fabric), 0.25, 0.0) * (lung < -300)
    if patch.solid:
        core = ramp(
            patch.inside + 3 * wave,
            (1 - patch.solid) * float(patch.inside.max()),
            (1 - patch.solid) * float(patch.inside.max()) + 3,
        )
        open_bronchi = lung < -930
        dense = float(rng.uniform(-120, 45)) + 25 * fabric
        mix(lung, dense, core * share * (1 - vessels) * ~open_bronchi)
