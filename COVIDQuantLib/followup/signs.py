"""The signs of POI and iHU in the terms of radiologists' reports (Changsha 2020, Table 3; papers.md rows C2, C4).

The paper takes the sign of a biomarker's change between consecutive exams and compares it with the report: “infection
region has (partially) expanded” or “contracted” for POI, “density of infection region has (partially) increased” or
“decreased” for iHU. *Partially* is used here if a lobe changed the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from COVIDQuantLib.anatomy import LOBES, WHOLE_LUNG
from COVIDQuantLib.followup.changes import RegionChange
from COVIDQuantLib.quantification.biomarkers import BIOMARKERS, Biomarker


@dataclass(frozen=True)
class Sign:
    """The direction of change of a biomarker.

    Attributes:
        biomarker: which.
        change: of the whole lung; None where it is undefined, as the density of no lesion is.
        sign: 1, 0, −1; None where the change is undefined.
        up, down: short names of the lobes that increased and decreased.
        words: the sign in the paper's words.
    """

    biomarker: Biomarker
    change: float | None
    sign: int | None
    up: tuple[str, ...]
    down: tuple[str, ...]
    words: str


def signs_of(regions: Sequence[RegionChange]) -> tuple[Sign, ...]:
    """The signs of both biomarkers between two exams."""
    by_name = {region.region: region for region in regions}
    return tuple(_sign(biomarker, by_name) for biomarker in BIOMARKERS)


def _sign(biomarker: Biomarker, regions: dict[str, RegionChange]) -> Sign:
    change = regions[WHOLE_LUNG.name].changes[biomarker.measure].change
    of_lobes = {lobe.short: regions[lobe.name].changes[biomarker.measure].change for lobe in LOBES}
    up = tuple(short for short, value in of_lobes.items() if value is not None and value > 0)
    down = tuple(short for short, value in of_lobes.items() if value is not None and value < 0)
    sign = None if change is None else (change > 0) - (change < 0)
    return Sign(biomarker, change, sign, up, down, _words(biomarker, sign, up, down))


def _words(biomarker: Biomarker, sign: int | None, up: tuple[str, ...], down: tuple[str, ...]) -> str:
    subject = biomarker.subject
    if sign is None:
        return f"{subject} cannot be compared"
    if sign == 0:
        return f"{subject} is unchanged"
    verb, other_verb, others = (biomarker.up, biomarker.down, down) if sign > 0 else (biomarker.down, biomarker.up, up)
    if not others:
        return f"{subject} has {verb}"
    return f"{subject} has partially {verb} ({other_verb} in {', '.join(others)})"
