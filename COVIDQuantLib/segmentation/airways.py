"""Find trachea and main bronchi: air tubes in the mediastinum, tracked slice by slice with leak detection.

Working method of paper row P2's references: a tube is found near the midline and tracked towards the feet; where the
lumen would leak into lung, a stricter threshold is tried, and the branch ends if none works.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.voxels.morphology import Spacing

# Thresholds of the lumen, loosest first; the strictest works even in lung inflated to −900 HU.
LUMEN_HU = (-700, -800, -870, -920, -950)
SEED_HU = -750
SEED_AREA_MM2 = (40.0, 800.0)
SEED_RADIUS_MM = (3.0, 14.0)
SEED_ROUNDNESS = 0.25
SEED_ENCLOSED = 0.5
# Of a bronchus still outside the lung at least this share of the surroundings is soft tissue.
ENCLOSED = 0.3
SEED_OFF_MIDLINE_MM = 45.0
SEED_LENGTH_MM = 20.0
# A separate tube is a bronchus only this near the end of the highest one; a tongue of lung in front of the heart is
# not.
BELOW_HIGHEST_MM = 30.0
BESIDE_HIGHEST_MM = 45.0
LUMEN_RADIUS_MM = 14.0
LUMEN_AREA_MM2 = 1500.0
LUMEN_GROWTH = 2.5
# A leak into lung spreads out: many times the area of its largest circle.
LUMEN_SPRAWL = 6.0
SMALLEST_MM2 = 20.0
SOFT_HU = -500


@dataclass(frozen=True)
class _Plane:
    """One axial slice of the working grid: HU, where air may be airway, and its geometry."""

    hu: np.ndarray
    air: np.ndarray
    spacing: tuple[float, float]

    @property
    def pixel_mm2(self) -> float:
        return self.spacing[0] * self.spacing[1]

    def radius(self, part: np.ndarray) -> float:
        """Radius in mm of the largest circle within a part."""
        padded = np.pad(part, 1)
        return float(ndimage.distance_transform_edt(padded, sampling=self.spacing).max())

    def enclosed(self, part: np.ndarray) -> float:
        """Share of soft tissue in the ring around a part, two pixels away, to exclude its blurred rim."""
        inner = ndimage.binary_dilation(part)
        ring = ndimage.binary_dilation(inner) & ~inner
        return float((self.hu[ring] > SOFT_HU).mean()) if ring.any() else 0.0


def find_airways(
    hu: np.ndarray, air: np.ndarray, spacing: Spacing, midline: np.ndarray, report: Report = silent
) -> np.ndarray:
    """Find the lumen of trachea and bronchi.

    Args:
        hu: working grid ``[k, j, i]``, canonical.
        air: air within the body.
        spacing: mm per axis ``(k, j, i)``.
        midline: per slice the column ``i`` of the patient's midline.
        report: progress.

    Returns:
        Bool array ``[k, j, i]``; empty where no tube is found (lower lungs alone).
    """
    planes = [_Plane(hu[k], air[k], spacing[1:]) for k in range(len(hu))]
    lumen = np.zeros(hu.shape, bool)
    tubes = _of_one_tree(_tubes([_seeds(plane, midline[k]) for k, plane in enumerate(planes)], spacing[0]), spacing)
    report(0.4)
    for number, tube in enumerate(tubes):
        for k, part in tube:
            lumen[k] |= part
        for step in (-1, 1):
            _follow(planes, lumen, tube[0] if step < 0 else tube[-1], step)
        report(0.4 + 0.6 * (number + 1) / len(tubes))
    return lumen


def _seeds(plane: _Plane, middle: float) -> list[np.ndarray]:
    """Parts of a slice that look like a cut through trachea or main bronchus."""
    labels, count = ndimage.label(plane.air & (plane.hu < SEED_HU))
    if not count:
        return []
    areas = np.bincount(labels.ravel())[1:] * plane.pixel_mm2
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, count + 1)))
    off = np.abs(centres[:, 1] - middle) * plane.spacing[1]
    plausible = (areas >= SEED_AREA_MM2[0]) & (areas <= SEED_AREA_MM2[1]) & (off <= SEED_OFF_MIDLINE_MM)
    found = []
    for label in np.flatnonzero(plausible) + 1:
        part = labels == label
        radius = plane.radius(part)
        round_enough = np.pi * radius**2 / areas[label - 1] >= SEED_ROUNDNESS
        wide_enough = SEED_RADIUS_MM[0] <= radius <= SEED_RADIUS_MM[1]
        if wide_enough and round_enough and plane.enclosed(part) >= SEED_ENCLOSED:
            found.append(part)
    return found


def _tubes(seeds: list[list[np.ndarray]], slice_mm: float) -> list[list[tuple[int, np.ndarray]]]:
    """Chains of overlapping seeds through the slices that are long enough to be an airway."""
    finished: list[list[tuple[int, np.ndarray]]] = []
    growing: list[list[tuple[int, np.ndarray]]] = []
    for k, parts in enumerate(seeds):
        continued = []
        for part in parts:
            at = next((n for n, tube in enumerate(growing) if (tube[-1][1] & part).any()), None)
            tube = [] if at is None else growing.pop(at)
            tube.append((k, part))
            continued.append(tube)
        finished += growing
        growing = continued
    needed = min(SEED_LENGTH_MM, 0.7 * len(seeds) * slice_mm)
    return [tube for tube in finished + growing if len(tube) * slice_mm >= needed]


def _of_one_tree(tubes: list[list[tuple[int, np.ndarray]]], spacing: Spacing) -> list[list[tuple[int, np.ndarray]]]:
    """The highest tube and those that start near its lower end."""
    if len(tubes) < 2:
        return tubes
    highest = max(tubes, key=lambda tube: (tube[-1][0], len(tube)))
    end, part = highest[0]
    row = np.nonzero(part)[0].mean()

    def near(tube: list[tuple[int, np.ndarray]]) -> bool:
        top, upper = tube[-1]
        return (
            top * spacing[0] > end * spacing[0] - BELOW_HIGHEST_MM
            and abs(np.nonzero(upper)[0].mean() - row) * spacing[1] < BESIDE_HIGHEST_MM
        )

    # Over a whole neck the trachea itself runs further to the front than its branches may lie apart.
    return [tube for tube in tubes if tube is highest or near(tube)]


def _follow(planes: list[_Plane], lumen: np.ndarray, start: tuple[int, np.ndarray], step: int) -> None:
    """Track a tube from a slice towards the feet (−1) or the head (+1), adding to ``lumen``."""
    k, current = start
    while 0 <= k + step < len(planes) and current.any():
        k += step
        current = _next(planes[k], current)
        lumen[k] |= current


def _next(plane: _Plane, before: np.ndarray) -> np.ndarray:
    """The lumen in the next slice: per branch the loosest threshold that does not leak into lung."""
    lumen = np.zeros_like(before)
    area_before = before.sum() * plane.pixel_mm2
    largest = min(LUMEN_AREA_MM2, LUMEN_GROWTH * area_before + 100.0)
    reached = ndimage.binary_dilation(before)
    for threshold in LUMEN_HU:
        labels, _ = ndimage.label(plane.air & (plane.hu < threshold))
        for label in np.unique(labels[reached & (labels > 0) & ~lumen]):
            part = labels == label
            area = part.sum() * plane.pixel_mm2
            radius = plane.radius(part)
            compact = area <= LUMEN_SPRAWL * np.pi * radius**2
            fits = SMALLEST_MM2 <= area <= largest and radius <= LUMEN_RADIUS_MM
            if fits and compact and plane.enclosed(part) >= ENCLOSED:
                lumen |= part
    return lumen
