"""The weights of the cues: a logistic model with the weights in ``Resources/Review/suspicion.json``."""

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
        intercept: log odds of an artefact when every cue is 0.
        weights: log odds added by each cue at value 1, never negative: a cue can only indicate an artefact.
        threshold: minimum score of components on the default list.
        source: what the weights were fitted to, and how.
    """

    intercept: float
    weights: Mapping[str, float]
    threshold: float
    source: Mapping[str, Any]

    def score(self, values: Mapping[str, float]) -> float:
        """Score 0..1 of a component from the values of its cues."""
        odds = self.intercept + sum(weight * values[name] for name, weight in self.weights.items())
        return 1.0 / (1.0 + math.exp(-odds))

    @classmethod
    def read(cls, path: Path) -> CueWeights:
        """Read weights from a file.

        Raises:
            UnfitInputError: the file is not a table of weights, or is for other cues.
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
        """The table in the format of the file."""
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
