"""Count the parts of an architecture as it runs, for the docs and ``covidquant models show``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from COVIDQuantLib.networks.registry import architecture, build_network, checked_settings

# Deep enough for a network that is 32 times coarser at its deepest level.
_SIDE = 64
# Our term for operations by the start of torch's name.
_COUNTED = {
    "convolution": "convolutions",
    "max_pool": "poolings",
    "avg_pool": "poolings",
    "upsample": "interpolations",
    "native_batch_norm": "normalisations",
    "native_group_norm": "normalisations",
}


@dataclass(frozen=True)
class Description:
    """Counts of one network.

    Attributes:
        parameters: numbers in its weights.
        convolutions: of any size, the final 1×1 one included, transposed ones not.
        poolings: max or average poolings.
        transposed_convolutions: those that enlarge.
        interpolations: upsamplings without parameters.
        normalisations: batch, instance or group norms.
        factor: by how much the deepest level is coarser than the input.
    """

    parameters: int
    convolutions: int
    poolings: int
    transposed_convolutions: int
    interpolations: int
    normalisations: int
    factor: int


def describe(name: str, **settings: Any) -> Description:
    """Count the parts of an architecture; without allocating weights or images.

    Raises:
        UsageError: unknown architecture, unknown setting, or a value it cannot be built with.
        UnfitInputError: the architecture needs an optional package that is not installed.
    """
    shape = (1, checked_settings(name, settings)["in_channels"], *[_SIDE] * architecture(name).spatial_dims)
    with torch.device("meta"), torch.no_grad():
        network = build_network(name, **settings).eval()
        with _Steps() as steps:
            network(torch.empty(shape))
    counts = {part: steps.counts[part] for part in (*dict.fromkeys(_COUNTED.values()), "transposed_convolutions")}
    parameters = sum(weights.numel() for weights in network.parameters())
    return Description(parameters, factor=_SIDE // steps.smallest, **counts)


class _Steps(TorchDispatchMode):
    """Counts dispatched operations, and records the smallest side of any convolution's output."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.smallest = _SIDE

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.__name__.lstrip("_")
        for beginning, part in _COUNTED.items():
            if name.startswith(beginning):
                is_transposed = beginning == "convolution" and args[6]
                self.counts["transposed_convolutions" if is_transposed else part] += 1
        if name.startswith("convolution"):
            self.smallest = min(self.smallest, *result.shape[2:])
        return result
