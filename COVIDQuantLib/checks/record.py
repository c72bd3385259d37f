"""The record of a check: what is measured, and the limits of sound and usable values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.grades import Grade

Limits = tuple[float, float]
ANY: Limits = (-math.inf, math.inf)


def at_most(highest: float) -> Limits:
    """Anything up to a value."""
    return (-math.inf, highest)


def at_least(lowest: float) -> Limits:
    """Anything from a value on."""
    return (lowest, math.inf)


@dataclass(frozen=True)
class Measured:
    """One measurement of a check.

    Attributes:
        value: in the check's unit.
        message: a clause with the values, phrased for a value that is not sound.
        region: the region (a row of the table) or ``pneumonia`` concerned; empty for the whole image.
        where: how much of it is in each block, for the place; None if it has no particular place.
    """

    value: float
    message: str
    region: str = ""
    where: np.ndarray | None = None


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes:
        code: stable name.
        text: what is measured, for the documentation.
        unit: of the value.
        sound: a value from the first to the second is sound.
        usable: a value outside ``sound`` but in this range needs review; any other makes the result unusable.
        measure: measures it; returns nothing if undefined.
        whole: whether it applies only if the image contains the lungs from top to bottom.
    """

    code: str
    text: str
    unit: str
    sound: Limits
    measure: Callable[[Evidence], Iterable[Measured]]
    usable: Limits = ANY
    whole: bool = False

    def grade(self, value: float) -> Grade:
        """The grade of a value."""
        if self.sound[0] <= value <= self.sound[1]:
            return Grade.SOUND
        return Grade.LOOK if self.usable[0] <= value <= self.usable[1] else Grade.UNUSABLE
