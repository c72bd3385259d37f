"""What a statistical test gives back: its name, the number of values, the p value, and why it was chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

# A rank test with ties is exact if there are no more permutations than this, else its normal approximation is used.
MOST_PERMUTATIONS = 20_000


@dataclass(frozen=True)
class TestOutcome:
    """The result of one test.

    Attributes:
        method: the test's name, with its variant.
        n: values, pairs or counts that it used.
        statistic: None where the test cannot be made.
        p: two-sided; None where the test cannot be made.
        why: how the test was chosen.
        note: why there is no result, or what to know about it.
    """

    __test__ = False  # not a test of pytest's

    method: str
    n: int
    statistic: float | None = None
    p: float | None = None
    why: str = ""
    note: str = ""

    def below(self, threshold: float) -> bool:
        """Whether p is below a threshold; false without p."""
        return self.p is not None and self.p < threshold


def finite(value: float) -> float | None:
    """The number, or None where it is not one."""
    number = float(value)
    return number if math.isfinite(number) else None
