"""Draw the atlas's fissures to those that the image shows: thin bright plates in zones without vessels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.segmentation.atlas import (
    LEFT_OBLIQUE,
    RELIEF_REACH,
    RIGHT_HORIZONTAL,
    RIGHT_OBLIQUE,
    FissureSheet,
    sheet_mm,
    sheet_to_unit,
)
from COVIDQuantLib.segmentation.atlas_frame import FloatArray
from COVIDQuantLib.segmentation.fissures_evidence import image_cost
from COVIDQuantLib.segmentation.fissures_search import cheapest_surface

# The oblique ones first: the horizontal one ends at the right oblique.
ORDER = (RIGHT_OBLIQUE, LEFT_OBLIQUE, RIGHT_HORIZONTAL)
SIDE_VALUE = {RIGHT_OBLIQUE: 1, RIGHT_HORIZONTAL: 1, LEFT_OBLIQUE: 2}


@dataclass(frozen=True)
class Pass:
    """One look at the image.

    Attributes:
        band_mm: how far from the present sheet fissures are looked for.
        pull_mm: how far off the present sheet a fissure is commonly found.
        local: whether the sheet may leave the population's modes.
    """

    band_mm: float
    pull_mm: float
    local: bool


PASSES = (Pass(30.0, 14.0, local=False), Pass(16.0, 8.0, local=True), Pass(10.0, 6.0, local=True))
# A cut lung does not tell its own height: the oblique fissure is looked for at several.
_HEIGHTS_MM = (0.0, -60.0, -40.0, -20.0, 20.0, 40.0, 60.0)
_HEIGHT_SIGMA_MM = 30.0
_HEIGHT_LOOK = Pass(12.0, 8.0, local=False)

_NODE_MM = 2.0
_LEVEL_MM = 1.0
# Every second node carries a level: a plate is told from noise by its neighbourhood.
_THIN = 2
_PULL_COST = 0.35
_STEP_COST = (0.15, 0.5, 1.2)
_JUMP_COST = 3.0
_RIM_MM = 2.5
_ANCHORS = 5
_RELIEF_SIGMA_MM = 5.0


def draw_to_image(
    ct: CTVolume, lungs: np.ndarray, sheets: dict[str, FissureSheet], report: Report = silent
) -> dict[str, FissureSheet]:
    """The sheets moved to where the image shows fissures; elsewhere they stay near the atlas.

    Args:
        ct: on a canonical grid.
        lungs: uint8 ``[k, j, i]``, 1 right, 2 left.
        sheets: from ``place_atlas``.
        report: progress; may raise ``Cancelled``.
    """
    drawn = dict(sheets)
    names = [name for name in ORDER if name in sheets]
    for number, name in enumerate(names):
        tell = part(report, number / len(names), (number + 1) / len(names))
        if drawn[name].loose and name != RIGHT_HORIZONTAL:
            _settle_height(ct, lungs, drawn, name, part(tell, 0.0, 0.5))
        below = drawn.get(RIGHT_OBLIQUE) if name == RIGHT_HORIZONTAL else None
        for turn, look in enumerate(PASSES):
            tell(0.5 + 0.5 * turn / len(PASSES))
            drawn[name] = _drawn(ct, lungs, drawn[name], look, below)
    report(1.0)
    return drawn


def _settle_height(
    ct: CTVolume, lungs: np.ndarray, drawn: dict[str, FissureSheet], oblique: str, report: Report
) -> None:
    """Shift a cut lung's fissures to the height at which most of its oblique fissure is seen."""
    scores = []
    for number, height in enumerate(_HEIGHTS_MM):
        report(number / len(_HEIGHTS_MM))
        seen = _look(ct, lungs, drawn[oblique].raised(height), _HEIGHT_LOOK, None)
        area = 0.0 if seen is None else float(seen.trust.sum()) * (_NODE_MM * _THIN) ** 2
        scores.append(area * np.exp(-0.5 * (height / _HEIGHT_SIGMA_MM) ** 2))
    best = _HEIGHTS_MM[int(np.argmax(scores))]
    for name, sheet in drawn.items():
        if SIDE_VALUE[name] == SIDE_VALUE[oblique]:
            drawn[name] = sheet.raised(best)


@dataclass(frozen=True)
class _Seen:
    """What a pass saw at the nodes.

    Attributes:
        nodes: both sheet coordinates of each.
        offset: from the sheet to the best level, frame units.
        trust: how far that is a fissure's, 0..1.
        unit_mm: millimetres across per frame unit.
    """

    nodes: tuple[FloatArray, ...]
    offset: FloatArray
    trust: FloatArray
    unit_mm: float


def _look(ct: CTVolume, lungs: np.ndarray, sheet: FissureSheet, look: Pass, below: FissureSheet | None) -> _Seen | None:
    """Where the image shows the fissure near the sheet; None if the CT hardly holds that neighbourhood."""
    band = _Band(sheet, look.band_mm)
    hu, inside = band.sample(ct, lungs, SIDE_VALUE[sheet.fissure], below)
    if inside.any(axis=2).mean() < 0.02:
        return None
    image = image_cost(hu, inside, (_NODE_MM, _NODE_MM, _LEVEL_MM), band.blur_mm(ct))
    image, inside = image[::_THIN, ::_THIN], inside[::_THIN, ::_THIN]
    pull = _PULL_COST * (band.offsets / look.pull_mm) ** 2
    level = cheapest_surface((image + pull).astype(np.float32), _STEP_COST, _JUMP_COST)
    offset = np.interp(level, np.arange(len(band.offsets)), band.offsets) / band.mm[2]
    nodes = tuple(np.meshgrid(band.first[::_THIN], band.second[::_THIN], indexing="ij"))
    return _Seen(nodes, offset, _trust(image, inside, level), float(band.mm[2]))


def _drawn(
    ct: CTVolume, lungs: np.ndarray, sheet: FissureSheet, look: Pass, below: FissureSheet | None
) -> FissureSheet:
    """The sheet after one pass."""
    seen = _look(ct, lungs, sheet, look, below)
    if seen is None:
        return sheet
    moved = _along_modes(sheet, seen)
    return _with_relief(moved, sheet, seen) if look.local else moved


def _trust(image: FloatArray, inside: np.ndarray, level: FloatArray) -> FloatArray:
    """How far the level found at each node is a fissure's, 0..1: by how much it stands out from its column's mean.

    On phantoms levels with a gain over 2 lie within 2 mm of the fissure; below 1 most are chance.
    """
    chosen = np.rint(level).astype(np.int64)[..., None]
    there = np.take_along_axis(inside, chosen, axis=2)[..., 0].astype(np.float32)
    usual = (image * inside).sum(axis=2) / np.maximum(inside.sum(axis=2), 1)
    gain = usual - np.take_along_axis(image, chosen, axis=2)[..., 0]
    sigma = 8.0 / (_NODE_MM * _THIN)
    around = ndimage.gaussian_filter(there, sigma)
    gain = ndimage.gaussian_filter(gain * there, sigma) / np.maximum(around, 0.05)
    return np.clip((gain - 0.8) / 1.4, 0, 1) * there


class _Band:
    """The neighbourhood of a sheet, unrolled: nodes along its two coordinates, levels across."""

    def __init__(self, sheet: FissureSheet, band_mm: float) -> None:
        self.sheet = sheet
        self.mm = sheet_mm(sheet.fissure, sheet.frame)
        # Every second node carries a level and the last is one of them, so that the levels are the relief's lattice.
        counts = [_THIN * int(np.ceil(2 * RELIEF_REACH * mm / _NODE_MM / _THIN)) + 1 for mm in self.mm[:2]]
        self.first, self.second = (np.linspace(-RELIEF_REACH, RELIEF_REACH, count) for count in counts)
        half = int(np.ceil(band_mm / _LEVEL_MM))
        self.offsets = np.arange(-half, half + 1) * _LEVEL_MM

    def sample(
        self, ct: CTVolume, lungs: np.ndarray, side: int, below: FissureSheet | None
    ) -> tuple[FloatArray, np.ndarray]:
        """HU at each node and level, and whether it lies in the lung away from its rim (and above ``below``)."""
        first, second = np.meshgrid(self.first, self.second, indexing="ij")
        level = self.sheet.level(first, second)
        points = self._points(first, second, level)
        index = (points / np.array(ct.geometry.spacing, np.float32))[..., ::-1].transpose(3, 0, 1, 2)
        hu = ndimage.map_coordinates(ct.hu, index, output=np.float32, order=1, mode="nearest")
        nearest = np.rint(index).astype(np.int32)
        within = np.all([(n >= 0) & (n < size) for n, size in zip(nearest, lungs.shape, strict=True)], axis=0)
        for axis, size in enumerate(lungs.shape):
            np.clip(nearest[axis], 0, size - 1, out=nearest[axis])
        inside = (lungs[tuple(nearest)] == side) & within
        rim = [max(1, round(_RIM_MM / mm)) for mm in (_NODE_MM, _NODE_MM, _LEVEL_MM)]
        inside = ndimage.minimum_filter(inside, [2 * r + 1 for r in rim])
        # No fissure has been seen beyond the landmarks' reach, and the horizontal one has an end inside the lung.
        inside &= (second <= self.sheet.model.reach[1, 1])[..., None]
        if below is not None:
            inside &= below.height(points) * sheet_mm(below.fissure, below.frame)[2] > 2.0
        return hu, inside

    def _points(self, first: FloatArray, second: FloatArray, level: FloatArray) -> FloatArray:
        """Positions of all nodes and levels; the frame bends so gently that a few levels tell the others."""
        anchors = np.linspace(self.offsets[0], self.offsets[-1], _ANCHORS)
        across = level[..., None] + anchors / self.mm[2]
        unit = sheet_to_unit(self.sheet.fissure, first[..., None], second[..., None], across)
        place = np.interp(self.offsets, anchors, np.arange(_ANCHORS))
        low = np.minimum(place.astype(int), _ANCHORS - 2)
        share = (place - low)[:, None].astype(np.float32)
        points = self.sheet.frame.to_points(unit).astype(np.float32)
        return (1 - share) * points[:, :, low] + share * points[:, :, low + 1]

    def blur_mm(self, ct: CTVolume) -> float:
        """Width of a plate across the sheet as these sections show it (standard deviation)."""
        thickness = ct.geometry.spacing[2]
        upright = self.mm[2] / self.sheet.frame.unit_mm[2]
        share = 1.0 if self.sheet.fissure == RIGHT_HORIZONTAL else upright * np.sqrt(0.5)
        return float(np.hypot(1.0, 0.35 * thickness * share))


def _along_modes(sheet: FissureSheet, seen: _Seen) -> FissureSheet:
    """The sheet shifted within the population's modes to the levels found, each weighed by its trust."""
    model = sheet.model
    lift = (model.terms(*seen.nodes) @ model.modes).reshape(-1, model.modes.shape[1])
    # Nodes within about 12 mm tell the same story.
    weight = seen.trust.ravel() * (_NODE_MM * _THIN / 12.0) ** 2
    target = seen.offset.ravel() + (sheet.level(*seen.nodes) - sheet.smooth_level(*seen.nodes)).ravel()
    target = target + lift @ (sheet.weights - sheet.expected)
    change = np.zeros(lift.shape[1])
    sigma = 3.0 / seen.unit_mm
    # Tolerant at first, then outliers lose their say.
    for tolerance in (20.0, 10.0, 5.0, 3.0, 2.0, 2.0, 2.0):
        residual = (target - lift @ change) / sigma
        robust = weight / (1 + (residual / tolerance) ** 2) / sigma**2
        normal = (lift * robust[:, None]).T @ lift + np.eye(lift.shape[1])
        change = np.linalg.solve(normal, (lift * robust[:, None]).T @ target)
    return replace(sheet, weights=sheet.expected + change, relief=None)


def _with_relief(moved: FissureSheet, before: FissureSheet, seen: _Seen) -> FissureSheet:
    """What the levels found add to the moved sheet, smoothed; it fades out where nothing is seen."""
    rest = before.level(*seen.nodes) + seen.offset - moved.level(*seen.nodes)
    sigma = _RELIEF_SIGMA_MM / (_NODE_MM * _THIN)
    total = ndimage.gaussian_filter(seen.trust, sigma)
    return replace(moved, relief=ndimage.gaussian_filter(rest * seen.trust, sigma) / (total + 0.05))
