"""The losses: of lobes, also where only the lungs are known, and of lesions, in which small ones weigh more."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss, MaskedDiceLoss
from torch.nn import functional

from COVIDQuantLib.anatomy import labels_of_side
from COVIDQuantLib.inference.lobes import CLASSES
from COVIDQuantLib.training.label_free.subjects import LEFT_LUNG, RIGHT_LUNG

# Lobes of each lung whose lobes are not known.
LOBES_OF = {RIGHT_LUNG: labels_of_side("right"), LEFT_LUNG: labels_of_side("left")}


class LobesLoss(torch.nn.Module):
    """Cross-entropy plus Dice; where the lobe is not known, the probabilities of that lung's lobes are summed."""

    def __init__(self) -> None:
        super().__init__()
        self._dice = MaskedDiceLoss(softmax=True, include_background=False, batch=True)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of logits ``[b, 6, k, j, i]`` for a target int64 ``[b, 1 or 2, k, j, i]``.

        Its first channel are the labels (0..7, 8 where it is unknown and ignored), its second, if there
        is one, the weights of the cross-entropy.
        """
        labels, weights = target[:, :1], target[:, 1:]
        log_chance = functional.log_softmax(logits, dim=1)
        known = labels < CLASSES
        exact = functional.nll_loss(log_chance, torch.where(known, labels, 0)[:, 0], reduction="none")[:, None]
        entropy = torch.where(known, exact, 0.0)
        for lung, lobes in LOBES_OF.items():
            of_lung = labels == lung
            if bool(of_lung.any()):
                together = torch.logsumexp(log_chance[:, list(lobes)], dim=1, keepdim=True)
                entropy = entropy - torch.where(of_lung, together, 0.0)
        hot = functional.one_hot(torch.where(known, labels, 0)[:, 0], CLASSES).movedim(-1, 1).float()
        dice: torch.Tensor = self._dice(logits, hot, known.float())
        if weights.shape[1]:
            entropy = entropy * weights
        return entropy.mean() + dice


class LesionsLoss(torch.nn.Module):
    """Weighted cross-entropy plus Dice of a batch's pixels; Dice alone hardly counts a small lesion."""

    def __init__(self) -> None:
        super().__init__()
        self._dice = DiceLoss(sigmoid=True, batch=True)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of logits ``[b, 1, j, i]`` for a target ``[b, 2, j, i]``: lesion 0 or 1, and the pixels' weights."""
        lesion, weight = target[:, :1], target[:, 1:]
        dice: torch.Tensor = self._dice(logits, lesion)
        return dice + functional.binary_cross_entropy_with_logits(logits, lesion, weight)
