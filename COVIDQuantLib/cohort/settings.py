"""How every exam of a batch is made, and the key that is the same only if the results would be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from COVIDQuantLib import __version__
from COVIDQuantLib.export.exam_files import files_of
from COVIDQuantLib.pipeline import DEFAULT_PLAN, NETWORK, Plan
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds

STEPS = ("lobes", "lesions")
DEFAULT_EXPORTS = ("segmentation", "metrics", "picture")


@dataclass(frozen=True)
class BatchSettings:
    """How every exam is made.

    Attributes:
        plan: method, device and models.
        thresholds: bounds of ground glass and consolidation.
        exports: names of what is written of each exam, ``metrics`` among them.
        identify: write names and UIDs as they are instead of hashes.
        models: record of each step's model with the SHA-256 of its weights; empty without networks.
        version: of COVIDQuant.
    """

    plan: Plan = DEFAULT_PLAN
    thresholds: Thresholds = DEFAULT_THRESHOLDS
    exports: tuple[str, ...] = DEFAULT_EXPORTS
    identify: bool = False
    models: Mapping[str, Any] = field(default_factory=dict, hash=False)
    version: str = __version__

    @classmethod
    def of(cls, plan: Plan, thresholds: Thresholds, exports: tuple[str, ...], *, identify: bool = False) -> Self:
        """Settings with the models that the plan uses on this machine.

        Raises:
            UsageError: the networks' packages are missing.
            UnfitInputError: a model is missing or damaged.
        """
        return cls(plan, thresholds, exports, identify, models_of(plan))

    @property
    def files(self) -> list[str]:
        """The files that an exam has in the end."""
        return files_of(self.exports)

    @property
    def model(self) -> str:
        """Method and models in a word, for the data set."""
        if not self.models:
            return self.plan.method
        return "; ".join(dict.fromkeys(f"{one['name']} {one['version']}" for one in self.models.values()))

    def record(self) -> dict[str, Any]:
        """What the results depend on, as plain values; where they are computed is not among it."""
        return {
            "version": self.version,
            "method": self.plan.method,
            "models": dict(self.models),
            "thresholds": self.thresholds.as_record(),
            "files": self.files,
            "identify": self.identify,
        }

    @property
    def key(self) -> str:
        """SHA-256 of :meth:`record`."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()

    def as_message(self) -> dict[str, Any]:
        """The settings as plain values for another process."""
        return {
            "plan": asdict(self.plan),
            "thresholds": self.thresholds.as_record(),
            "exports": list(self.exports),
            "identify": self.identify,
            "models": dict(self.models),
            "version": self.version,
        }

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Self:
        """The settings that :meth:`as_message` gave."""
        return cls(
            Plan(**message["plan"]),
            Thresholds(**message["thresholds"]),
            tuple(message["exports"]),
            message["identify"],
            message["models"],
            message["version"],
        )


def models_of(plan: Plan) -> dict[str, Any]:
    """The records of a plan's models here, by step; errors as of :meth:`BatchSettings.of`."""
    if plan.method != NETWORK:
        return {}
    # Where the networks will run does not matter here, and this machine may lack that device.
    networks = replace(plan, device="cpu").networks()
    return {step: networks.bundle(step).record() for step in STEPS}
