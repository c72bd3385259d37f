"""The losses that a recipe can name, for one logit per pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monai.losses.dice import DiceCELoss, DiceFocalLoss, DiceLoss
from monai.losses.focal_loss import FocalLoss
from monai.losses.tversky import TverskyLoss
from torch import nn

# Dice over the whole batch: most slices contain little or no target, so that their own Dice would be 0 or 1.
LOSSES: Mapping[str, Callable[[], nn.Module]] = {
    "bce": nn.BCEWithLogitsLoss,
    "dice": lambda: DiceLoss(sigmoid=True, batch=True),
    "dice-bce": lambda: DiceCELoss(sigmoid=True, batch=True),
    "dice-focal": lambda: DiceFocalLoss(sigmoid=True, batch=True),
    "focal": lambda: FocalLoss(use_softmax=False),
    "tversky": lambda: TverskyLoss(sigmoid=True, batch=True),
}
