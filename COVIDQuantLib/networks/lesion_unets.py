"""The 2D networks of Yoo and Pan for lesions, and the 2D U-Net for lungs of the Changsha group."""

from __future__ import annotations

from itertools import pairwise

import torch
from monai.networks.blocks import UpSample
from monai.networks.layers.factories import Pool
from torch import nn

from COVIDQuantLib.networks.blocks import AnyShape, UNet, final, initialise, segments


class YooUNet2D(AnyShape):
    """Yoo's 2D U-Net (paper 5 of the project, row Y1).

    As described: input 512×512×1; initial convolutions, four encoders, four decoders, a final 1×1 convolution; every
    other convolution is 3×3, batch normalisation, ReLU; the decoders upsample bilinearly, then concatenate; Kaiming He
    initialisation. The sigmoid is left to the loss and to the inference: this gives logits.

    Not given in the text, and chosen as in the first U-Net: two convolutions in each part, max pooling of 2 in the
    encoders, channels doubling from 64 to 1024 (halving in the decoders).

    Args:
        in_channels: slices given; the paper has one.
        out_channels: one logit for the lesion.
        width: channels of the initial convolutions.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 64) -> None:
        levels = [width * 2**level for level in range(5)]
        super().__init__(2, 2 ** (len(levels) - 1))
        self.initial = segments(2, (in_channels, width, width))
        steps = list(pairwise(levels))
        self.encoders = nn.ModuleList(segments(2, (above, here, here)) for above, here in steps)
        self.pools = nn.ModuleList(Pool[Pool.MAX, 2](2) for _ in steps)
        self.up = nn.ModuleList(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False) for _ in steps)
        self.decoders = nn.ModuleList(segments(2, (here + above, above, above)) for above, here in reversed(steps))
        self.final = final(2, width, out_channels)
        initialise(self)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n, out_channels, j, i] of [n, in_channels, j, i], sides multiples of 16."""
        x = self.initial(x)
        bridges: list[torch.Tensor] = []
        for pool, encode in zip(self.pools, self.encoders, strict=True):
            bridges.append(x)
            x = encode(pool(x))
        for enlarge, decode in zip(self.up, self.decoders, strict=True):
            x = decode(torch.cat([bridges.pop(), enlarge(x)], dim=1))
        return self.final(x)


class TransposedUNet2D(UNet):
    """2D U-Net with transposed convolutions, with a given number of segments per level.

    Args:
        in_channels: slices given.
        out_channels: logits.
        levels: channels of each level, finest first.
        contracting: convolution segments of each level on the way down, finest first; the deepest is the bottom.
        expanding: convolution segments of each level on the way up, finest first; one fewer than ``contracting``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, levels: list[int], contracting: list[int], expanding: list[int]
    ) -> None:
        super().__init__(2, 2 ** (len(levels) - 1))
        befores = (in_channels, *levels[:-1])
        self.down = nn.ModuleList(
            segments(2, (before, *[here] * count))
            for before, here, count in zip(befores, levels, contracting, strict=True)
        )
        self.pools = nn.ModuleList(Pool[Pool.MAX, 2](2) for _ in levels[1:])
        steps = list(zip(levels[:-1], levels[1:], expanding, strict=True))[::-1]
        self.up = nn.ModuleList(UpSample(2, below, here, 2, mode="deconv") for here, below, _ in steps)
        self.join = nn.ModuleList(segments(2, (2 * here, *[here] * count)) for here, _, count in steps)
        self.final = final(2, levels[0], out_channels)
        initialise(self)


class COVIDLesionNet(TransposedUNet2D):
    """Pan's COVID-Lesion Net (paper 3 of the project, row P1).

    As described: twelve convolutional segments (convolution, batch normalisation, activation), three max-poolings,
    three transpose convolutions; concatenations between the segments of the contracting and the expansive path.

    Not given in the text (the figure is only a drawing), and chosen here: two segments on each of the four levels of
    the contracting path (eight), one after each concatenation and a second at full resolution on the expansive path
    (four); 3×3 convolutions; ReLU; channels doubling from 64 to 512; transpose convolutions of 2×2 at stride 2; one 1×1
    convolution for the logit, which is not a segment since it has neither normalisation nor activation; slices in 2D.

    Args:
        in_channels: slices given.
        out_channels: one logit for the lesion.
        width: channels of the first level.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 64) -> None:
        levels = [width * 2**level for level in range(4)]
        super().__init__(in_channels, out_channels, levels, contracting=[2, 2, 2, 2], expanding=[2, 1, 1])


class LungsUNet2D(TransposedUNet2D):
    """The 2D U-Net for lungs of the Changsha group (paper 4 of the project, row C1), 'a standard 2D UNet'.

    The text gives no details; we use the first U-Net (five levels, two 3×3 convolutions each, max pooling, transposed
    convolutions, channels doubling from 64 to 1024) with padding and batch normalisation.

    Args:
        in_channels: slices given.
        out_channels: one logit for lungs; three (background, right, left) where the sides are distinguished.
        width: channels of the first level.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 64) -> None:
        levels = [width * 2**level for level in range(5)]
        super().__init__(in_channels, out_channels, levels, contracting=[2] * 5, expanding=[2] * 4)
