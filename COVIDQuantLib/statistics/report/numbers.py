"""Numbers as publications print them: P values, median (interquartile range), mean ± standard deviation, intervals."""

from __future__ import annotations

from COVIDQuantLib.evaluation.agreement import Spread

UNDEFINED = "–"
_LARGEST_RATIO = 10_000.0


def p_text(p: float | None) -> str:
    """A P value: three decimals, ``< .001`` below."""
    if p is None:
        return UNDEFINED
    if p < 0.001:
        return "< .001"
    return "> .999" if p > 0.9995 else f"{p:.3f}".lstrip("0")


def p_words(p: float | None) -> str:
    """A P value with its sign, as ``P = .012`` or ``P < .001``."""
    text = p_text(p)
    return f"P {text}" if text[0] in "<>–" else f"P = {text}"


def number(value: float | None, decimals: int = 1) -> str:
    """A number with some decimals and a true minus sign; never −0."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return UNDEFINED
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def decimals_for(largest: float) -> int:
    """Decimals that give about three digits."""
    return 0 if largest >= 1000 else 1 if largest >= 1 else 2 if largest >= 0.1 else 3


def mean_sd(spread: Spread, decimals: int = 1) -> str:
    """Mean ± standard deviation."""
    if spread.mean is None:
        return UNDEFINED
    if spread.sd is None:
        return number(spread.mean, decimals)
    return f"{number(spread.mean, decimals)} ± {number(spread.sd, decimals)}"


def median_iqr(spread: Spread, decimals: int = 1) -> str:
    """Median (first, third quartile); one number if all are equal."""
    if spread.median is None:
        return UNDEFINED
    if spread.min == spread.max:
        return number(spread.median, decimals)
    return f"{number(spread.median, decimals)} ({number(spread.q1, decimals)}, {number(spread.q3, decimals)})"


def interval(lower: float | None, upper: float | None, decimals: int = 3) -> str:
    """Two ends of an interval."""
    if lower is None or upper is None:
        return UNDEFINED
    return f"{number(lower, decimals)} to {number(upper, decimals)}"


def ratio(value: float, decimals: int = 3) -> str:
    """An odds ratio; beyond what any study can tell apart only on which side it lies."""
    if value >= _LARGEST_RATIO:
        return f"> {_LARGEST_RATIO - 1:.0f}"
    return f"< {1 / _LARGEST_RATIO:g}" if value <= 1 / _LARGEST_RATIO else number(value, decimals)


def ratio_interval(lower: float, upper: float, decimals: int = 3) -> str:
    """The interval of an odds ratio."""
    return f"{ratio(lower, decimals)} to {ratio(upper, decimals)}"


def counted(count: int, unit: str) -> str:
    """A number of things, in the singular if there is one; the unit is given in the plural."""
    return f"{count} {unit.removesuffix('s') if count == 1 else unit}"


def count_share(count: int, of: int) -> str:
    """A count with its percentage."""
    return f"{count} ({100 * count / of:.1f})" if of else UNDEFINED
