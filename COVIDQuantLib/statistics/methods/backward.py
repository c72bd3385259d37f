"""Backward selection of variables for a logistic regression (Yoo 2022; papers.md row Y5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.statistics.methods.logistic import LogisticModel, fit_logistic, likelihood_ratio_p


@dataclass(frozen=True)
class Removal:
    """A step of the selection.

    Attributes:
        name: the variable that left.
        p: of the likelihood ratio test without it; None if it left for another reason.
        why: that reason.
    """

    name: str
    p: float | None
    why: str = ""


@dataclass(frozen=True)
class Selection:
    """The outcome of a selection.

    Attributes:
        model: with what is left.
        removed: in the order of leaving.
    """

    model: LogisticModel
    removed: tuple[Removal, ...]


def select_backward(outcome: np.ndarray, variables: Mapping[str, np.ndarray], remove: float = 0.10) -> Selection:
    """Start with every variable; while one is above the threshold, take out the one with the largest p.

    The p is of the likelihood ratio test, as in the backward procedure of the papers' program. (In Yoo 2022, Table 3,
    LDH stays with a Wald P of .103, which that threshold on Wald's P would not allow.)

    Args:
        outcome: bool.
        variables: the candidates, defined for every case.
        remove: a variable with a larger p leaves.
    """
    left = dict(variables)
    removed: list[Removal] = []
    while True:
        model = fit_logistic(outcome, left)
        if not model.sound:
            return Selection(model, tuple(removed))
        if not left:
            return Selection(model, tuple(removed))
        tested = {
            name: likelihood_ratio_p(model, fit_logistic(outcome, {k: v for k, v in left.items() if k != name}))
            for name in left
        }
        worst = max(tested, key=lambda name: tested[name] or 0.0)
        p = tested[worst]
        if p is None or p <= remove:
            return Selection(model, tuple(removed))
        removed.append(Removal(worst, p))
        del left[worst]
