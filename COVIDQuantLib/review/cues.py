"""The cues that speak for a motion artefact (papers.md rows C5, Y3), declared as data.

Each is a function of one component's :class:`~COVIDQuantLib.review.evidence.Evidence` that says how plainly it is seen,
0 to 1, with the numbers that the reader is told. A cue never looks at other components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from COVIDQuantLib.review.evidence import Evidence
from COVIDQuantLib.voxels.morphology import distance_to

# How far motion reaches: the heart's border beats over some 4 to 8 mm, a breath moves the diaphragm by up to 12 mm.
HEART_REACH_MM, DIAPHRAGM_REACH_MM = 10.0, 15.0
WALL_REACH_MM = 16.0
# Vessels are dragged along further out than the edge itself moves.
FRAGMENT_REACH_MM = 40.0
_LEAST_SLICES = 4
_BASE_THIRD = (0.45, 0.25)


@dataclass(frozen=True)
class Seen:
    """What a cue found.

    Attributes:
        value: how plainly it is seen, 0..1.
        numbers: what the reader is told, by the names in the cue's reason.
    """

    value: float
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cue:
    """A cue.

    Attributes:
        name: key in files and in ``Finding.cues``.
        title: heading for people.
        reason: sentence for the reader, to be translated and then filled with the numbers.
        look: the function.
    """

    name: str
    title: str
    reason: str
    look: Callable[[Evidence], Seen]


NOT_SEEN = Seen(0.0)


def ramp(value: float, none: float, full: float) -> float:
    """0 at ``none``, 1 at ``full``, straight between, whichever is greater."""
    return float(np.clip((value - none) / (full - none), 0.0, 1.0))


def heart_border(e: Evidence) -> Seen:
    """The share of the component within reach of the heart's border."""
    return _near(e, e.heart, HEART_REACH_MM)


def diaphragm(e: Evidence) -> Seen:
    """The share of the component within reach of the diaphragm."""
    return _near(e, e.diaphragm, DIAPHRAGM_REACH_MM)


def _near(e: Evidence, distance: np.ndarray, reach: float) -> Seen:
    share = e.share(distance < reach)
    return Seen(share, {"percent": 100 * share, "reach_mm": reach})


def doubled_edge(e: Evidence) -> Seen:
    """A second edge beside the wall: as dense at its far side as within, then at once normal lung.

    The outline of a moving organ is seen where it rests and where it moves to, with a level between; a patch of
    pneumonia thins out towards healthy lung, or goes on beyond the layer at the wall.
    """
    near = e.share(e.wall < WALL_REACH_MM)
    steps, weights = _steps_away(e)
    if near == 0 or weights == 0:
        return NOT_SEEN
    within = e.mean(e.hu, e.wall < WALL_REACH_MM) - e.base_hu
    level = steps / weights / within if within > 0 else 0.0
    return Seen(near * ramp(level, 0.35, 0.9), {"percent": 100 * max(0.0, min(level, 1.0))})


def _steps_away(e: Evidence) -> tuple[float, int]:
    """Sum and number of the drops in HU from inside blocks near the wall to what lies beyond them."""
    drops, out = e.far_drops
    near = out & (e.wall < WALL_REACH_MM)
    return float(drops[near].sum(dtype=np.float64)), int(np.count_nonzero(near))


def zigzag(e: Evidence) -> Seen:
    """Jumps to and fro between neighbouring slices, as a coronal and a sagittal section show them."""
    filled = e.weight.sum(axis=(1, 2), dtype=np.float64)
    rows = np.flatnonzero(filled > 0.05 * filled.max()) if e.total else np.zeros(0, int)
    if len(rows) < _LEAST_SLICES or np.any(np.diff(rows) != 1):
        return NOT_SEEN
    jumps = []
    for axis in (1, 2):
        others = e.weight.sum(axis=3 - axis, dtype=np.float64)[rows]
        at = np.arange(others.shape[1]) * e.spacing[axis]
        middle = others @ at / filled[rows]
        spread = np.sqrt(np.maximum(others @ at**2 / filled[rows] - middle**2, 0))
        jumps += [np.abs(np.diff(edge, 2)).mean() / 2 for edge in (middle - 1.7 * spread, middle + 1.7 * spread)]
    jump = float(np.mean(jumps))
    # The thicker the sections, the more any outline changes from one to the next.
    usual = 0.4 + 0.25 * e.spacing[0]
    return Seen(ramp(jump, usual, 3.5 * usual), {"jump_mm": jump})


def blur_along_motion(e: Evidence) -> Seen:
    """Density that falls evenly away from the wall: its edge smeared over the way it moved."""
    near = e.inside & (e.wall < WALL_REACH_MM)
    if np.count_nonzero(near) < 8:
        return NOT_SEEN
    distance, hu = e.wall[near].astype(np.float64), e.hu[near].astype(np.float64)
    spread = distance.std() * hu.std()
    fall = -float(((distance - distance.mean()) * (hu - hu.mean())).mean() / spread) if spread > 0 else 0.0
    return Seen(e.share(near) * ramp(fall, 0.2, 0.8), {"percent": 100 * max(fall, 0.0) ** 2})


def crescent(e: Evidence) -> Seen:
    """A thin layer along heart or diaphragm: much wider than it is thick."""
    near = e.wall < WALL_REACH_MM
    share = e.share(near)
    points = np.argwhere(e.inside & near) * np.asarray(e.spacing)
    if share == 0 or len(points) < 4:
        return NOT_SEEN
    thickness = 2.0 * e.mean(e.wall, near) + min(e.spacing)
    width = float(np.sqrt(12.0 * _spreads(points)[1]))
    return Seen(share * ramp(width / thickness, 0.8, 3.0), {"thickness_mm": thickness, "width_mm": width})


def _spreads(points: np.ndarray) -> np.ndarray:
    """Variances of points ``[n, 3]`` along their main axes, mm², the greatest first."""
    centred = points - points.mean(axis=0)
    covariance = np.einsum("na,nb->ab", centred, centred) / len(points)
    return np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0.0)


def basal_vessel(e: Evidence) -> Seen:
    """Thin and long, in the base of the lung: a vessel seen where it moved to."""
    if len(e.points) < 2:
        return NOT_SEEN
    radius = float(distance_to(~np.pad(e.inside, 1), e.spacing).max()) - 0.5 * min(e.spacing)
    size = np.sqrt(12.0 * _spreads(e.points)) + min(e.spacing)
    length = float(size[0] / size[1])
    low = ramp(e.mean(np.broadcast_to(e.height[:, None, None], e.weight.shape)), *_BASE_THIRD)
    value = ramp(radius, 5.0, 3.0) * ramp(length, 1.2, 2.5) * low
    return Seen(value, {"radius_mm": radius, "length_ratio": length})


def low_density(e: Evidence) -> Seen:
    """Hardly denser than this patient's normal lung."""
    above = e.mean(e.hu) - e.base_hu
    return Seen(ramp(above, 330.0, 120.0) if e.total else 0.0, {"above_hu": above})


def fragment(e: Evidence) -> Seen:
    """A small piece by itself not far from a moving wall: a vessel or fissure seen twice."""
    near = e.share(e.wall < FRAGMENT_REACH_MM)
    return Seen(near * ramp(e.volume_ml, 1.5, 0.3), {"volume_ml": e.volume_ml, "reach_mm": FRAGMENT_REACH_MM})


CUES: tuple[Cue, ...] = (
    Cue(
        "heart_border",
        "At the heart's border",
        "{percent:.0f} % of it lies within {reach_mm:.0f} mm of the heart's border.",
        heart_border,
    ),
    Cue(
        "diaphragm",
        "At the diaphragm",
        "{percent:.0f} % of it lies within {reach_mm:.0f} mm of the diaphragm.",
        diaphragm,
    ),
    Cue(
        "doubled_edge",
        "Doubled edge",
        "It ends in a second edge beside the moving wall: {percent:.0f} % of its density, then at once normal lung.",
        doubled_edge,
    ),
    Cue(
        "zigzag",
        "Zigzag between slices",
        "Its outline jumps to and fro by {jump_mm:.1f} mm between neighbouring slices.",
        zigzag,
    ),
    Cue(
        "blur_along_motion",
        "Blurred along the motion",
        "It fades evenly away from the moving wall: {percent:.0f} % of its differences in density lie along the way.",
        blur_along_motion,
    ),
    Cue(
        "crescent",
        "Thin crescent along the surface",
        "It is a layer along the moving wall, {thickness_mm:.0f} mm thick and {width_mm:.0f} mm wide.",
        crescent,
    ),
    Cue(
        "basal_vessel",
        "Vessel-like in the base",
        "It is like a vessel in the lung's base: radius {radius_mm:.1f} mm, {length_ratio:.1f} times as long as wide.",
        basal_vessel,
    ),
    Cue(
        "low_density",
        "Low density",
        "It is only {above_hu:.0f} HU denser than normal lung here.",
        low_density,
    ),
    Cue(
        "fragment",
        "Small fragment",
        "It is a small piece by itself ({volume_ml:.1f} mL) within {reach_mm:.0f} mm of a moving wall.",
        fragment,
    ),
)
