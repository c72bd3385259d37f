"""Label schemes of other programs: which value is which structure, from the values and their positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.ct.masks.label_positions import CONTRACT, Places, believable, by_place, fits, label_counts
from COVIDQuantLib.structures import AIRWAYS, LEFT_LUNG, LOBE_NAMES, LUNGS, PNEUMONIA, RIGHT_LUNG, SIDE_OF
from COVIDQuantLib.voxels.geometry import Triple

RUL, RML, RLL, LUL, LLL = LOBE_NAMES
BY_PLACE = "label values of no known program"
_LOW = 0xFF
# No program has more labels; with more values it is an image, not a label map.
_MOST_LABELS = 400


@dataclass(frozen=True)
class Layout:
    """How a program or a public data set numbers its labels.

    Attributes:
        name: the program or the set.
        structures: the structure of each value.
        open: whether other values may occur; they are other organs.
        low_byte: whether only the value's low byte holds the structure.
        together: values that occur all together or not at all.
    """

    name: str
    structures: dict[int, str]
    open: bool = False
    low_byte: bool = False
    together: frozenset[int] = frozenset()


_LOBES_OF_A_LUNG = ({RUL, RML, RLL}, {LUL, LLL})

# In this order: if two fit, the first is used.
LAYOUTS: tuple[Layout, ...] = (
    Layout("lungmask LTRCLobes", {1: LUL, 2: LLL, 3: RUL, 4: RML, 5: RLL}),
    Layout("lungmask R231", {1: RIGHT_LUNG, 2: LEFT_LUNG}),
    Layout("COVID-19-CT-Seg", {1: LEFT_LUNG, 2: RIGHT_LUNG, 3: PNEUMONIA}),
    Layout("LUNA16", {3: LEFT_LUNG, 4: RIGHT_LUNG, 5: AIRWAYS}),
    Layout(
        "Chest Imaging Platform",
        {
            **dict(enumerate((LUNGS, RIGHT_LUNG, LEFT_LUNG, RUL, RML, RLL, LUL, LLL), start=1)),
            **dict.fromkeys((9, 10, 11), LEFT_LUNG),
            **dict.fromkeys((12, 13, 14), RIGHT_LUNG),
            **dict.fromkeys((20, 21, 22), LUNGS),
        },
        low_byte=True,
        together=frozenset(range(9, 15)),
    ),
    Layout("TotalSegmentator 2 total", {10: LUL, 11: LLL, 12: RUL, 13: RML, 14: RLL}, open=True),
    Layout("TotalSegmentator 1 total", {13: LUL, 14: LLL, 15: RUL, 16: RML, 17: RLL}, open=True),
)

# What labels of no known layout can be, judged by position alone.
_PATTERNS: tuple[tuple[str, ...], ...] = (
    LOBE_NAMES,
    (RIGHT_LUNG, LEFT_LUNG),
    (RIGHT_LUNG, LEFT_LUNG, PNEUMONIA),
    (RIGHT_LUNG, LEFT_LUNG, AIRWAYS),
)


@dataclass(frozen=True)
class Reading:
    """The meaning of a mask's labels.

    Attributes:
        layout: the name of the layout; empty for the contract's own.
        structures: the structure of each value that occurs; values left out do not belong to the lungs.
    """

    layout: str
    structures: dict[int, str]

    def has(self, *wanted: str) -> bool:
        """Whether all these structures occur."""
        return set(wanted) <= set(self.structures.values())

    @property
    def lobes(self) -> bool:
        """Whether there are lobes, more than one."""
        return len(set(self.structures.values()) & set(LOBE_NAMES)) > 1

    @property
    def described(self) -> str:
        """The values and what they are, in words."""
        return ", ".join(f"{value} {what}" for value, what in sorted(self.structures.items())[:8])


def read_by_layout(labels: np.ndarray, spacing: Triple, middle: float | None = None) -> Reading | None:
    """Which known layout a label map of several values follows; None if it follows none.

    Args:
        labels: ``[k, j, i]`` on a canonical grid.
        spacing: along ``k, j, i``, mm.
        middle: the patient's middle as a share of the grid's width from the right, if it is known.
    """
    if len(label_counts(labels)) > _MOST_LABELS:
        return None
    places = Places.of(labels, spacing, middle)
    values = places.values
    if values <= set(CONTRACT) and len(values) > 1 and believable(places, CONTRACT):
        return Reading("", {value: CONTRACT[value] for value in values})
    for layout in LAYOUTS:
        reading = _of_regions(layout, labels, spacing, middle) if layout.low_byte else _of_layout(layout, places)
        if reading is not None:
            return reading
    for pattern in _PATTERNS:
        found = by_place(places, pattern)
        if found is not None:
            return Reading(BY_PLACE, found)
    return None


def _of_layout(layout: Layout, places: Places) -> Reading | None:
    values = places.values
    known = {value: what for value, what in layout.structures.items() if value in values}
    complete = len(known) == len(layout.structures)
    # Part of a layout proves nothing, except that the lobes of one lung may occur alone; only a full-body layout has
    # other values.
    alone = values == set(known) and (complete or set(known.values()) in _LOBES_OF_A_LUNG)
    if not (complete if layout.open else alone):
        return None
    return Reading(layout.name, known) if fits(places, known) else None


def _of_regions(layout: Layout, labels: np.ndarray, spacing: Triple, middle: float | None) -> Reading | None:
    """A layout whose low byte is the region; the high byte, the kind of tissue, does not matter."""
    values = {value for value in label_counts(labels) if value & _LOW}
    regions = {value & _LOW for value in values}
    if not regions <= set(layout.structures) or (regions & layout.together and not layout.together <= regions):
        return None
    names = sorted({layout.structures[region] for region in regions})
    # Whole lungs beside one lung alone are two lungs in another program's numbers.
    if {SIDE_OF.get(name) for name in names} & {"right", "left"} != {"right", "left"}:
        return None
    numbers = np.zeros(_LOW + 1, np.uint8)
    for region in regions:
        numbers[region] = 1 + names.index(layout.structures[region])
    merged = Places.of(numbers[labels & _LOW], spacing, middle)
    if not fits(merged, dict(enumerate(names, start=1))):
        return None
    return Reading(layout.name, {value: layout.structures[value & _LOW] for value in values})
