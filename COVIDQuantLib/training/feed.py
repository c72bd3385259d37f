"""Feeding batches to a network in training: one draw per epoch, moved to its device, memory format and precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import torch
from ignite.utils import convert_tensor
from monai.inferers.inferer import SimpleInferer
from torch import nn

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.training.settings import FitSettings

Batch = tuple[torch.Tensor, torch.Tensor]
Batches = Callable[[int], Iterable[Batch]] | Iterable[Batch]

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def placed(network: nn.Module, settings: FitSettings) -> nn.Module:
    """The network on the settings' device and in their memory order."""
    network = network.to(settings.device)
    if settings.channels_last:
        for weights in network.parameters():
            if weights.ndim in _CHANNELS_LAST:
                weights.data = weights.data.contiguous(memory_format=_CHANNELS_LAST[weights.ndim])
    return network


def prepared(settings: FitSettings) -> Callable[..., Batch]:
    """Function that moves a batch to the network's device: MONAI's ``prepare_batch``."""

    def prepare(batch: Batch, device: torch.device, non_blocking: bool, **_: Any) -> Batch:  # noqa: FBT001 - MONAI's
        inputs, targets = batch
        inputs = inputs.to(device, non_blocking=non_blocking)
        if settings.channels_last:
            inputs = inputs.contiguous(memory_format=_CHANNELS_LAST[inputs.ndim])
        return inputs, convert_tensor(targets, device, non_blocking)

    return prepare


class Precision(SimpleInferer):
    """Runs the network in the settings' precision and returns its outputs as float32."""

    def __init__(self, settings: FitSettings) -> None:
        super().__init__()
        self._settings = settings

    def __call__(self, inputs: torch.Tensor, network: Callable, *args: Any, **kwargs: Any) -> Any:
        """The network's outputs, float32."""
        with self._settings.autocast():
            outputs = network(inputs, *args, **kwargs)
        return outputs.float() if isinstance(outputs, torch.Tensor) else [o.float() for o in outputs]


class EpochBatches:
    """An endless iterator over the batches of the trainer's current epoch.

    Args:
        batches: as :func:`~COVIDQuantLib.training.engine.fit` takes them.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self.epoch = 1

    def of(self, epoch: int) -> Iterable[Batch]:
        """The batches of one epoch."""
        return self._batches(epoch) if callable(self._batches) else self._batches

    def __iter__(self) -> Iterator[Batch]:
        """Batches, drawn again when the epoch runs out of them.

        Raises:
            UsageError: there are none.
        """
        while True:
            empty = True
            for batch in self.of(self.epoch):
                empty = False
                yield batch
            if empty:
                raise UsageError("there is nothing to train on", f"epoch {self.epoch}", "Give more cases.")

    def length(self) -> int:
        """Number of batches in the first epoch."""
        first = self.of(1)
        return len(first) if isinstance(first, Sized) else sum(1 for _ in first)
