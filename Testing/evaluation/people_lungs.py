"""Lungs of the painted people: parenchyma, vessels that stay in their lobe, small bronchi, fissures with gaps."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import FISSURES
from Testing.evaluation.people_grid import STEP, Chest, along, mix, ramp, stamp
from Testing.evaluation.people_inner import Blood, Hila

_LEAVES_PER_LITRE = 900
_LEAF_MM, _MURRAY = 0.48, 2.8


@dataclass
class Air:
    """How the lungs look: mean HU, rise from front to back, texture, share of the fissures that shows, emphysema."""

    mean: float
    gradient: float
    texture: float
    shown: dict[str, float]
    emphysema: float
    dependent: float


def draw_air(rng: np.random.Generator) -> Air:
    """Someone's lungs, from emphysema to breathing out."""
    shown = {
        "right oblique": rng.uniform(0.4, 1),
        "left oblique": rng.uniform(0.4, 1),
        "right horizontal": rng.uniform(0.1, 0.9),
    }
    dependent = float(rng.uniform(60, 220)) if rng.random() < 0.35 else 0.0
    emphysema = float(rng.uniform(0.3, 1.2)) if rng.random() < 0.15 else 0.0
    return Air(
        float(rng.uniform(-880, -790)),
        float(rng.uniform(20, 90)),
        float(rng.uniform(8, 20)),
        shown,
        emphysema,
        dependent,
    )


def parenchyma(chest: Chest, air: Air) -> np.ndarray:
    """CT numbers of lung without vessels, float32 over the whole grid; meant within the lungs."""
    rows = np.flatnonzero(chest.lungs.any(axis=(0, 2))) * STEP
    back = (chest.y - rows[0]) / (rows[-1] - rows[0])
    lung = (
        air.mean
        + air.gradient * (back - 0.5)
        + air.texture * chest.field(2.2)
        + 9 * chest.field(7)
        + 12 * chest.field(35)
    )
    lung = lung.astype(np.float32)
    if air.emphysema:
        holes = ramp(chest.field(9), 0.6, 1.2) * ramp(chest.z, chest.carina - 60, chest.apex)
        mix(lung, -985.0, air.emphysema * holes.clip(0, 1) * 0.8)
    if air.dependent:
        band = ramp(9 - chest.depth + 5 * chest.field(30), 0, 8) * ramp(back, 0.8, 0.93)
        lung += air.dependent * band
    return lung


def fissure_share(chest: Chest, air: Air) -> np.ndarray:
    """Share of each voxel that a fissure fills: thin, faint, with gaps and in parts absent."""
    share = np.zeros(chest.shape, np.float32)
    for fissure in FISSURES:
        upper, lower = (np.isin(chest.lobes, part) for part in (fissure.above, fissure.below))
        both = ndimage.binary_dilation(upper, iterations=2) & ndimage.binary_dilation(lower, iterations=2) & chest.lungs
        smooth = [ndimage.gaussian_filter(part.astype(np.float32), 1.3) for part in (upper, lower)]
        rise = smooth[0] - smooth[1]
        steep = np.sqrt(sum(slope**2 for slope in np.gradient(rise, STEP))) + 0.02
        width = float(chest.rng.uniform(0.5, 1.1))
        sheet = np.clip((width + STEP) / 2 - np.abs(rise) / steep, 0, width) / STEP
        cut = float(np.quantile(field := chest.field(28), 1 - air.shown[fissure.name]))
        gaps = ramp(field + 0.25 * chest.field(6), cut - 0.1, cut + 0.15)
        share = np.maximum(share, sheet * gaps * both)
    return share


@dataclass
class Tree:
    """Pieces of a vessel tree: ends in mm and radii at each, ``[n, 3]`` and ``[n]``."""

    start: np.ndarray
    stop: np.ndarray
    radius: np.ndarray


def grow(rng: np.random.Generator, root: np.ndarray, targets: np.ndarray) -> Tree:
    """Join targets to a root, near ones first, each to the place that makes its way short; thick where many flow."""
    targets = targets[np.argsort(np.linalg.norm(targets - root, axis=1))]
    size = 1 + 6 * len(targets)
    place, parent, way = np.zeros((size, 3)), np.zeros(size, int), np.zeros(size)
    place[0], parent[0], count = root, -1, 1
    leaves = []
    for target in targets:
        far = np.linalg.norm(place[:count] - target, axis=1)
        node = int((far + 0.35 * way[:count]).argmin())
        length = far[node]
        pieces = int(np.clip(np.ceil(length / 9), 1, 6))
        bend = rng.normal(0, 0.05 * length, 3)
        start = place[node].copy()
        for n in range(1, pieces + 1):
            share = n / pieces
            place[count] = start + share * (target - start) + np.sin(np.pi * share) * bend
            parent[count], way[count] = node, way[node] + length / pieces
            node, count = count, count + 1
        leaves.append(node)
    flow = np.zeros(count)
    flow[leaves] = 1
    for n in range(count - 1, 0, -1):
        flow[parent[n]] += flow[n]
    radius = _LEAF_MM * flow ** (1 / _MURRAY)
    nodes = np.arange(1, count)
    return Tree(place[parent[nodes]], place[nodes], radius[nodes])


def paint_vessels(lung: np.ndarray, chest: Chest, hila: Hila, blood: Blood) -> np.ndarray:
    """Arteries, veins and bronchi of every lobe into the lungs, in place; gives the share that vessels fill."""
    vessels, walls, lumens = (np.zeros(chest.shape, np.float32) for _ in range(3))
    for label, root in hila.of_lobe.items():
        own = [np.zeros(chest.shape, np.float32) for _ in range(3)]
        for artery in (True, False):
            tree = grow(chest.rng, np.array(root) + chest.rng.normal(0, 4, 3), _targets(chest, label))
            points, radii = _samples(tree)
            stamp(own[0], points, radii)
            if artery:
                wide = radii > 1.25
                beside = points[wide] + np.array([1.0, 1.2, 1.4]) * radii[wide, None]
                stamp(own[1], beside, radii[wide] * 0.85 + 0.7)
                stamp(own[2], beside, radii[wide] * 0.75)
        inside = chest.lobes == label
        for whole, part in zip((vessels, walls, lumens), own, strict=True):
            np.maximum(whole, part * inside, out=whole)
    mix(lung, 0.5 * (blood.lungs + blood.left), vessels)
    mix(lung, -80.0, walls * 0.8)
    mix(lung, -960.0, lumens)
    return vessels


def _targets(chest: Chest, label: int) -> np.ndarray:
    """Places all over a lobe where vessels end, not at its borders, mm."""
    box = ndimage.find_objects((chest.lobes == label).astype(np.uint8))[0]
    own = np.pad(chest.lobes[box] == label, 1)
    inside = np.argwhere(ndimage.distance_transform_edt(own) * STEP > 4) + [part.start - 1 for part in box]
    count = int(len(inside) * STEP**3 / 1e6 * _LEAVES_PER_LITRE) + 20
    chosen = inside[chest.rng.choice(len(inside), min(count, len(inside)), replace=False)]
    return (chosen + chest.rng.uniform(-0.5, 0.5, chosen.shape)) * STEP


def _samples(tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """Points close together along every piece of a tree, and the radius there."""
    found = [
        along(np.array([a, b]), np.array([r, r])) for a, b, r in zip(tree.start, tree.stop, tree.radius, strict=True)
    ]
    return np.concatenate([points for points, _ in found]), np.concatenate([radii for _, radii in found])
