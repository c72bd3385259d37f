"""What an architecture is made of, counted on the network itself; for the docs and ``covidquant models show``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from COVIDQuantLib.networks.registry import build_network

_COUNTED: dict[str, tuple[type[nn.Module], ...]] = {
    "convolutions": (nn.Conv2d, nn.Conv3d),
    "poolings": (nn.MaxPool2d, nn.MaxPool3d),
    "transposed_convolutions": (nn.ConvTranspose2d, nn.ConvTranspose3d),
    "interpolations": (nn.Upsample,),
    "normalisations": (nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm),
}


@dataclass(frozen=True)
class Description:
    """Counts of one network.

    Attributes:
        parameters: trainable numbers.
        convolutions: of any size, the final 1×1 one included, transposed ones not.
        poolings: max poolings.
        transposed_convolutions: those that enlarge.
        interpolations: upsamplings without parameters.
        normalisations: batch, instance or group norms.
        factor: by how much the deepest level is coarser than the input; smaller inputs are padded.
    """

    parameters: int
    convolutions: int
    poolings: int
    transposed_convolutions: int
    interpolations: int
    normalisations: int
    factor: int


def describe(name: str, **settings: Any) -> Description:
    """Count the parts of an architecture; takes no memory for its weights.

    Raises:
        UsageError: unknown architecture, unknown setting, or a value it cannot be built with.
    """
    with torch.device("meta"):
        network = build_network(name, **settings)
    counts = {part: sum(isinstance(module, types) for module in network.modules()) for part, types in _COUNTED.items()}
    return Description(sum(weights.numel() for weights in network.parameters()), factor=network.factor, **counts)
