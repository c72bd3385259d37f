"""Published time courses of the pneumonia since onset.

The curves are polynomials that Pan 2021 (Fig. 3) and Huang 2020 (Fig. 2a) fitted to their patients (papers.md). Two of
them are misprinted and corrected here; each curve is checked against the peak that its paper reports. The follow-up
draws them behind a patient, and made patients fall ill along them: what is compared there is counted from masks, so
that sharing the table cannot hide an error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_HORIZON_DAYS = 120
_STEP_DAYS = 0.1


@dataclass(frozen=True)
class Curve:
    """A published time course.

    Attributes:
        name: short and unique, e.g. ``pan-3b-severe``.
        source: paper and figure.
        group: group of patients.
        measure: measure of the whole lung.
        coefficients: of 1, x, x², x³; x is days since the onset of symptoms, the value is in the measure's unit.
        peak_day, peak_value: as the paper reports them; None where it does not.
        correction: what was corrected, and why; empty if the curve is as printed.
    """

    name: str
    source: str
    group: str
    measure: str
    coefficients: tuple[float, float, float, float]
    peak_day: float | None = None
    peak_value: float | None = None
    correction: str = ""

    def at(self, days: float | np.ndarray) -> float | np.ndarray:
        """The curve's value on a day or an array of days, even outside its valid range."""
        constant, linear, square, cube = self.coefficients
        return constant + days * (linear + days * (square + days * cube))

    @property
    def label(self) -> str:
        """Paper and group, for a legend."""
        paper = self.source.partition(" ")[0]
        return f"{paper}, {self.group}{' (corrected)' if self.correction else ''}"

    @property
    def computed_peak(self) -> tuple[float, float]:
        """Day and value of the maximum of the formula."""
        day = self._turns[0]
        return day, float(self.at(day))

    @property
    def span(self) -> tuple[float, float]:
        """First and last day of the curve's valid range.

        A cubic rises again after its minimum, and may fall below zero; the range ends before either.
        """
        rising_again = self._turns[1] if self._turns[1] > self._turns[0] else _HORIZON_DAYS
        days = np.arange(0.0, min(rising_again, _HORIZON_DAYS), _STEP_DAYS)
        readable = days[np.asarray(self.at(days)) >= 0]
        return float(readable[0]), float(readable[-1])

    @property
    def _turns(self) -> tuple[float, float]:
        """Day of the maximum, and of the minimum, by the zeros of the derivative."""
        _, linear, square, cube = self.coefficients
        # With a positive cube the maximum comes first, with a negative one last.
        low, high = sorted(float(root.real) for root in np.roots([3 * cube, 2 * square, linear]))
        return (low, high) if cube > 0 else (high, low)


_GGO_CORRECTION = (
    "Pan prints 3.30x, which gives 46 % and still rises on day 23, where the text reports the peak of 23.03 %. "
    "With 2.30x the curve gives 23.03 % on day 23."
)
_ORDER_CORRECTION = (
    "Huang prints 2.956x³ − 0.03065x² − 0.004374x − 1.106; in the order used here the peak is on day 13 as in the text."
)
_SCORE, _LESION, _GGO, _CONSOLIDATION = "ct_score", "extent_percent", "ggo_percent", "consolidation_percent"
MODERATE, SEVERE, ALL = "moderate", "severe", "all patients"
_PAN, _HUANG = "Pan 2021, Fig. 3", "Huang 2020, Fig. 2a"

CURVES = (
    Curve("pan-3a-moderate", _PAN + "A", MODERATE, _SCORE, (0.0, 0.460, -0.0156, 0.000128)),
    Curve("pan-3a-severe", _PAN + "A", SEVERE, _SCORE, (0.0, 1.41, -0.0448, 0.000389)),
    Curve("pan-3b-moderate", _PAN + "B", MODERATE, _LESION, (0.0, 0.413, -0.0148, 0.000127), 18, 3.37),
    Curve("pan-3b-severe", _PAN + "B", SEVERE, _LESION, (0.0, 2.89, -0.0912, 0.000794), 23, 27.91),
    Curve("pan-3c-moderate", _PAN + "C", MODERATE, _GGO, (0.0, 0.321, -0.0114, 0.0000977), 18, 2.65),
    Curve("pan-3c-severe", _PAN + "C", SEVERE, _GGO, (0.0, 2.30, -0.0704, 0.000606), 23, 23.03, _GGO_CORRECTION),
    Curve("pan-3d-moderate", _PAN + "D", MODERATE, _CONSOLIDATION, (0.0, 0.0911, -0.00338, 0.0000297), 18, 0.72),
    Curve("pan-3d-severe", _PAN + "D", SEVERE, _CONSOLIDATION, (0.0, 0.590, -0.0208, 0.000188), 19, 4.99),
    Curve("huang-2a", _HUANG, ALL, _LESION, (-1.106, 2.956, -0.03065, -0.004374), 13, correction=_ORDER_CORRECTION),
)


def curves_of(measure: str) -> tuple[Curve, ...]:
    """The published curves of a measure."""
    return tuple(curve for curve in CURVES if curve.measure == measure)


def curve_named(name: str) -> Curve:
    """The published curve of a name.

    Raises:
        KeyError: there is none.
    """
    for curve in CURVES:
        if curve.name == name:
            return curve
    raise KeyError(name)
