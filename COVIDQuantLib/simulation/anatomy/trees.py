"""Trees that branch and taper to fill a cloud of points: airways, arteries and veins."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray

# Radius of a parent from the radii of its children: r^e = sum r^e (between Murray's law).
_RADIUS_EXPONENT = 3.0
_STEPS_PER_BRANCH = 3


@dataclass
class Tubes:
    """Straight pieces of tubes with a radius at each end, all in LPS millimetres.

    Attributes:
        start: ``[n, 3]`` x, y, z.
        stop: ``[n, 3]``.
        radius: ``[n, 2]`` at start and stop.
    """

    start: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    stop: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    radius: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def path(cls, points: FloatArray, radii: FloatArray) -> Tubes:
        """A tube through points ``[n, 3]`` with a radius at each."""
        points, radii = np.asarray(points, float), np.asarray(radii, float)
        return cls(points[:-1], points[1:], np.stack([radii[:-1], radii[1:]], axis=1))

    @classmethod
    def smooth_path(cls, points: FloatArray, radii: FloatArray, steps: int = 8) -> Tubes:
        """A tube along a Catmull-Rom curve through points."""
        points, radii = np.asarray(points, float), np.asarray(radii, float)
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
        u = np.linspace(0, 1, steps, endpoint=False)[:, None]
        curve = []
        for p0, p1, p2, p3 in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
            curve.append(
                0.5
                * (2 * p1 + (p2 - p0) * u + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2 + (3 * p1 - p0 - 3 * p2 + p3) * u**3)
            )
        way = np.concatenate([*curve, points[-1:]])
        at = np.linspace(0, len(points) - 1, len(way))
        return cls.path(way, np.interp(at, np.arange(len(points)), radii))

    @classmethod
    def joined(cls, parts: list[Tubes]) -> Tubes:
        """All pieces of several sets."""
        parts = [p for p in parts if len(p)]
        if not parts:
            return cls()
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("start", "stop", "radius")))

    def select(self, chosen: FloatArray | slice) -> Tubes:
        """The pieces chosen by a mask, indices or a slice."""
        return Tubes(self.start[chosen], self.stop[chosen], self.radius[chosen])


@dataclass
class _Branch:
    start: FloatArray
    stop: FloatArray
    heading: FloatArray
    leaves: int
    chord: FloatArray


def grow_tree(
    rng: np.random.Generator, root: FloatArray, heading: FloatArray, leaves: FloatArray, tip_radius: float
) -> Tubes:
    """A tree from a root to every point of a cloud.

    The cloud is split again and again across its longest extent; each branch runs part of the way to the middle of
    its share of the cloud, then parts in two.

    Args:
        rng: for the irregularity.
        root: where the trunk begins, ``[3]``.
        heading: unit vector in which it sets out.
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
            branches.append(_Branch(start, cloud[0], direction, 1, cloud[0] - start))
            continue
        middle = cloud.mean(axis=0)
        way = middle - start
        share = rng.uniform(0.36, 0.52) if len(cloud) > 3 else rng.uniform(0.5, 0.65)
        stop = start + share * way + rng.normal(0, 0.04, 3) * np.linalg.norm(way)
        branches.append(_Branch(start, stop, direction, len(cloud), stop - start))
        onward = stop - start
        onward = onward / (np.linalg.norm(onward) + 1e-6)
        first, second = _split(rng, cloud, onward)
        waiting += [(stop, onward, first), (stop, onward, second)]
    return _curved(rng, branches, tip_radius)


def _split(rng: np.random.Generator, cloud: FloatArray, onward: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Part a cloud in two across its longest extent at right angles to the way on."""
    spread = cloud - cloud.mean(axis=0)
    spread = spread - 0.7 * np.outer(spread @ onward, onward)
    _, axes = np.linalg.eigh(spread.T @ spread)
    # The sign of an eigenvector is arbitrary and differs between machines.
    axis = axes[:, -1] * (1.0 if axes[np.argmax(np.abs(axes[:, -1])), -1] > 0 else -1.0)
    order = np.argsort(spread @ axis, kind="stable")
    cut = int(np.clip(round(len(cloud) * rng.uniform(0.3, 0.7)), 1, len(cloud) - 1))
    return cloud[order[:cut]], cloud[order[cut:]]


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
