"""Building blocks of the architectures: convolution segments, padding to any input shape, initialisation.

Tensors are [n, channels, *space], space being (j, i) in 2D and (k, j, i) in 3D. Every network gives logits; the sigmoid
or softmax belongs to the loss and to the inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers.factories import Conv
from torch import nn
from torch.nn import functional

RELU = ("relu", {"inplace": True})
NORMS: dict[str, Any] = {
    "batch": "batch",
    "instance": ("instance", {"affine": True}),
    # One group: any number of channels is a multiple of it.
    "group": ("group", {"num_groups": 1}),
}
# The deepest level must keep two voxels per side, or batch and instance norm have nothing to average.
_LEAST_AT_THE_BOTTOM = 2


class AnyShape(nn.Module):
    """A network for any input shape: pads to a multiple of ``factor`` by repeating the border, and crops the result.

    Args:
        dims: 2 or 3.
        factor: by how much the deepest level is coarser than the input.
    """

    def __init__(self, dims: int, factor: int) -> None:
        super().__init__()
        self.dims = dims
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n, out_channels, *space] of images [n, in_channels, *space]."""
        shape = x.shape[2:]
        missing = [self._padded(length) - length for length in shape]
        if not any(missing):
            return self.logits(x)
        pads = [pad for length in reversed(missing) for pad in (length // 2, length - length // 2)]
        whole = self.logits(functional.pad(x, pads, mode="replicate"))
        inside = [slice(lost // 2, lost // 2 + length) for lost, length in zip(missing, shape, strict=True)]
        return whole[(slice(None), slice(None), *inside)]

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """The network itself, on a shape that is a multiple of ``factor``."""
        raise NotImplementedError

    def _padded(self, length: int) -> int:
        return max(-(-length // self.factor), _LEAST_AT_THE_BOTTOM) * self.factor


class UNet(AnyShape):
    """The encoder-decoder loop shared by the U-Nets; a subclass creates the parts, finest level first in the encoder.

    ``down`` convolves on each level, ``pools`` lead to the next; ``up`` enlarges and ``join`` convolves what it gives
    beside the level's bridge, deepest first; ``final`` makes the logits.
    """

    down: nn.ModuleList
    pools: nn.ModuleList
    up: nn.ModuleList
    join: nn.ModuleList
    final: nn.Module

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n, out_channels, *space] of [n, in_channels, *space], sides multiples of ``factor``."""
        x = self.down[0](x)
        bridges: list[torch.Tensor] = []
        for pool, convolve in zip(self.pools, self.down[1:], strict=True):
            bridges.append(x)
            x = convolve(pool(x))
        for enlarge, convolve in zip(self.up, self.join, strict=True):
            x = convolve(torch.cat([bridges.pop(), enlarge(x)], dim=1))
        return self.final(x)


def segment(dims: int, in_channels: int, out_channels: int, norm: Any = "batch", dropout: float = 0.0) -> nn.Module:
    """Convolution of 3 a side, normalisation, ReLU; no bias, since the normalisation would remove it."""
    return Convolution(
        dims, in_channels, out_channels, act=RELU, norm=norm, dropout=dropout or None, bias=False, padding=1
    )


def segments(dims: int, channels: Sequence[int], norm: Any = "batch", dropout: float = 0.0) -> nn.Sequential:
    """One segment after the other: ``channels`` are those of the input and of every segment's output."""
    return nn.Sequential(*(segment(dims, before, after, norm, dropout) for before, after in pairwise(channels)))


def final(dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """The 1×1 convolution that gives the logits."""
    return Conv[Conv.CONV, dims](in_channels, out_channels, kernel_size=1)


def initialise(network: nn.Module) -> None:
    """Kaiming He initialisation of every convolution, for ReLU; norms start as identity, biases at zero."""
    convolutions = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    for module in network.modules():
        if isinstance(module, convolutions):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
