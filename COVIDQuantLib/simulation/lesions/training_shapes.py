"""Shapes of lesions as signed depths in millimetres: positive inside, 0 on the half-way contour.

The phantom's lesions are implicit balls with two octaves of waves; these are made otherwise on purpose (bent and
turned ellipsoids, unions, thresholded noise, bands along the pleura, arcades along cell walls, rings, cuffs of
bronchi), so that a network that learns from both sees more than one style.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from COVIDQuantLib.simulation.fields.tiled_fields import Axes, Fields, FloatArray

# How far some shapes reach, in radii of their ball; how far all may grow and be soft.
_WIDTH = {"cloud": 1.8, "cuff": 2.3}
_GROWTH_MM = 6.0


@dataclass(frozen=True)
class Shape:
    """What one lesion looks like from outside.

    Attributes:
        name: key of ``SHAPES``.
        centre: z, y, x in mm.
        radius: half its size, mm.
        axes: rows turn and stretch mm into a unit ball, ``[3, 3]``, in units of the radius.
        bend: how far waves displace it, in radii.
        rough: how far finer waves move its edge, in radii.
        shift: place in the tiles of noise.
        balls: centres of the parts of a union in radii and their radii, ``[n, 4]``.
        thickness: of a band, ring or arcade, mm.
    """

    name: str
    centre: tuple[float, float, float]
    radius: float
    axes: FloatArray = field(repr=False)
    bend: float
    rough: float
    shift: float
    balls: FloatArray = field(repr=False)
    thickness: float

    @property
    def reach(self) -> FloatArray:
        """No part of it lies farther than this from its centre along z, y, x, mm."""
        wide = _WIDTH.get(self.name, 1.0)
        if self.name == "union":
            wide = float((np.linalg.norm(self.balls[:, :3], axis=1) + self.balls[:, 3]).max())
        waves = 1.5 * self.bend + 2.5 * self.rough
        return self.radius * (wide + waves) * np.linalg.norm(np.linalg.inv(self.axes), axis=1) + _GROWTH_MM


@dataclass(frozen=True)
class Place:
    """Where a shape is evaluated: a regular grid.

    Attributes:
        axes: positions along z, y, x in mm.
        depth: distance to the lungs' surface, mm, ``[z, y, x]``.
        fields: noise.
    """

    axes: Axes
    depth: FloatArray
    fields: Fields


def draw_shape(rng: np.random.Generator, name: str, centre: FloatArray, radius: float) -> Shape:
    """A shape of the kind with everything else by chance."""
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    stretch = np.exp(rng.normal(0, 0.22, 3))
    count = int(rng.integers(3, 9))
    offsets = rng.normal(0, 0.48, (count, 3))
    balls = np.concatenate([offsets, rng.uniform(0.3, 0.72, (count, 1))], axis=1)
    z, y, x = (float(c) for c in centre)
    return Shape(
        name,
        (z, y, x),
        radius,
        (turn / stretch[:, None]).astype(np.float32),
        float(rng.uniform(0.05, 0.4)),
        float(rng.choice([0.02, 0.06, 0.12, 0.2])),
        float(rng.uniform(0, 40)),
        balls.astype(np.float32),
        float(rng.uniform(3.0, 5.0) + rng.exponential(0.18) * radius),
    )


def _local(shape: Shape, place: Place) -> list[FloatArray]:
    """Coordinates in the lesion's own bent frame, in radii."""
    rays = [axis - c for axis, c in zip(place.axes, shape.centre, strict=True)]
    z, y, x = rays[0][:, None, None], rays[1][None, :, None], rays[2][None, None, :]
    local = []
    for number, row in enumerate(shape.axes):
        straight = (row[0] * z + row[1] * y + row[2] * x) / np.float32(shape.radius)
        wave = place.fields.smooth.at(place.axes, 1.3 * shape.radius, shape.shift + 3.3 * number)
        local.append(straight + np.float32(shape.bend * 0.5) * wave)
    return local


def _norm(local: list[FloatArray]) -> FloatArray:
    return np.sqrt(local[0] ** 2 + local[1] ** 2 + local[2] ** 2)


def _edge_waves(shape: Shape, place: Place) -> FloatArray:
    wave = max(0.7 * shape.radius, 6.0)
    return np.float32(shape.rough) * place.fields.rough.at(place.axes, wave, shape.shift + 1.7)


def _ellipsoid(shape: Shape, place: Place) -> FloatArray:
    return (1 - _norm(_local(shape, place)) + _edge_waves(shape, place)) * shape.radius


def _union(shape: Shape, place: Place) -> FloatArray:
    local = _local(shape, place)
    best: FloatArray = np.full(local[0].shape, -9, np.float32)
    for a, b, c, size in shape.balls:
        best = np.maximum(best, size - _norm([local[0] - a, local[1] - b, local[2] - c]))
    return (best + _edge_waves(shape, place)) * shape.radius


def _cloud(shape: Shape, place: Place) -> FloatArray:
    """Noise over a threshold that rises away from the centre: patchy, with holes and islands."""
    far = _norm(_local(shape, place))
    noise = place.fields.smooth.at(place.axes, max(0.8 * shape.radius, 12.0), shape.shift)
    noise = noise + 0.8 * place.fields.rough.at(place.axes, max(1.5 * shape.radius, 20.0), shape.shift + 8)
    return (0.22 * noise + 0.75 * (0.85 - far) + _edge_waves(shape, place)) * shape.radius


def _band(shape: Shape, place: Place) -> FloatArray:
    """A layer under the pleura, longer than deep."""
    far = (1 - _norm(_local(shape, place)) + _edge_waves(shape, place)) * shape.radius
    noise = place.fields.rough.at(place.axes, max(shape.radius, 10.0), shape.shift + 5.1)
    layer = shape.thickness * (1 + 0.4 * noise) - place.depth
    return np.minimum(far, layer)


def _arcades(shape: Shape, place: Place) -> FloatArray:
    """Thick curved lines along the borders of lobules of 12–20 mm."""
    far = (1 - _norm(_local(shape, place)) + _edge_waves(shape, place)) * shape.radius
    size = 12.0 + 8.0 * (shape.shift % 1)
    walls = place.fields.cells.at(place.axes, size, shape.shift) * size
    return np.minimum(far, 0.6 * (min(shape.thickness, 5.0) - walls))


def _ring(shape: Shape, place: Place) -> FloatArray:
    """A rim around clearer lung: the reversed halo."""
    far = (1 - _norm(_local(shape, place)) + _edge_waves(shape, place)) * shape.radius
    rim = min(shape.thickness, 0.5 * shape.radius)
    return np.minimum(far, rim - far)


def _cuff(shape: Shape, place: Place) -> FloatArray:
    """Drawn out along one axis, as around a bronchus."""
    a, b, c = _local(shape, place)
    far = _norm([0.45 * a, 1.6 * b, 1.6 * c])
    return (1 - far + _edge_waves(shape, place)) * 0.62 * shape.radius


SHAPES: dict[str, Callable[[Shape, Place], FloatArray]] = {
    "ellipsoid": _ellipsoid,
    "union": _union,
    "cloud": _cloud,
    "band": _band,
    "arcades": _arcades,
    "ring": _ring,
    "cuff": _cuff,
}


def signed_depth(shape: Shape, place: Place) -> FloatArray:
    """How deep inside the shape each point of the grid lies, mm, ``[z, y, x]``; negative outside."""
    return SHAPES[shape.name](shape, place).astype(np.float32, copy=False)
