"""The U-Net of the program lungmask, built by its own package, for its published weights."""

from __future__ import annotations

import importlib.util

from torch import nn

from COVIDQuantLib.errors import UnfitInputError


def lungmask_unet(in_channels: int = 1, out_channels: int = 3) -> nn.Module:
    """The 2D U-Net as lungmask's ``get_model`` builds it: depth 5, batch norm, bilinear upsampling, its default width.

    Hofmanninger et al., European Radiology Experimental 4, 50 (2020). It gives log-probabilities, not logits.

    Args:
        in_channels: 1, the slice.
        out_channels: classes with the background: 3 for both lungs, 6 for five lobes.

    Raises:
        UnfitInputError: the optional package lungmask is not installed.
    """
    if importlib.util.find_spec("lungmask") is None:
        raise UnfitInputError("this model needs the package lungmask", remedy="Install it: pip install lungmask")
    from lungmask.resunet import UNet

    return UNet(
        in_channels=in_channels,
        n_classes=out_channels,
        depth=5,
        padding=True,
        batch_norm=True,
        up_mode="upsample",
        residual=False,
    )
