"""How the cues are weighed: a logistic sum with the weights of ``Resources/Review/suspicion.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.resources import resource_path
from COVIDQuantLib.review.cues import CUES

FORMAT = "covidquant-suspicion/1"


@dataclass(frozen=True)
class CueWeights:
    """Weights of the cues.

    Attributes:
        intercept: log odds of an artefact where no cue is seen.
        weights: added log odds per cue where it is plainly seen, never negative: a cue can only speak for an artefact.
        threshold: score from which a component is on the default list.
        source: what the weights were fitted on, and how.
    """

    intercept: float
    weights: Mapping[str, float]
    threshold: float
    source: Mapping[str, Any]

    def score(self, values: Mapping[str, float]) -> float:
        """Score 0..1 of a component from its cues' values."""
        odds = self.intercept + sum(weight * values[name] for name, weight in self.weights.items())
        return 1.0 / (1.0 + math.exp(-odds))

    @classmethod
    def read(cls, path: Path) -> CueWeights:
        """Weights from their file.

        Raises:
            UnfitInputError: the file is not one, or is for other cues.
        """
        try:
            return cls._from_record(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnfitInputError(
                f"not a table of weights for the review ({error})", str(path), "Install COVIDQuant again."
            ) from error

    @classmethod
    def _from_record(cls, record: dict[str, Any]) -> CueWeights:
        if record["format"] != FORMAT or set(record["weights"]) != {cue.name for cue in CUES}:
            raise ValueError("another format, or weights for other cues")
        weights = {cue.name: float(record["weights"][cue.name]) for cue in CUES}
        return cls(float(record["intercept"]), weights, float(record["threshold"]), dict(record["source"]))

    def as_record(self) -> dict[str, Any]:
        """The table as its file holds it."""
        return {
            "format": FORMAT,
            "intercept": self.intercept,
            "weights": dict(self.weights),
            "threshold": self.threshold,
            "source": dict(self.source),
        }


@cache
def shipped_cue_weights() -> CueWeights:
    """The weights that ship with COVIDQuant."""
    return CueWeights.read(resource_path("Review", "suspicion.json"))
