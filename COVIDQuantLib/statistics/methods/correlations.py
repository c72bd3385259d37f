"""Correlation of two measures, if wished controlling for a third (papers.md rows P7, Y4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.evaluation.agreement import CONFIDENCE, pearson, spearman
from COVIDQuantLib.statistics.methods.outcome import finite


@dataclass(frozen=True)
class CorrelationOutcome:
    """A correlation.

    Attributes:
        method: its name.
        n: pairs.
        r: the coefficient; None where it is undefined.
        p: of its being 0.
        lower, upper: 95 % interval by Fisher's z; None where it is undefined.
        note: why it is undefined.
    """

    method: str
    n: int
    r: float | None = None
    p: float | None = None
    lower: float | None = None
    upper: float | None = None
    note: str = ""


def correlate(
    one: np.ndarray, other: np.ndarray, control: np.ndarray | None = None, *, rank: bool = True
) -> CorrelationOutcome:
    """Spearman's or Pearson's correlation, partial if there is something to control for.

    Args:
        one: defined values.
        other: the same exams' other values.
        control: the same exams' values of what is held constant; None for none.
        rank: Spearman's; otherwise Pearson's.
    """
    name = "Spearman" if rank else "Pearson"
    method = f"{name} correlation" if control is None else f"partial {name} correlation"
    n, given = len(one), 0 if control is None else 1
    if n < 3 + given:
        return CorrelationOutcome(method, n, note=f"too few pairs ({n})")
    constant = [np.ptp(values) == 0 for values in (one, other) if len(values)]
    if any(constant):
        return CorrelationOutcome(method, n, note="all values of one side are equal")
    if control is None or np.ptp(control) == 0:
        found = spearman(one, other) if rank else pearson(one, other)
        note = "" if control is None else "what is controlled for does not vary: the plain correlation"
        if found is None:
            return CorrelationOutcome(method, n, note="undefined")
        return CorrelationOutcome(method, n, found.r, found.p, *_interval(found.r, n, 0, rank=rank), note)
    r, p = _partial(one, other, control, rank=rank)
    if r is None:
        return CorrelationOutcome(method, n, note="what is controlled for explains one side wholly")
    return CorrelationOutcome(method, n, r, p, *_interval(r, n, given, rank=rank))


def _partial(
    one: np.ndarray, other: np.ndarray, control: np.ndarray, *, rank: bool
) -> tuple[float | None, float | None]:
    import pandas as pd
    import pingouin

    frame = pd.DataFrame({"x": one, "y": other, "c": control})
    if rank:
        frame = frame.rank()
    # A side that the control explains wholly leaves residuals of rounding alone.
    singular = np.linalg.matrix_rank(np.corrcoef(frame.to_numpy().T)) < 3
    if singular and min(1 - abs(frame["x"].corr(frame["c"])), 1 - abs(frame["y"].corr(frame["c"]))) < 1e-9:
        return None, None
    if singular:
        return math.copysign(1.0, frame["x"].corr(frame["y"])), 0.0
    found = pingouin.partial_corr(frame, x="x", y="y", covar="c", method="pearson")
    column = "p_val" if "p_val" in found else "p-val"
    return finite(found["r"].iloc[0]), finite(found[column].iloc[0])


def _interval(r: float, n: int, given: int, *, rank: bool) -> tuple[float | None, float | None]:
    """Fisher's interval; for ranks with the variance of Bonett and Wright 2000."""
    from scipy.stats import norm

    left = n - given - 3
    if left <= 0 or abs(r) >= 1:
        return None, None
    width = math.sqrt((1 + r * r / 2 if rank else 1.0) / left) * float(norm.ppf((1 + CONFIDENCE) / 2))
    return math.tanh(math.atanh(r) - width), math.tanh(math.atanh(r) + width)
