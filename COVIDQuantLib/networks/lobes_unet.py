"""The 3D U-Net for lungs and lobes, at coarse spacing on the whole chest and at finer spacing in the lungs' box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.networks.blocks import UpSample
from monai.networks.layers.factories import Pool
from torch import nn

from COVIDQuantLib.networks.blocks import NORMS, UNet, final, initialise, segments

UPSAMPLINGS: dict[str, dict[str, Any]] = {
    "transposed": {"mode": "deconv"},
    "linear": {"mode": "nontrainable", "interp_mode": "linear", "align_corners": False},
    "nearest": {"mode": "nontrainable", "interp_mode": "nearest", "align_corners": None},
}


class LobesUNet3D(UNet):
    """3D U-Net: two convolutions per level, max pooling down, upsampling and concatenation up, 1×1×1 at the end.

    The papers name no network for the lobes (Huang, row H1: a module 'lungs and lobes'); this is the plain 3D U-Net,
    used twice: on the whole chest at coarse spacing, since a lobe is identified by its position, then at finer spacing
    with the coarse probabilities as further channels, for the boundaries.

    Args:
        in_channels: windows of the CT, 1 or 2, or 1 and the coarse probabilities.
        out_channels: background and five lobes.
        features: channels of every level, finest first; their number is the depth.
        norm: ``batch`` (can be folded away at inference), ``instance`` or ``group``.
        dropout: share of the activations dropped while training.
        upsampling: ``transposed`` convolution of 2 a side, or ``linear`` or ``nearest`` interpolation.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 6,
        features: Sequence[int] = (16, 32, 64, 128),
        norm: str = "batch",
        dropout: float = 0.0,
        upsampling: str = "transposed",
    ) -> None:
        super().__init__(3, 2 ** (len(features) - 1))
        kind = NORMS[norm]
        self.down = nn.ModuleList(
            segments(3, (before, here, here), kind, dropout)
            for before, here in zip((in_channels, *features[:-1]), features, strict=True)
        )
        steps = list(zip(features[:0:-1], features[-2::-1], strict=True))
        self.pools = nn.ModuleList(Pool[Pool.MAX, 3](2) for _ in steps)
        self.up = nn.ModuleList(UpSample(3, below, here, 2, **UPSAMPLINGS[upsampling]) for below, here in steps)
        self.join = nn.ModuleList(segments(3, (2 * here, here, here), kind, dropout) for _, here in steps)
        self.final = final(3, features[0], out_channels)
        initialise(self)
