"""Logistic regression: odds ratios with intervals, AIC; separation is found and said (papers.md rows C3, Y5)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from COVIDQuantLib.evaluation.agreement import CONFIDENCE
from COVIDQuantLib.statistics.methods.outcome import finite

METHOD = "logistic regression by maximum likelihood, Wald intervals and P"
SEPARATED = "the outcome is separated: no finite odds ratio exists"
# Fewer events per variable make odds ratios unreliable (Peduzzi 1996).
FEWEST_EVENTS_PER_VARIABLE = 10
# An interval that spans more is the mark of outcomes that are all but separated.
_WIDEST_INTERVAL = 1e4
_ITERATIONS = 200


@dataclass(frozen=True)
class Coefficient:
    """One variable's part in a model.

    Attributes:
        name: of the variable.
        beta: logarithm of the odds ratio.
        odds_ratio, lower, upper: with its 95 % interval.
        p: Wald.
    """

    name: str
    beta: float
    odds_ratio: float
    lower: float
    upper: float
    p: float


@dataclass(frozen=True)
class LogisticModel:
    """A fitted model, or why there is none.

    Attributes:
        names: the variables.
        n, events: cases, and those with the outcome.
        coefficients: by variable; empty if there is no model.
        intercept: None if there is no model.
        log_likelihood: None if there is no model.
        note: why there is none; empty if there is one.
        warnings: what limits it.
    """

    names: tuple[str, ...]
    n: int
    events: int
    coefficients: dict[str, Coefficient] = field(default_factory=dict)
    intercept: float | None = None
    log_likelihood: float | None = None
    note: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether there is a model."""
        return self.log_likelihood is not None

    @property
    def aic(self) -> float | None:
        """Akaike's information criterion."""
        return None if self.log_likelihood is None else 2.0 * (len(self.names) + 1) - 2.0 * self.log_likelihood

    def probability(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Predicted probability of the outcome.

        Raises:
            ValueError: there is no model.
        """
        if self.intercept is None:
            raise ValueError("there is no model")
        logit = self.intercept + sum(self.coefficients[name].beta * values[name] for name in self.names)
        return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def fit_logistic(outcome: np.ndarray, variables: Mapping[str, np.ndarray]) -> LogisticModel:
    """Fit one model.

    Args:
        outcome: bool, one per case.
        variables: defined values by name; without variables, the model of the intercept alone.
    """
    y = np.asarray(outcome, bool)
    names, n, events = tuple(variables), len(y), int(np.count_nonzero(outcome))
    columns = [np.asarray(values, float) for values in variables.values()]
    note = _unfit(y, names, columns)
    if note:
        return LogisticModel(names, n, events, note=note)
    # Standardised, so that the iteration does not depend on units.
    means = np.array([values.mean() for values in columns])
    scales = np.array([values.std() for values in columns])
    standard = [(values - mean) / scale for values, mean, scale in zip(columns, means, scales, strict=True)]
    design = np.column_stack([np.ones(n), *standard])
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import PerfectSeparationError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = sm.Logit(y.astype(float), design).fit(method="newton", maxiter=_ITERATIONS, tol=1e-12, disp=0)
        except (np.linalg.LinAlgError, PerfectSeparationError):
            return LogisticModel(names, n, events, note="the iteration does not converge")
    if not np.isfinite(found.llf) or not np.isfinite(found.bse).all():
        return LogisticModel(names, n, events, note="the iteration does not converge")
    coefficients = {
        name: _coefficient(name, beta / scale, error / scale)
        for name, beta, error, scale in zip(names, found.params[1:], found.bse[1:], scales, strict=True)
    }
    intercept = float(found.params[0] - np.sum(found.params[1:] * means / scales)) if names else float(found.params[0])
    limits = _limits(n, events, coefficients)
    return LogisticModel(names, n, events, coefficients, intercept, float(found.llf), warnings=limits)


def _unfit(y: np.ndarray, names: tuple[str, ...], columns: list[np.ndarray]) -> str:
    """Why no model can be fitted; empty if one can."""
    if y.all() or not y.any():
        return f"every one of the {len(y)} cases has the same outcome"
    constant = [name for name, values in zip(names, columns, strict=True) if np.ptp(values) == 0]
    if constant:
        return f"does not vary: {', '.join(constant)}"
    if len(y) <= len(names) + 1:
        return f"{len(y)} cases are too few for {len(names)} variables"
    design = np.column_stack([np.ones(len(y)), *((c - c.mean()) / c.std() for c in columns)]) if names else None
    if design is not None and np.linalg.matrix_rank(design) < design.shape[1]:
        return "one variable follows from the others"
    return SEPARATED if design is not None and separated(y, design) else ""


def separated(y: np.ndarray, design: np.ndarray) -> bool:
    """Whether a combination of the variables tells the outcomes apart, wholly or but for ties (Albert, Anderson 1984).

    A linear programme (Konis 2007): is there a direction in which no case is misplaced and some case is not a tie?

    Args:
        y: bool.
        design: cases × terms, the constant among them.
    """
    from scipy.optimize import linprog

    signed = np.where(y[:, np.newaxis], design, -design)
    found = linprog(
        -signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(y)), bounds=[(-1.0, 1.0)] * design.shape[1], method="highs"
    )
    return bool(found.status == 0 and -found.fun > 1e-7 * len(y))


def _coefficient(name: str, beta: float, error: float) -> Coefficient:
    from scipy.stats import norm

    half = float(norm.ppf((1 + CONFIDENCE) / 2)) * error
    p = 2.0 * float(norm.sf(abs(beta / error)))
    return Coefficient(name, float(beta), _exp(beta), _exp(beta - half), _exp(beta + half), p)


def _exp(value: float) -> float:
    return math.exp(min(float(value), 700.0))


def _limits(n: int, events: int, coefficients: Mapping[str, Coefficient]) -> tuple[str, ...]:
    rarer, variables = min(events, n - events), len(coefficients)
    if any(one.upper > _WIDEST_INTERVAL * one.lower for one in coefficients.values()):
        return ("the outcomes are all but separated: the odds ratios are not to be trusted",)
    if variables and rarer < FEWEST_EVENTS_PER_VARIABLE * variables:
        counted = f"{variables} variable{'s' if variables > 1 else ''}"
        few = f"fewer than {FEWEST_EVENTS_PER_VARIABLE} each, so that the odds ratios are uncertain"
        return (f"{rarer} cases of the rarer outcome for {counted}: {few}",)
    return ()


def likelihood_ratio_p(full: LogisticModel, reduced: LogisticModel) -> float | None:
    """P of the likelihood ratio test of a model against one with fewer of its variables; None without both models."""
    from scipy.stats import chi2

    if full.log_likelihood is None or reduced.log_likelihood is None:
        return None
    statistic = max(0.0, 2.0 * (full.log_likelihood - reduced.log_likelihood))
    return finite(chi2.sf(statistic, len(full.names) - len(reduced.names)))
