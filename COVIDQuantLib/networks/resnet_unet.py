"""The Changsha group's 2.5D U-Net with a ResNet-34 encoder."""

from __future__ import annotations

import torch
from monai.networks.nets.resnet import ResNet
from torch import nn

from COVIDQuantLib.networks.blocks import AnyShape, final, initialise, segments

RESNET34_BLOCKS = [3, 4, 6, 3]
# A narrow network's last steps at full size would have too few channels.
_LEAST_CHANNELS = 8


class ResNet34UNet(AnyShape):
    """U-Net with a ResNet-34 backbone on neighbouring slices (paper 4 of the project, row C1).

    As described: 2.5D, the neighbouring slices being the input channels; U-Net structure; ResNet-34 (a 7×7 convolution
    at stride 2, max pooling, then 3, 4, 6 and 3 basic blocks of two 3×3 convolutions).

    Not given in the text (the supplement was not available), and chosen here: three slices; projections (1×1
    convolution and batch norm) as shortcuts where the size changes; a decoder of five steps, each nearest-neighbour
    upsampling, concatenation with the encoder's features of that size (none at full size) and two 3×3 convolutions with
    batch norm and ReLU, of 4, 2, 1, ½ and ¼ times ``width`` channels (but 8 in the last two at least); a 1×1
    convolution for the logit; no pretrained weights.

    Args:
        in_channels: neighbouring slices, the middle one being the one segmented.
        out_channels: one logit for the lesion.
        width: channels of the first residual stage; ResNet-34 has 64.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 1, width: int = 64) -> None:
        super().__init__(2, 32)
        self.encoder = ResNet(
            block="basic",
            layers=RESNET34_BLOCKS,
            block_inplanes=[width, 2 * width, 4 * width, 8 * width],
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_size=7,
            conv1_t_stride=2,
            shortcut_type="B",
            bias_downsample=False,
            feed_forward=False,
        )
        below = [8 * width, 4 * width, 2 * width, width, max(width // 2, _LEAST_CHANNELS)]
        bridges = [4 * width, 2 * width, width, width, 0]
        here = [*below[1:], max(width // 4, _LEAST_CHANNELS)]
        self.decoders = nn.ModuleList(
            segments(2, (deep + bridge, out, out)) for deep, bridge, out in zip(below, bridges, here, strict=True)
        )
        self.up = nn.ModuleList(nn.Upsample(scale_factor=2, mode="nearest") for _ in below)
        self.final = final(2, here[-1], out_channels)
        initialise(self)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n, out_channels, j, i] of [n, in_channels, j, i], sides multiples of 32."""
        encoder = self.encoder
        x = encoder.act(encoder.bn1(encoder.conv1(x)))
        bridges = [x]
        x = encoder.maxpool(x)
        for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
            x = stage(x)
            bridges.append(x)
        bridges.pop()
        for enlarge, decode in zip(self.up, self.decoders, strict=True):
            x = enlarge(x)
            x = decode(torch.cat([bridges.pop(), x], dim=1) if bridges else x)
        return self.final(x)
