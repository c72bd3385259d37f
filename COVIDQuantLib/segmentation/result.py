"""The segmentation of a chest CT, whatever its origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.grades import CheckResult
from COVIDQuantLib.segmentation.log_odds import OddsMap


@dataclass
class Segmentation:
    """Lobes and lesions on the CT's grid.

    Attributes:
        lobes: uint8 ``[k, j, i]``, label values of :mod:`COVIDQuantLib.anatomy`; their union is the lungs.
        lesions: bool ``[k, j, i]``, the pneumonia.
        provenance: per step (``lungs``, ``lobes``, ``lesions``) how it was made: method or file, settings, model
            bundle with its SHA-256.
        warnings: warnings about it.
        checks: results of the checks; empty if not checked.
        odds: the networks' log odds of ``lungs`` and ``lesions``; empty without networks.
    """

    lobes: np.ndarray
    lesions: np.ndarray
    provenance: dict[str, Any] = field(default_factory=dict)
    warnings: list[CTWarning] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    odds: dict[str, OddsMap] = field(default_factory=dict)
