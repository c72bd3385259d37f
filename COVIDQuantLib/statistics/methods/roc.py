"""ROC curve: area with DeLong's interval, Youden's cut-off, sensitivity and specificity (papers.md rows C3, Y5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.evaluation.agreement import CONFIDENCE
from COVIDQuantLib.statistics.methods.outcome import finite

AREA_METHOD = "area under the empirical ROC curve, 95 % interval and P of DeLong 1988"
CUTOFF_METHOD = "cut-off of largest Youden index (sensitivity + specificity − 1)"
SHARE_METHOD = "exact intervals of Clopper and Pearson"


@dataclass(frozen=True)
class Share:
    """A proportion with its exact 95 % interval (Clopper and Pearson 1934)."""

    count: int
    of: int
    lower: float
    upper: float

    @property
    def value(self) -> float:
        """The proportion, 0..1."""
        return self.count / self.of

    @classmethod
    def exact(cls, count: int, of: int) -> Share:
        """A proportion of at least one case."""
        from statsmodels.stats.proportion import proportion_confint

        lower, upper = proportion_confint(count, of, alpha=1 - CONFIDENCE, method="beta")
        # At 0 and at 1 the quantile is undefined, and the bound is the end itself.
        return cls(count, of, float(lower) if count else 0.0, float(upper) if count < of else 1.0)


@dataclass(frozen=True)
class ROC:
    """The curve of one marker.

    Attributes:
        false_positive, true_positive: the curve from (0, 0) to (1, 1).
        area: under it.
        error: DeLong's standard error; 0 if the marker parts the outcomes wholly.
        lower, upper: 95 % interval, within 0..1.
        p: of the area being .5; None if the error is 0.
        higher: whether higher values mean the outcome; otherwise lower ones do.
        cutoff: cases at or beyond it are called positive.
        sensitivity, specificity: at the cut-off.
        components: DeLong's structural components of the positive and of the negative cases.
        note: what to know about it.
    """

    false_positive: np.ndarray
    true_positive: np.ndarray
    area: float
    error: float
    lower: float
    upper: float
    p: float | None
    higher: bool
    cutoff: float
    sensitivity: Share
    specificity: Share
    components: tuple[np.ndarray, np.ndarray]
    note: str = ""


def roc_of(outcome: np.ndarray, marker: np.ndarray, *, higher: bool = True) -> ROC | None:
    """The curve of a marker; None unless both outcomes occur.

    Args:
        outcome: bool.
        marker: defined values.
        higher: whether higher values mean the outcome.
    """
    from scipy.stats import norm
    from sklearn.metrics import roc_curve

    y, values = np.asarray(outcome, bool), np.asarray(marker, float)
    if y.all() or not y.any():
        return None
    score = values if higher else -values
    components = _components(score[y], score[~y])
    area = float(components[0].mean())
    variances = [float(part.var(ddof=1)) / len(part) if len(part) > 1 else 0.0 for part in components]
    error = math.sqrt(sum(variances))
    half = float(norm.ppf((1 + CONFIDENCE) / 2)) * error
    p = 2.0 * float(norm.sf(abs(area - 0.5) / error)) if error > 0 else None
    false_positive, true_positive, thresholds = roc_curve(y, score, drop_intermediate=False)
    # The first point calls no one positive; among equal indices the more sensitive cut-off is kept.
    index = true_positive - false_positive
    best = int(np.flatnonzero(np.isclose(index, index.max(), atol=1e-12, rtol=0))[-1])
    cutoff = float(thresholds[best])
    called = score >= cutoff
    note = ""
    if error == 0:
        parts = "the marker parts the outcomes wholly" if area in {0.0, 1.0} else "the marker does not vary"
        note = f"{parts}: DeLong's interval has no width"
    elif area < 0.5:
        note = "below .5: the marker is lower where the outcome occurs"
    return ROC(
        false_positive, true_positive, area, error, max(0.0, area - half), min(1.0, area + half), p, higher,
        cutoff if higher else -cutoff,
        Share.exact(int((called & y).sum()), int(y.sum())),
        Share.exact(int((~called & ~y).sum()), int((~y).sum())),
        components, note,
    )  # fmt: skip


def _components(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components by mid-ranks (Sun and Xu 2014): each case's share of the others that it beats."""
    from scipy.stats import rankdata

    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    of_positive = (ranks[:m] - rankdata(positive)) / n
    of_negative = 1.0 - (ranks[m:] - rankdata(negative)) / m
    return of_positive, of_negative


def compare_areas(one: ROC, other: ROC) -> float | None:
    """P of two areas of the same cases being equal (DeLong 1988); None if their difference has no variance."""
    from scipy.stats import norm

    variance = 0.0
    for a, b in zip(one.components, other.components, strict=True):
        if len(a) > 1:
            variance += float((a - b).var(ddof=1)) / len(a)
    difference = one.area - other.area
    if variance <= 0:
        return 1.0 if difference == 0 else None
    return finite(2.0 * float(norm.sf(abs(difference) / math.sqrt(variance))))
