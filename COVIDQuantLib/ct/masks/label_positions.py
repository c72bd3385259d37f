"""Identify labels of a mask by their relative positions: right or left, above, in front, in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from COVIDQuantLib.anatomy import LOBES, SIDES
from COVIDQuantLib.structures import AIRWAYS, LOBE_NAMES, PNEUMONIA, SIDE_OF
from COVIDQuantLib.voxels.geometry import Triple

# Of two lobes of one side at least this much lies within the other's width, of two sides at most that much (73 people:
# at least 0.66, at most 0.01); ignoring a few stray voxels.
_SAME_SIDE, _OTHER_SIDE = 0.3, 0.1
_EDGE = 0.03
# The position of a smaller share of a mask than this is not significant.
_STRAY = 0.01
# A lobe's middle lies at least so far where it belongs from its neighbour's (the same people: at least 17 mm).
_CLEAR_MM = 5.0
# Our own label values are trusted until a lobe is this far from a possible position (limit of the check lobe-order).
_BELIEVED_MM = -20.0
# Which lobe's middle lies on which side of which other's: axis of [k, j, i] and sign.
_ORDER = (
    (LOBE_NAMES[0], LOBE_NAMES[2], 0, 1.0),
    (LOBE_NAMES[3], LOBE_NAMES[4], 0, 1.0),
    (LOBE_NAMES[0], LOBE_NAMES[1], 0, 1.0),
    (LOBE_NAMES[1], LOBE_NAMES[2], 1, -1.0),
    (LOBE_NAMES[3], LOBE_NAMES[4], 1, -1.0),
)
# At least this share of airways lies between the lungs; at most that share of pneumonia.
_BETWEEN = 0.4
# A lobe has most of itself on its own side of the patient's middle.
_OWN_SIDE = 0.7
_BINS = 96


@dataclass(frozen=True)
class Places:
    """Where each label of a mask lies, on a canonical grid.

    Attributes:
        middles: per label value the centre of mass along ``k, j, i``, mm.
        spreads: per label value distribution of its voxels along ``i`` (sums to 1).
        voxels: per label value how many there are.
        middle: where among the bins of a spread the patient's middle is, 0..1; None if unknown.
    """

    middles: dict[int, np.ndarray]
    spreads: dict[int, np.ndarray]
    voxels: dict[int, int]
    middle: float | None = None

    @classmethod
    def of(cls, labels: np.ndarray, spacing: Triple, middle: float | None = None) -> Places:
        """Measure the labels.

        Args:
            labels: whole numbers ``[k, j, i]`` on a canonical grid, 0 outside.
            spacing: along ``k, j, i``, mm.
            middle: the patient's middle as a share of the grid's width from the right, if it is known.
        """
        # A few hundred thousand voxels suffice to locate a label; a label of a few voxels must not vanish.
        step = max(1, int((labels.size / 4e6) ** (1 / 3)))
        voxels = label_counts(labels)
        profiles = _profiles(labels, list(voxels), step)
        profiles |= _profiles(labels, [value for value in voxels if not profiles[value][0].any()], 1)
        middles = {value: _centre(along) * np.array(spacing) for value, along in profiles.items()}
        width = labels.shape[2]
        spreads = {
            value: np.histogram(np.arange(width), min(_BINS, width), (0, width), weights=i)[0] / i.sum()
            for value, (_, _, i) in profiles.items()
        }
        return cls(middles, spreads, voxels, middle)

    @property
    def values(self) -> set[int]:
        """The label values that occur."""
        return set(self.voxels)

    def abreast(self, one: int, other: int) -> float:
        """How much of one of two labels lies within the other's width, whichever is more; 0 on two sides, to 1."""
        return max(self._within_width(one, other), self._within_width(other, one))

    def _within_width(self, one: int, other: int) -> float:
        whole = np.cumsum(self.spreads[other])
        low, high = whole.searchsorted(_EDGE), whole.searchsorted(1.0 - _EDGE)
        return float(self.spreads[one][low : high + 1].sum())

    def counts(self, value: int) -> bool:
        """Whether a label is more than a few stray voxels."""
        return self.voxels[value] >= _STRAY * sum(self.voxels.values())

    def on_right(self, value: int) -> float:
        """Share of a label on the right of the patient's middle, which must be known."""
        spread = self.spreads[value]
        return float(spread[: round((self.middle or 0.0) * len(spread))].sum())

    def between(self, value: int, right: int, left: int) -> float:
        """Share of a label that lies between the inner edges of two lungs."""
        inner = (
            np.cumsum(self.spreads[right]).searchsorted(1.0 - _EDGE),
            np.cumsum(self.spreads[left]).searchsorted(_EDGE),
        )
        low, high = min(inner), max(inner)
        return float(self.spreads[value][low : high + 1].sum())


def _profiles(labels: np.ndarray, values: list[int], step: int) -> dict[int, list[np.ndarray]]:
    """How many voxels of each value have each ``k``, ``j`` and ``i``, of every ``step``-th voxel along each axis."""
    number = np.zeros(1 + int(labels.max(initial=0)), np.intp)
    number[values] = np.arange(1, 1 + len(values))
    found = [np.zeros((1 + len(values), size), np.int64) for size in labels.shape]
    for k in range(0, len(labels) if values else 0, step):
        plane = number[labels[k, ::step, ::step]]
        j, i = np.nonzero(plane)
        which = plane[j, i]
        found[0][:, k] = np.bincount(which, minlength=1 + len(values))
        for profile, at in zip(found[1:], (j, i), strict=True):
            places = which * profile.shape[1] + at * step
            profile[...] += np.bincount(places, minlength=profile.size).reshape(profile.shape)
    return {value: [profile[n] for profile in found] for n, value in enumerate(values, start=1)}


def _centre(along: list[np.ndarray]) -> np.ndarray:
    """The mean position along each axis, voxels."""
    return np.array([float(counts @ np.arange(len(counts))) / float(counts.sum()) for counts in along])


def label_counts(labels: np.ndarray) -> dict[int, int]:
    """How many voxels each label value has that occurs, 0 left out; counted slice by slice to spare memory."""
    counts = np.zeros(1 + int(labels.max(initial=0)), np.int64)
    for section in labels:
        counts += np.bincount(section.ravel(), minlength=len(counts))
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts) if value}


def margin_mm(places: Places, meaning: dict[int, str]) -> float:
    """The smallest margin by which lobes are where they belong; −inf if a side is wrong, inf without a comparison.

    Args:
        places: of the labels.
        meaning: the structure of each label value.
    """
    present = {value: what for value, what in meaning.items() if value in places.values}
    if not _sides_agree(places, present):
        return -np.inf
    value_of = {what: value for value, what in present.items() if places.counts(value)}
    margins = [
        sign * float(places.middles[value_of[one]][axis] - places.middles[value_of[other]][axis])
        for one, other, axis, sign in _ORDER
        if one in value_of and other in value_of
    ]
    return min(margins, default=np.inf)


def _sides_agree(places: Places, meaning: dict[int, str]) -> bool:
    sided = {value: SIDE_OF[what] for value, what in meaning.items() if what in SIDE_OF}
    described = [value for value in sided if places.counts(value)]
    if places.middle is not None and not all(_on_its_side(places, v, sided[v]) for v in described):
        return False
    for one, other in combinations(described, 2):
        shared = places.abreast(one, other)
        if sided[one] == sided[other]:
            if shared < _SAME_SIDE:
                return False
        else:
            right, left = (one, other) if sided[one] == "right" else (other, one)
            if shared > _OTHER_SIDE or places.middles[right][2] >= places.middles[left][2]:
                return False
    return _inner_agree(places, meaning, sided)


def _on_its_side(places: Places, value: int, side: str) -> bool:
    right = places.on_right(value)
    return (right if side == "right" else 1.0 - right) >= _OWN_SIDE


def _inner_agree(places: Places, meaning: dict[int, str], sided: dict[int, str]) -> bool:
    """Whether airways lie between the lungs and pneumonia does not."""
    lungs = [next((v for v, side in sided.items() if side == wanted), None) for wanted in SIDES]
    right, left = lungs
    if right is None or left is None or len(sided) > 2:
        return True
    shares = {value: places.between(value, right, left) for value in meaning}
    return all(
        (shares[value] >= _BETWEEN) if what == AIRWAYS else (shares[value] < _BETWEEN)
        for value, what in meaning.items()
        if what in {AIRWAYS, PNEUMONIA}
    )


def fits(places: Places, meaning: dict[int, str], least_mm: float = _CLEAR_MM) -> bool:
    """Whether the labels' positions match these structures."""
    return margin_mm(places, meaning) >= least_mm


def believable(places: Places, meaning: dict[int, str]) -> bool:
    """Whether labels with a known meaning are at plausible positions."""
    return fits(places, meaning, _BELIEVED_MM)


def by_place(places: Places, structures: tuple[str, ...]) -> dict[int, str] | None:
    """The only assignment of the labels to these structures; None if there is none, or more than one.

    Args:
        places: of the labels.
        structures: as many as there are labels, at most six.
    """
    values = sorted(places.values)
    if len(values) != len(structures):
        return None
    ways = [
        meaning for order in permutations(structures) if fits(places, meaning := dict(zip(values, order, strict=True)))
    ]
    return ways[0] if len(ways) == 1 else None


CONTRACT: dict[int, str] = {lobe.label: lobe.name for lobe in LOBES}
