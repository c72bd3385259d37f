"""The scale by which two readers rate a segmentation, and the gate (papers.md row H3).

Huang 2020, *CT Image Analysis*: two radiologists, independently of each other, go through the segmentation laid over
the CT slice by slice and score how far it matches the actual opacities on a Likert scale from 0 to 5; an exam's score
is the mean of the two, and from 3 on it meets the requirement of quantitative analysis. The paper's words for each step
of the scale are in its Appendix E3, which is not part of the paper's text: here only the ends are put into words.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

LOWEST, HIGHEST = 0, 5
# The mean from which on an exam is quantified.
ADEQUATE_FROM = 3.0
READERS = 2
QUESTION = "How well does the segmentation match the opacities, slice by slice?"
ENDS = {LOWEST: "no match", HIGHEST: "full match"}
SOURCE = "Huang 2020, CT Image Analysis"
# Why an excluded exam does not count, in the words of tables over many exams.
WHY_EXCLUDED = f"readers' mean score below {ADEQUATE_FROM:g}"


class Verdict(StrEnum):
    """What the readers' scores make of an exam."""

    NOT_RATED = "not rated"
    WAITING = "waiting for the second reader"
    ADEQUATE = "adequate"
    EXCLUDED = "excluded from quantification"

    @classmethod
    def of(cls, mean: float) -> Verdict:
        """By the mean of both scores."""
        return cls.ADEQUATE if mean >= ADEQUATE_FROM else cls.EXCLUDED


def scale_record() -> dict[str, Any]:
    """The scale as plain values, for files."""
    return {"lowest": LOWEST, "highest": HIGHEST, "adequate_from": ADEQUATE_FROM, "source": SOURCE}
