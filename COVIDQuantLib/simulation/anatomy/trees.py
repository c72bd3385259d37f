"""Trees that branch and taper to fill a cloud of points: airways, arteries and veins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.simulation.anatomy.tubes import Tubes
from COVIDQuantLib.simulation.fields.arrays import FloatArray

# Radius of a twig that serves one leaf, mm; veins are a little thinner than arteries.
TIP_MM, VEIN_SHARE = 0.54, 0.96
# Radius of a parent from the radii of its children: r^e = sum r^e (Murray's law).
_RADIUS_EXPONENT = 3.0
_STEPS_PER_BRANCH = 3


@dataclass
class _Branch:
    start: FloatArray
    stop: FloatArray
    heading: FloatArray
    leaves: int


def grow_tree(
    rng: np.random.Generator, root: FloatArray, heading: FloatArray, leaves: FloatArray, tip_radius: float
) -> Tubes:
    """A tree from a root to every point of a cloud.

    The cloud is split again and again across its longest extent; each branch runs part of the way to the middle of
    its share of the cloud, then splits in two.

    Args:
        rng: for the irregularity.
        root: where the trunk begins, ``[3]``.
        heading: unit vector of its first direction.
        leaves: the points to reach, ``[n, 3]``.
        tip_radius: radius of a twig that serves one point, mm.

    Returns:
        Curved branches as short straight pieces with tapering radii.
    """
    branches: list[_Branch] = []
    waiting = [(np.asarray(root, float), np.asarray(heading, float), np.asarray(leaves, float))]
    while waiting:
        start, direction, cloud = waiting.pop()
        if len(cloud) == 1:
            branches.append(_Branch(start, cloud[0], direction, 1))
            continue
        middle = cloud.mean(axis=0)
        way = middle - start
        share = rng.uniform(0.36, 0.52) if len(cloud) > 3 else rng.uniform(0.5, 0.65)
        stop = start + share * way + rng.normal(0, 0.04, 3) * np.linalg.norm(way)
        branches.append(_Branch(start, stop, direction, len(cloud)))
        onward = stop - start
        onward = onward / (np.linalg.norm(onward) + 1e-6)
        first, second = (cloud[part] for part in _split(rng, cloud - middle, onward))
        waiting += [(stop, onward, first), (stop, onward, second)]
    return _curved(rng, branches, tip_radius)


def _split(rng: np.random.Generator, spread: FloatArray, onward: FloatArray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of both halves of a cloud about its middle, split across its longest extent across the branch."""
    spread = spread - 0.7 * ((spread @ onward)[:, None] * onward)
    _, axes = np.linalg.eigh(spread.T @ spread)
    # The sign of an eigenvector is arbitrary and differs between machines.
    axis = axes[:, -1] * (1.0 if axes[np.argmax(np.abs(axes[:, -1])), -1] > 0 else -1.0)
    order = np.argsort(spread @ axis, kind="stable")
    cut = min(max(round(len(order) * rng.uniform(0.3, 0.7)), 1), len(order) - 1)
    return order[:cut], order[cut:]


def _curved(rng: np.random.Generator, branches: list[_Branch], tip_radius: float) -> Tubes:
    """Branches as Hermite curves that leave in their parent's direction, cut into pieces."""
    start = np.array([b.start for b in branches])
    stop = np.array([b.stop for b in branches])
    chord = stop - start
    length = np.linalg.norm(chord, axis=1, keepdims=True) + 1e-6
    unit = chord / length
    leave = 0.5 * np.array([b.heading for b in branches]) + 0.5 * unit + rng.normal(0, 0.12, unit.shape)
    arrive = unit + rng.normal(0, 0.15, unit.shape)
    u = np.linspace(0, 1, _STEPS_PER_BRANCH + 1)[:, None, None]
    curve = (
        (2 * u**3 - 3 * u**2 + 1) * start
        + (u**3 - 2 * u**2 + u) * leave * length
        + (-2 * u**3 + 3 * u**2) * stop
        + (u**3 - u**2) * arrive * length
    )
    leaves = np.array([b.leaves for b in branches], float)
    radius = tip_radius * leaves ** (1 / _RADIUS_EXPONENT)
    taper = np.linspace(1.0, 0.85, _STEPS_PER_BRANCH + 1)[:, None] * radius
    return Tubes(
        curve[:-1].reshape(-1, 3),
        curve[1:].reshape(-1, 3),
        np.stack([taper[:-1].ravel(), taper[1:].ravel()], axis=1),
    )


def jittered_points(rng: np.random.Generator, lines: Sequence[FloatArray], step: float) -> FloatArray:
    """Points ``[n, 3]`` of the grid that three lines (x, y, z, ``step`` apart) span, each moved a little at random."""
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
    return points + rng.uniform(-0.48 * step, 0.48 * step, points.shape)


def beside_artery(radius: FloatArray) -> FloatArray:
    """Distance between the axes of a bronchus and of the artery of some radius that it accompanies, mm."""
    return 2.1 * radius + 0.8
