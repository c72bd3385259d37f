"""Draw the atlas's fissures to those that the image shows: thin bright plates in zones without vessels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.progress import Report, silent
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


PASSES = (Pass(30.0, 14.0, local=False), Pass(16.0, 8.0, local=False), Pass(10.0, 6.0, local=True))

_NODE_MM = 2.0
_LEVEL_MM = 1.0
# Nodes carry costs every third one: a plate is told from noise by its neighbourhood.
_THIN = 2
_AIR_HU, _SOFT_HU = -1000.0, -500.0
_RIM_MM = 2.5


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
        below = drawn.get(RIGHT_OBLIQUE) if name == RIGHT_HORIZONTAL else None
        for turn, look in enumerate(PASSES):
            report((number + turn / len(PASSES)) / len(names))
            drawn[name] = _look(ct, lungs, drawn[name], look, below)
    report(1.0)
    return drawn


def _look(ct: CTVolume, lungs: np.ndarray, sheet: FissureSheet, look: Pass, below: FissureSheet | None) -> FissureSheet:
    """One pass over one fissure."""
    band = _Band(sheet, look.band_mm)
    hu, inside = band.sample(ct, lungs, SIDE_VALUE[sheet.fissure], below)
    if inside.any(axis=2).mean() < 0.02:
        return sheet
    evidence = plate_evidence(hu, inside, band.blur_mm(ct))
    cost = -evidence + 1.5 * vessel_density(hu, inside)
    cost = cost[::_THIN, ::_THIN]
    offsets = band.offsets
    seen = inside[::_THIN, ::_THIN].any(axis=2)
    cost += 0.35 * (offsets / look.pull_mm) ** 2
    level, margin = cheapest_surface(cost.astype(np.float32), (0.15, 0.5, 1.2), 3.0)
    trust = np.clip(margin / 1.5, 0, 1) * seen
    offset = np.interp(level, np.arange(len(offsets)), offsets) / band.mm[2]
    first, second = np.meshgrid(band.first[::_THIN], band.second[::_THIN], indexing="ij")
    moved = _along_modes(sheet, first, second, offset, trust, band.mm[2])
    return _with_relief(moved, sheet, band, offset, trust) if look.local else moved


class _Band:
    """The neighbourhood of a sheet, unrolled: nodes along its two coordinates, levels across."""

    def __init__(self, sheet: FissureSheet, band_mm: float) -> None:
        self.sheet = sheet
        self.mm = sheet_mm(sheet.fissure, sheet.frame)
        self.first, self.second = (
            np.linspace(-RELIEF_REACH, RELIEF_REACH, int(np.ceil(2 * RELIEF_REACH * mm / _NODE_MM)) + 1)
            for mm in self.mm[:2]
        )
        half = int(np.ceil(band_mm / _LEVEL_MM))
        self.offsets = np.arange(-half, half + 1) * _LEVEL_MM

    def sample(
        self, ct: CTVolume, lungs: np.ndarray, side: int, below: FissureSheet | None
    ) -> tuple[FloatArray, np.ndarray]:
        """HU at each node and level, and whether it lies in the lung away from its rim (and above ``below``)."""
        first, second = np.meshgrid(self.first, self.second, indexing="ij")
        level = self.sheet.level(first, second)
        across = level[..., None] + self.offsets / self.mm[2]
        points = self.sheet.frame.to_points(
            sheet_to_unit(self.sheet.fissure, first[..., None], second[..., None], across)
        )
        index = (points / np.array(ct.geometry.spacing))[..., ::-1].transpose(3, 0, 1, 2)
        hu = ndimage.map_coordinates(ct.hu, index, output=np.float32, order=1, mode="nearest")
        nearest = np.rint(index).astype(np.int32)
        within = np.all([(n >= 0) & (n < size) for n, size in zip(nearest, lungs.shape, strict=True)], axis=0)
        for axis, size in enumerate(lungs.shape):
            np.clip(nearest[axis], 0, size - 1, out=nearest[axis])
        inside = (lungs[tuple(nearest)] == side) & within
        rim = [max(1, round(_RIM_MM / mm)) for mm in (_NODE_MM, _NODE_MM, _LEVEL_MM)]
        inside = ndimage.minimum_filter(inside, [2 * r + 1 for r in rim])
        if below is not None:
            inside &= below.height(points) * sheet_mm(below.fissure, below.frame)[2] > 2.0
        return hu, inside

    def blur_mm(self, ct: CTVolume) -> float:
        """Width of a plate across the sheet as these sections show it (standard deviation)."""
        thickness = ct.geometry.spacing[2]
        upright = self.mm[2] / self.sheet.frame.unit_mm[2]
        share = 1.0 if self.sheet.fissure == RIGHT_HORIZONTAL else upright * np.sqrt(0.5)
        return float(np.hypot(1.0, 0.35 * thickness * share))


def plate_evidence(hu: FloatArray, inside: np.ndarray, width_mm: float) -> FloatArray:
    """How much each node and level looks like a thin bright plate along the sheet, in noise units 0..6.

    Args:
        hu: ``(first, second, levels)``.
        inside: where to look.
        width_mm: standard deviation of the plate across.
    """
    weight = (inside & (hu < _SOFT_HU)).astype(np.float32)
    value = np.clip(hu, _AIR_HU, _SOFT_HU)
    sheet_sigma = (3.0 / _NODE_MM, 3.0 / _NODE_MM)
    centre = _blurred(value, weight, (*sheet_sigma, width_mm / _LEVEL_MM))
    around = _blurred(value, weight, (*sheet_sigma, 2.5 * width_mm / _LEVEL_MM))
    rise = np.where(inside, centre - around, 0.0)
    if not inside.any():
        return rise
    noise = 1.4826 * np.median(np.abs(rise[inside])) + 1e-3
    return np.clip(rise / noise - 0.5, 0, 6).astype(np.float32)


def vessel_density(hu: FloatArray, inside: np.ndarray) -> FloatArray:
    """Share of vessels about each node and level, relative to the whole band's, 0..3."""
    lung = inside.astype(np.float32)
    back = _blurred(np.clip(hu, _AIR_HU, _SOFT_HU), lung, (8.0 / _NODE_MM, 8.0 / _NODE_MM, 8.0 / _LEVEL_MM))
    vessel = np.clip((hu - back - 80.0) / 120.0, 0, 1)
    share = _blurred(vessel, lung, (5.0 / _NODE_MM, 5.0 / _NODE_MM, 2.0 / _LEVEL_MM))
    usual = float(share[inside].mean()) if inside.any() else 1.0
    return np.where(inside, np.clip(share / max(usual, 1e-3), 0, 3), 1.0).astype(np.float32)


def _blurred(value: FloatArray, weight: FloatArray, sigma: tuple[float, ...]) -> FloatArray:
    """Gaussian mean of the values that count."""
    total = ndimage.gaussian_filter(weight, sigma, mode="constant", truncate=3.0)
    mean = ndimage.gaussian_filter(value * weight, sigma, mode="constant", truncate=3.0)
    return np.where(total > 0.02, mean / np.maximum(total, 0.02), 0.0)


def _along_modes(
    sheet: FissureSheet, first: FloatArray, second: FloatArray, offset: FloatArray, trust: FloatArray, unit_mm: float
) -> FissureSheet:
    """The sheet shifted within the population's modes to the levels found, each weighed by its trust."""
    model = sheet.model
    lift = (model.terms(first, second) @ model.modes).reshape(-1, model.modes.shape[1])
    sigma = 3.0 / unit_mm
    # Nodes within about 12 mm tell the same story.
    independent = (_NODE_MM * _THIN / 12.0) ** 2
    target = offset.ravel() + lift @ (sheet.weights - sheet.expected)
    weight = trust.ravel() * independent
    change = sheet.weights - sheet.expected
    for _ in range(8):
        residual = (target - lift @ change) / sigma
        robust = weight / (1 + (residual / 2.0) ** 2) / sigma**2
        normal = (lift * robust[:, None]).T @ lift + np.eye(lift.shape[1])
        change = np.linalg.solve(normal, (lift * robust[:, None]).T @ target)
    return replace(sheet, weights=sheet.expected + change)


def _with_relief(
    moved: FissureSheet, before: FissureSheet, band: _Band, offset: FloatArray, trust: FloatArray
) -> FissureSheet:
    """What the levels found add to the moved sheet, smoothed; it fades out where nothing is seen."""
    first, second = np.meshgrid(band.first[::_THIN], band.second[::_THIN], indexing="ij")
    rest = before.level(first, second) + offset - moved.level(first, second)
    sigma = 5.0 / (_NODE_MM * _THIN)
    total = ndimage.gaussian_filter(trust, sigma)
    mean = ndimage.gaussian_filter(rest * trust, sigma) / (total + 0.1)
    full = RELIEF_REACH * 2
    places = [
        np.linspace(0, full / (axis[1] - axis[0]) / _THIN, 2 * n) for axis, n in ((band.first, 60), (band.second, 60))
    ]
    rows, columns = np.meshgrid(*places, indexing="ij")
    return replace(moved, relief=ndimage.map_coordinates(mean, [rows, columns], order=1, mode="nearest"))
