"""Settings of a training run: length, optimiser, schedule, loss, precision, stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

from COVIDQuantLib.errors import UsageError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda parameters, s: torch.optim.Adam(
        parameters, s.learning_rate, betas=(s.momentum, 0.999), weight_decay=s.weight_decay
    ),
    "adamw": lambda parameters, s: torch.optim.AdamW(
        parameters, s.learning_rate, betas=(s.momentum, 0.999), weight_decay=s.weight_decay
    ),
    "sgd": lambda parameters, s: torch.optim.SGD(
        parameters, s.learning_rate, momentum=s.momentum, weight_decay=s.weight_decay
    ),
}
_WARM_UP = 0.3
_POLY_POWER = 0.9


def _one_cycle(done: float) -> float:
    if done < _WARM_UP:
        return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * done / _WARM_UP))
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


# Factor on the learning rate by the fraction of the run that is done, 0..1.
_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "one-cycle": _one_cycle,
    "poly": lambda done: (1 - done) ** _POLY_POWER,
}
OPTIMIZERS, SCHEDULES, PRECISIONS = tuple(_OPTIMIZERS), tuple(_SCHEDULES), tuple(_PRECISIONS)


@dataclass(frozen=True)
class FitSettings:
    """How :func:`~COVIDQuantLib.training.engine.fit` trains.

    Attributes:
        loss: ``(outputs, targets) -> scalar``; outputs arrive as float32 whatever the precision.
        epochs: most epochs.
        iterations_per_epoch: optimiser steps per epoch; None for as many as the batches of the first epoch.
        optimizer: ``adam``, ``adamw`` or ``sgd``.
        learning_rate: the highest rate of the schedule.
        momentum: momentum of SGD, first beta of Adam.
        weight_decay: L2 penalty (decoupled with ``adamw``).
        schedule: ``constant``, ``cosine`` (to 0), ``one-cycle`` (warm up to the rate in the first 30 %, cosine to 0)
            or ``poly`` (power 0.9).
        schedule_over: whether the schedule runs over ``iterations`` or over ``time`` (``max_seconds``).
        max_seconds: stop cleanly, with a last validation and checkpoint, after this time; earlier runs that are
            resumed count.
        precision: ``float32``, ``bfloat16`` (autocast, CPU or CUDA) or ``float16`` (with loss scaling, CUDA only).
        channels_last: memory order of network and inputs.
        clip_norm: largest norm of the gradient; None for no clipping.
        seed: of every random generator at the start.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        best_by: the validation figure that picks the best epoch; empty for the training loss.
        best_is: whether the ``highest`` or ``lowest`` figure is best (the training loss: always the lowest).
        validate_every: epochs from one validation to the next; the last epoch is always validated.
        patience: stop after this many validations without a better figure; None to go on.
    """

    loss: Loss
    epochs: int = 100
    iterations_per_epoch: int | None = None
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"
    schedule_over: Literal["iterations", "time"] = "iterations"
    max_seconds: float | None = None
    precision: str = "float32"
    channels_last: bool = False
    clip_norm: float | None = None
    seed: int = 0
    device: str = "cpu"
    best_by: str = ""
    best_is: Literal["highest", "lowest"] = "highest"
    validate_every: int = 1
    patience: int | None = None

    def __post_init__(self) -> None:
        """Refuse invalid settings.

        Raises:
            UsageError: an unknown name, a number out of range, or settings that contradict each other.
        """
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise UsageError(f"unknown {name} {getattr(self, name)!r}", remedy=f"Choose one of {', '.join(known)}.")
        for name in ("epochs", "iterations_per_epoch", "validate_every", "patience", "learning_rate", "max_seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{name} is {value}", remedy="Give a number above 0.")
        if self.schedule_over == "time" and self.max_seconds is None:
            raise UsageError("a schedule over time has no time", remedy="Give max_seconds.")
        if self.precision == "float16" and torch.device(self.device).type != "cuda":
            raise UsageError(f"float16 does not train on {self.device}", remedy="Use bfloat16 or float32.")

    @property
    def lowest_is_best(self) -> bool:
        """Whether the best epoch is the one with the lowest figure."""
        return not self.best_by or self.best_is == "lowest"

    def autocast(self) -> AbstractContextManager[None]:
        """The context in which a network runs with this precision."""
        return torch.autocast(
            torch.device(self.device).type, _PRECISIONS[self.precision], enabled=self.precision != "float32"
        )

    def make_optimizer(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """The optimiser over all parameters that are to be trained."""
        return _OPTIMIZERS[self.optimizer]([p for p in network.parameters() if p.requires_grad], self)

    def rate_factor(self, done: float) -> float:
        """Factor on the learning rate when the fraction ``done`` of the run has passed."""
        return _SCHEDULES[self.schedule](min(max(done, 0.0), 1.0))
