"""Fit fissure sheets to detected fissures; elsewhere they stay near the expected shape."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import FISSURE, FISSURES
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.segmentation.atlas.lung_frame import FloatArray
from COVIDQuantLib.segmentation.atlas.model import FissureSheet
from COVIDQuantLib.segmentation.fissures.band import NODE_MM, THIN, Band
from COVIDQuantLib.segmentation.fissures.evidence_sources import EvidenceSource, Pass
from COVIDQuantLib.segmentation.fissures.surface_search import cheapest_surface

# Those that run through the whole lung first: the others end at one of them.
ORDER = sorted(FISSURES, key=lambda fissure: bool(fissure.ends_at))

# The height of a cut lung is unknown: the oblique fissure is searched for at several.
_HEIGHTS_MM = (0.0, -60.0, -40.0, -20.0, 20.0, 40.0, 60.0)
_HEIGHT_SIGMA_MM = 30.0
_HEIGHT_LOOK = Pass(12.0, 8.0, local=False)

_PULL_COST = 0.35
_STEP_COST = (0.15, 0.5, 1.2)
_JUMP_COST = 3.0
_RELIEF_SIGMA_MM = 5.0


@dataclass(frozen=True)
class Sighting:
    """How reliably a fissure was detected.

    Attributes:
        trust: 0..1 on a lattice over ``RELIEF_REACH`` of both of the sheet's coordinates; zero where it is outside the
            lung.
        share: mean of the trust within the lung.
    """

    trust: FloatArray
    share: float


def draw_to_image(
    sight: EvidenceSource, sheets: dict[str, FissureSheet], report: Report = silent
) -> tuple[dict[str, FissureSheet], dict[str, Sighting]]:
    """Move the sheets to the detected fissures.

    Args:
        sight: the evidence.
        sheets: from ``place_atlas`` or ``sheets_of_lobes``.
        report: progress; may raise ``Cancelled``.

    Returns:
        The sheets, and how reliably each was detected.
    """
    drawn, sightings = dict(sheets), {}
    known = [fissure for fissure in ORDER if fissure.name in sheets]
    for number, fissure in enumerate(known):
        name = fissure.name
        tell = part(report, number / len(known), (number + 1) / len(known))
        if drawn[name].loose and not fissure.ends_at:
            _settle_height(sight, drawn, name, part(tell, 0.0, 0.5))
        below = drawn.get(fissure.ends_at)
        tell(0.5)
        tries = [_drawn(sight, drawn[name], passes, below) for passes in (sight.passes, *sight.others)]
        drawn[name], seen = max(tries, key=lambda found: 0.0 if found[1] is None else found[1].share)
        if seen is not None:
            sightings[name] = Sighting(seen.trust, seen.share)
    report(1.0)
    return drawn, sightings


def _drawn(
    sight: EvidenceSource, sheet: FissureSheet, passes: tuple[Pass, ...], below: FissureSheet | None
) -> tuple[FissureSheet, _Seen | None]:
    """A sheet after all passes, and the result of the last one."""
    last = None
    for look in passes:
        seen = _look(sight, sheet, look, below)
        if seen is not None:
            sheet, last = _moved(sheet, seen, look), seen
    return sheet, last


def _settle_height(sight: EvidenceSource, drawn: dict[str, FissureSheet], oblique: str, report: Report) -> None:
    """Shift a cut lung's fissures to the height at which most of its oblique fissure is detected."""
    scores = []
    for number, height in enumerate(_HEIGHTS_MM):
        report(number / len(_HEIGHTS_MM))
        seen = _look(sight, drawn[oblique].raised(height), _HEIGHT_LOOK, None)
        area = 0.0 if seen is None else float(seen.trust.sum()) * (NODE_MM * THIN) ** 2
        scores.append(area * np.exp(-0.5 * (height / _HEIGHT_SIGMA_MM) ** 2))
    best = _HEIGHTS_MM[int(np.argmax(scores))]
    for name, sheet in drawn.items():
        if FISSURE[name].side == FISSURE[oblique].side:
            drawn[name] = sheet.raised(best)


@dataclass(frozen=True)
class _Seen:
    """The result of a pass at the nodes.

    Attributes:
        nodes: both sheet coordinates of each.
        offset: from the sheet to the best level, frame units.
        trust: confidence that this is the fissure, 0..1.
        unit_mm: millimetres across per frame unit.
        share: mean trust where the sheet runs through the lung.
    """

    nodes: tuple[FloatArray, ...]
    offset: FloatArray
    trust: FloatArray
    unit_mm: float
    share: float


def _look(sight: EvidenceSource, sheet: FissureSheet, look: Pass, below: FissureSheet | None) -> _Seen | None:
    """Detect the fissure near the sheet; None if hardly any of that neighbourhood is in the CT."""
    band = Band(sheet, look.band_mm)
    cost, inside = sight.cost(band, below)
    if inside.any(axis=2).mean() < 0.02:
        return None
    pull = _PULL_COST * (band.offsets / look.pull_mm) ** 2
    level = cheapest_surface((cost + pull).astype(np.float32), _STEP_COST, _JUMP_COST)
    offset = np.interp(level, np.arange(len(band.offsets)), band.offsets) / band.mm[2]
    chosen = np.rint(level).astype(np.int64)[..., None]
    there = np.take_along_axis(inside, chosen, axis=2)[..., 0].astype(np.float32)
    trust = _trust(sight.gain(cost, inside, chosen), there)
    share = float(trust.sum() / max(float(there.sum()), 1.0))
    return _Seen(band.nodes, offset, trust, float(band.mm[2]), share)


def _trust(gain: FloatArray, there: FloatArray) -> FloatArray:
    """Confidence that the level found at each node is a fissure, 0..1, pooled over its neighbourhood."""
    sigma = 8.0 / (NODE_MM * THIN)
    around = ndimage.gaussian_filter(there, sigma)
    smooth = ndimage.gaussian_filter(gain * there, sigma) / np.maximum(around, 0.05)
    result: FloatArray = np.clip(smooth, 0, 1) * there
    return result


def _moved(sheet: FissureSheet, seen: _Seen, look: Pass) -> FissureSheet:
    """The sheet after one pass."""
    moved = _along_modes(sheet, seen)
    return _with_relief(moved, sheet, seen) if look.local else moved


def _along_modes(sheet: FissureSheet, seen: _Seen) -> FissureSheet:
    """Shift the sheet within the population's modes to the levels found, weighted by trust."""
    model = sheet.model
    lift = (model.terms(*seen.nodes) @ model.modes).reshape(-1, model.modes.shape[1])
    # Nodes within about 12 mm are correlated.
    weight = seen.trust.ravel() * (NODE_MM * THIN / 12.0) ** 2
    target = seen.offset.ravel() + (sheet.level(*seen.nodes) - sheet.smooth_level(*seen.nodes)).ravel()
    target = target + lift @ (sheet.weights - sheet.expected)
    change = np.zeros(lift.shape[1])
    sigma = 3.0 / seen.unit_mm
    # Tolerant at first, then outliers are down-weighted.
    for tolerance in (20.0, 10.0, 5.0, 3.0, 2.0, 2.0, 2.0):
        residual = (target - lift @ change) / sigma
        robust = weight / (1 + (residual / tolerance) ** 2) / sigma**2
        normal = (lift * robust[:, None]).T @ lift + np.eye(lift.shape[1])
        change = np.linalg.solve(normal, (lift * robust[:, None]).T @ target)
    return replace(sheet, weights=sheet.expected + change, relief=None)


def _with_relief(moved: FissureSheet, before: FissureSheet, seen: _Seen) -> FissureSheet:
    """The smoothed deviation of the levels found from the moved sheet; it fades out where nothing is detected."""
    rest = before.level(*seen.nodes) + seen.offset - moved.level(*seen.nodes)
    sigma = _RELIEF_SIGMA_MM / (NODE_MM * THIN)
    total = ndimage.gaussian_filter(seen.trust, sigma)
    return replace(moved, relief=ndimage.gaussian_filter(rest * seen.trust, sigma) / (total + 0.05))
