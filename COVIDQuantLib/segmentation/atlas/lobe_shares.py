"""Shift the fissures, within population variation, so that the lobes get plausible shares of their lung.

The landmarks come from people with COPD, whose upper lobes are large; combining the lung's outline with the usual size
of each lobe is more informative than the outline alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.anatomy import FISSURE
from COVIDQuantLib.segmentation.atlas.lung_frame import FloatArray, LungFrame
from COVIDQuantLib.segmentation.atlas.model import FissureModel, sheet_coordinates
from COVIDQuantLib.segmentation.lobes.between_fissures import shares_between


@dataclass(frozen=True)
class LobeShare:
    """Share of a lobe in the volume of its own lung: mean and standard deviation among healthy people."""

    mean: float
    deviation: float


# Supine CT at full inspiration of 32 volunteers without symptoms, table 3 of Yamada et al., Comparison of the lung
# and lobe volumes between supine and standing positions, Respiration 2020, doi 10.1159/000507265: 17.9 ± 2.4, 9.3 ± 1.6
# % of both lungs for the right upper and middle lobes in 53.6 % for the right lung; left upper 23.1 ± 2.1 in 46.4 %.
# By label; the lower lobes are the rest.
USUAL = {
    1: LobeShare(17.9 / 53.6, 2.4 / 53.6),
    2: LobeShare(9.3 / 53.6, 1.6 / 53.6),
    4: LobeShare(23.1 / 46.4, 2.1 / 46.4),
}

# Softness of the lobes' borders while they are moved, frame units; the lung is sampled about as finely.
_SOFT = 0.04


_SAMPLES = 8000


def weights_for_shares(
    points: FloatArray, frame: LungFrame, models: Mapping[str, FissureModel]
) -> dict[str, FloatArray]:
    """Most likely mode weights of one whole lung's fissures, given the population's modes and the lobes' shares.

    Args:
        points: positions in the lung, evenly spread, ``(n, 3)`` millimetres.
        frame: the lung's.
        models: of the lung's fissures, by name.
    """
    # Here, for it takes a sixth of a worker's start, and masks that are given need none of it.
    from scipy.optimize import least_squares

    unit = frame.to_unit(points[:: max(1, len(points) // _SAMPLES)])
    samples = {name: _SheetSamples.of(name, model, unit) for name, model in models.items()}
    ends = np.cumsum([sheet.lift.shape[1] for sheet in samples.values()])

    def by_name(weights: FloatArray) -> dict[str, FloatArray]:
        return dict(zip(samples, np.split(weights, ends[:-1]), strict=True))

    def misfit(weights: FloatArray) -> FloatArray:
        above = {name: samples[name].above(own) for name, own in by_name(weights).items()}
        return np.concatenate([weights, _strangeness(above)])

    return by_name(least_squares(misfit, np.zeros(ends[-1]), max_nfev=20).x)


def _strangeness(above: Mapping[str, FloatArray]) -> list[float]:
    """By how many standard deviations the lobes' shares differ from the usual ones."""
    shares = shares_between(FISSURE[next(iter(above))].side, above)
    known = {label: usual for label, usual in USUAL.items() if label in shares}
    return [(shares[label].mean() - usual.mean) / usual.deviation for label, usual in known.items()]


@dataclass(frozen=True)
class _SheetSamples:
    """A fissure over sample points of the lung.

    Attributes:
        rise: height of each point above the mean sheet, frame units, ``(n,)``.
        lift: contribution of each mode to the sheet's height there, ``(n, modes)``.
    """

    rise: FloatArray
    lift: FloatArray

    @classmethod
    def of(cls, name: str, model: FissureModel, unit: FloatArray) -> _SheetSamples:
        first, second, across = sheet_coordinates(name, unit)
        terms = model.terms(first, second)
        return cls(across - terms @ model.mean, terms @ model.modes)

    def above(self, weights: FloatArray) -> FloatArray:
        """Soft membership of each point above the sheet, 0..1."""
        return 1 / (1 + np.exp(-np.clip((self.rise - self.lift @ weights) / _SOFT, -40, 40)))
