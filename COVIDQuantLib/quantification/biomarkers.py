"""The two biomarkers of Changsha 2020, and the words of reports for their change (papers.md rows C2, C4)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Biomarker:
    """One of the two biomarkers whose sign is reported.

    Attributes:
        name: in the paper.
        measure: the corresponding measure.
        subject: subject of the phrase.
        up, down: the paper's words.
    """

    name: str
    measure: str
    subject: str
    up: str
    down: str


BIOMARKERS = (
    Biomarker("POI", "extent_percent", "infection region", "expanded", "contracted"),
    Biomarker("iHU", "mean_lesion_hu", "density of infection region", "increased", "decreased"),
)
