"""Convert a label map from any program to our own labels of lungs, lobes or lesions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.anatomy import LOBES, SIDE_VALUE
from COVIDQuantLib.ct.masks.label_positions import label_counts
from COVIDQuantLib.ct.masks.label_schemes import BY_PLACE, Reading, read_by_layout
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.structures import (
    AIRWAYS,
    LABEL_OF_LOBE,
    LEFT_LUNG,
    LOBE_NAMES,
    LUNGS,
    PNEUMONIA,
    RIGHT_LUNG,
    SIDE_OF,
    plain,
)
from COVIDQuantLib.voxels.geometry import Triple

CONTENTS = ("lobes", "lungs", "lesions")
ORDER = ", ".join(f"{lobe.label} {lobe.name}" for lobe in LOBES)
Taken = tuple[np.ndarray, list[CTWarning]]
_LUNG_PARTS = {*LOBE_NAMES, RIGHT_LUNG, LEFT_LUNG, LUNGS, PNEUMONIA}


@dataclass(frozen=True)
class _Mask:
    """A label map with several values, and what is known about it."""

    labels: np.ndarray
    values: list[int]
    reading: Reading | None
    name: str
    strict: bool

    @property
    def described(self) -> str:
        """The values that occur, in words."""
        shown = ", ".join(str(value) for value in self.values[:10])
        return shown + (" and more" if len(self.values) > 10 else "")

    def mapped(self, meaning: dict[int, int]) -> np.ndarray:
        """uint8 labels with each value replaced by its meaning, 0 where it has none."""
        table = np.zeros(1 + max(self.values), np.uint8)
        for value, label in meaning.items():
            table[value] = label
        return table[self.labels]

    def warning(self, content: str) -> list[CTWarning]:
        """``mask-layout``: which layout was recognised and what was used."""
        reading = self.reading
        if reading is None or not reading.layout:
            return []
        text = f"{plain(self.name)}: its labels are those of {reading.layout}"
        if reading.layout == BY_PLACE:
            text = f"{plain(self.name)}: its labels were identified by their positions"
        return [CTWarning("mask-layout", f"{text} ({reading.described}); used as {content}.")]


def as_asked(
    labels: np.ndarray, content: str, spacing: Triple, name: str, *, strict: bool = False, middle: float | None = None
) -> tuple[np.ndarray, list[CTWarning]]:
    """The labels as lungs, lobes or lesions.

    Args:
        labels: whole numbers or bool ``[k, j, i]`` on a canonical grid.
        content: ``lungs``, ``lobes`` or ``lesions``; anything else leaves the labels as they are.
        spacing: along ``k, j, i``, mm.
        name: where they came from, for messages.
        strict: whether labels that follow no known layout are refused; else they are left as they are.
        middle: the patient's middle as a share of the grid's width from the right, if it is known.

    Returns:
        For lobes the contract's values, for lungs nonzero (1 right and 2 left where the labels tell), for lesions
        nonzero; and the warning ``mask-layout`` where another program's numbers were recognised.

    Raises:
        UnfitInputError: the labels are of something else (``mask-not-lobes``, ``mask-not-lungs``,
            ``mask-not-lesions``), or their meaning is unknown (``mask-labels-unknown``).
    """
    if content not in CONTENTS or labels.dtype == bool:
        return labels, []
    values = sorted(label_counts(labels))
    if len(values) < 2:
        return labels, []
    reading = read_by_layout(labels, spacing, middle)
    if reading is None and content == "lungs" and middle is not None and len(values) == 2:
        reading = _lungs_and_more(labels, values, spacing, middle)
    mask = _Mask(labels, values, reading, name, strict)
    return _TAKEN[content](mask)


def _lungs_and_more(labels: np.ndarray, values: list[int], spacing: Triple, middle: float) -> Reading | None:
    """Both lungs as one label, and pneumonia or airways as another, identified by where the smaller one lies."""
    counts = label_counts(labels)
    more, lungs = sorted(values, key=lambda value: counts[value])
    right = np.arange(labels.shape[2]) < middle * labels.shape[2]
    parted = np.where(labels == lungs, np.where(right, 1, 2), np.where(labels == more, 3, 0)).astype(np.uint8)
    reading = read_by_layout(parted, spacing, middle)
    what = reading.structures.get(3) if reading is not None else None
    return Reading(BY_PLACE, {lungs: LUNGS, more: what}) if what in {PNEUMONIA, AIRWAYS} else None


def _lobes(mask: _Mask) -> Taken:
    reading = mask.reading
    if reading is not None and not reading.layout:
        return mask.labels, []
    if reading is not None and reading.lobes:
        meaning = {value: LABEL_OF_LOBE[what] for value, what in reading.structures.items() if what in LABEL_OF_LOBE}
        return mask.mapped(meaning), mask.warning("lobes")
    if reading is not None:
        raise UnfitInputError(
            f"this is not a lobe mask: its labels are {reading.described}",
            plain(mask.name),
            "Give it as --lungs; the lobes are then found within.",
            code="mask-not-lobes",
        )
    if not mask.strict:
        return mask.labels, []
    if set(mask.values) <= {lobe.label for lobe in LOBES}:
        what = f"the labels {mask.described} are not at the positions of {ORDER}"
    else:
        what = f"label values {mask.described} are not lobes"
    remedy = f"Number them so: {ORDER}; or give a file of each."
    raise UnfitInputError(what, plain(mask.name), remedy, code="mask-labels-unknown")


def _lungs(mask: _Mask) -> Taken:
    reading = mask.reading
    if reading is None:
        if not mask.strict:
            return mask.labels, []
        raise UnfitInputError(
            f"it is unclear which of the labels {mask.described} are lung",
            plain(mask.name),
            "Save the lungs alone: one value, or one for the right and one for the left lung.",
            code="mask-labels-unknown",
        )
    structures = reading.structures
    if set(structures.values()) == {RIGHT_LUNG, LEFT_LUNG} and len(structures) == len(mask.values) == 2:
        return mask.labels, []
    meaning = {value: SIDE_VALUE[SIDE_OF[what]] for value, what in structures.items() if what in SIDE_OF}
    lungs = mask.mapped(meaning)
    unsided = [value for value, what in structures.items() if what in _LUNG_PARTS and what not in SIDE_OF]
    if unsided:
        _spread(lungs, np.isin(mask.labels, unsided))
    return lungs, mask.warning("lungs")


def _spread(lungs: np.ndarray, more: np.ndarray) -> None:
    """Assign lung voxels without a side to the side they lie on."""
    columns = np.arange(lungs.shape[2])
    counts = [(lungs == value).sum(axis=(0, 1)) for value in SIDE_VALUE.values()]
    if not all(count.any() for count in counts):
        lungs[more] = 1
        return
    # Halfway between the lungs' inner edges, ignoring a few stray voxels.
    right = np.cumsum(counts[0]).searchsorted(0.97 * counts[0].sum())
    left = np.cumsum(counts[1]).searchsorted(0.03 * counts[1].sum())
    side = np.where(columns <= (right + left) / 2, *SIDE_VALUE.values()).astype(np.uint8)
    lungs[...] = np.where(more, side, lungs)


def _lesions(mask: _Mask) -> Taken:
    reading = mask.reading
    if reading is not None and reading.has(PNEUMONIA):
        meaning = {value: 1 for value, what in reading.structures.items() if what == PNEUMONIA}
        return mask.mapped(meaning), mask.warning("lesions")
    # Two values may be the pneumonia of each lung; without a CT that cannot be distinguished from the lungs.
    sides_alone = reading is not None and set(reading.structures.values()) == {RIGHT_LUNG, LEFT_LUNG}
    if reading is not None and (len(mask.values) > 2 or not reading.lobes) and (mask.strict or not sides_alone):
        raise UnfitInputError(
            f"this is not a pneumonia mask: its labels are {reading.described}",
            plain(mask.name),
            f"Give it as --{'lobes' if reading.lobes else 'lungs'}, and the pneumonia as a mask of its own.",
            code="mask-not-lesions",
        )
    if not mask.strict:
        return mask.labels, []
    raise UnfitInputError(
        f"it is unclear which of the labels {mask.described} is pneumonia",
        plain(mask.name),
        "Save the pneumonia alone, as one value.",
        code="mask-labels-unknown",
    )


_TAKEN: dict[str, Callable[[_Mask], Taken]] = {
    "lobes": _lobes,
    "lungs": _lungs,
    "lesions": _lesions,
}
