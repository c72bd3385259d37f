"""Fold batch norm into convolutions for faster inference."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise

from monai.networks.nets.resnet import ResNet, ResNetBlock
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
# In these a convolution and its norm are separate attributes, not in a sequence.
_NAMED_PAIRS: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    ResNet: (("conv1", "bn1"),),
    ResNetBlock: (("conv1", "bn1"), ("conv2", "bn2")),
}

_Place = tuple[nn.Module, str]


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """A copy of a trained network in evaluation mode with every batch norm that follows a convolution folded into it.

    A batch norm in evaluation mode is a scale and a shift of each channel, which the convolution's weights and bias can
    take over; the outputs agree to rounding. Norms that follow something else, and other kinds of norms, stay.

    Args:
        network: with weights loaded; not changed. In training mode its running statistics are used all the same.
    """
    folded = copy.deepcopy(network).eval()
    for (owner, name), (norm_owner, norm_name) in list(_pairs(folded)):
        convolution = getattr(owner, name)
        transposed = isinstance(convolution, _TRANSPOSED)
        setattr(owner, name, fuse_conv_bn_eval(convolution, getattr(norm_owner, norm_name), transpose=transposed))
        setattr(norm_owner, norm_name, nn.Identity())
    return folded.requires_grad_(requires_grad=False)


def _pairs(network: nn.Module) -> Iterator[tuple[_Place, _Place]]:
    """Find convolutions directly followed by a batch norm that can be folded."""
    for before, after in _neighbours(network):
        convolution, norm = getattr(*before), getattr(*after)
        if isinstance(convolution, _CONVOLUTIONS) and isinstance(norm, _BATCH_NORMS) and norm.track_running_stats:
            yield before, after


def _neighbours(network: nn.Module) -> Iterator[tuple[_Place, _Place]]:
    modules = list(network.modules())
    inside = {id(child) for module in modules if _is_sequence(module) for child in module.children()}
    for module in modules:
        for first, second in _NAMED_PAIRS.get(type(module), ()):
            yield (module, first), (module, second)
        if _is_sequence(module) and id(module) not in inside:
            yield from pairwise(_steps(module))


def _steps(sequence: nn.Module) -> Iterator[_Place]:
    """The steps of a sequence in execution order, with nested sequences expanded."""
    for name, child in sequence.named_children():
        if _is_sequence(child):
            yield from _steps(child)
        else:
            yield sequence, name


def _is_sequence(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
