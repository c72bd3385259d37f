"""The losses a recipe can name, for one logit a pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monai.losses.dice import DiceCELoss, DiceFocalLoss, DiceLoss
from monai.losses.focal_loss import FocalLoss
from monai.losses.tversky import TverskyLoss
from torch import nn

# Dice over the whole batch: most slices hold little or nothing, and their own Dice would be all or none.
LOSSES: Mapping[str, Callable[[], nn.Module]] = {
    "bce": nn.BCEWithLogitsLoss,
    "dice": lambda: DiceLoss(sigmoid=True, batch=True),
    "dice-bce": lambda: DiceCELoss(sigmoid=True, batch=True),
    "dice-focal": lambda: DiceFocalLoss(sigmoid=True, batch=True),
    "focal": lambda: FocalLoss(use_softmax=False),
    "tversky": lambda: TverskyLoss(sigmoid=True, batch=True),
}
