"""How each network of a label-free bundle is trained: batches, loss, validation figure, input at inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from monai.losses.dice import DiceCELoss
from monai.metrics.meandice import compute_dice
from torch import nn

from COVIDQuantLib.inference.lesions import PLANES, VOLUME
from COVIDQuantLib.inference.lobes import CLASSES, WINDOW_HU, coarse_input, lobes_window
from COVIDQuantLib.inference.slice_input import neighbour_indices, usual_lung_hu, volume_input, window
from COVIDQuantLib.training.feed import Batches
from COVIDQuantLib.training.label_free.batches import fissures, lesion_slices, lesion_volumes
from COVIDQuantLib.training.label_free.batches.lobes import SOFT_WINDOW_OF, CoarseBatches, FineBatches, doubtful
from COVIDQuantLib.training.label_free.chests import View
from COVIDQuantLib.training.label_free.loss import LesionsLoss, LobesLoss
from COVIDQuantLib.training.label_free.recipe import OF_SLICES, OF_VOLUMES
from COVIDQuantLib.training.label_free.subjects import COARSE_MM, FINE_MM, PIXEL_MM, VOLUME_MM

DICE = "dice"
_LOBES_INPUT = {"window_hu": list(WINDOW_HU)}
# From views, draws (how often each), the recipe's entry and the channels of the input.
MakeBatches = Callable[[list[View], list[float], dict[str, Any], int], Batches]


@dataclass(frozen=True)
class Role:
    """How one network of a bundle is trained.

    Attributes:
        batches: from views, draws (how often each), the recipe's entry and the channels of the input.
        loss: makes the loss.
        outputs: of a network for a tuning view, as labels.
        classes: of these labels, background included.
        input: the bundle's record of what the network is given, from its channels and the recipe's entry.
    """

    batches: MakeBatches
    loss: Callable[[], nn.Module]
    outputs: Callable[[nn.Module, View, int], tuple[torch.Tensor, torch.Tensor]]
    classes: int
    input: Callable[[int, Mapping[str, Any]], dict[str, Any]]


def repeated(views: Sequence[View], draws: Sequence[float]) -> list[View]:
    """Views repeated by how often each is drawn, for batches that draw all equally."""
    least = min(draws)
    return [view for view, often in zip(views, draws, strict=True) for _ in range(max(1, round(often / least)))]


def _coarse(network: nn.Module, view: View, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    hu = torch.from_numpy(view["hu"]).float()
    image = coarse_input(hu, soft_window_hu=SOFT_WINDOW_OF[channels])[None]
    return _answer(network, image).argmax(1)[0], torch.from_numpy(view["lobes"])


def _fine(network: nn.Module, view: View, _channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    hu, lobes, sick = (torch.from_numpy(view[name])[None].float() for name in ("hu", "lobes", "lesions"))
    # The same simulated coarse results in every epoch.
    image = torch.cat([lobes_window(hu), doubtful(lobes, sick, np.random.default_rng(5))])[None]
    return _answer(network, image).argmax(1)[0], torch.from_numpy(view["lobes"])


def _fissures(network: nn.Module, view: View, _channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    image = lobes_window(torch.from_numpy(view["hu"]).float())[None, None]
    lobes = torch.from_numpy(view["lobes"])
    # Its output outside the lungs is not used.
    return _answer(network, image).argmax(1)[0] * (lobes > 0), fissures.fissure_labels(lobes)


def _slices(network: nn.Module, view: View, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    inside = torch.from_numpy(view["lobes"]) > 0
    image = window(torch.from_numpy(view["hu"]), *lesion_slices.WINDOW_HU, inside)
    rows = torch.nonzero(inside.flatten(1).any(dim=1)).ravel()[::3]
    beside = neighbour_indices(len(image), lesion_slices.NEIGHBOUR_MM / float(view["spacing"][0]), channels)[rows]
    found = [(_answer(network, image[few])[:, 0] > 0) for few in beside.split(8)]
    return (torch.cat(found).cpu() & inside[rows]).long(), torch.from_numpy(view["lesions"])[rows]


def _volume(network: nn.Module, view: View, _channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    hu, inside = torch.from_numpy(view["hu"]), torch.from_numpy(view["lobes"]) > 0
    image = volume_input(hu, lesion_slices.WINDOW_HU, inside, usual_lung_hu(hu, inside))[None]
    return ((_answer(network, image)[0, 0] > 0) & inside).long(), torch.from_numpy(view["lesions"])


def _answer(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    return network(image.to(next(network.parameters()).device)).float().cpu()


def _of_slices(plane: str) -> Role:
    return Role(
        lambda views, draws, plan, channels: lesion_slices.SliceBatches(
            views,
            channels=channels,
            count=plan["batches_per_epoch"],
            size=plan["batch_size"],
            seed=plan["seed"],
            weights=draws,
            plane=plane,
        ),
        LesionsLoss,
        _slices,
        2,
        lambda channels, plan: {
            "channels": channels,
            "pixel_mm": PIXEL_MM,
            "least_section_mm": PIXEL_MM,
            "neighbour_mm": lesion_slices.NEIGHBOUR_MM,
            "window_hu": list(lesion_slices.WINDOW_HU),
            **{name: plan[name] for name in OF_SLICES},
        },
    )


def _coarse_batches(views: list[View], draws: list[float], plan: dict[str, Any], channels: int) -> Batches:
    return _volumes(partial(CoarseBatches, channels=channels))(views, draws, plan, channels)


def _coarse_record(channels: int, _plan: Mapping[str, Any]) -> dict[str, Any]:
    soft = SOFT_WINDOW_OF[channels]
    second = {} if soft is None else {"soft_window_hu": list(soft)}
    # Mirrored holds for the fine network too: both then also see the chest with left and right exchanged.
    return {"spacing_mm": COARSE_MM, **_LOBES_INPUT, **second, "mirrored": True}


def _volume_record(channels: int, plan: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "channels": channels,
        "pixel_mm": VOLUME_MM,
        "window_hu": list(lesion_slices.WINDOW_HU),
        **{name: plan[name] for name in OF_VOLUMES},
    }


def _volumes(kind: Callable[..., Batches]) -> MakeBatches:
    """Batches for the roles in three dimensions."""
    return lambda views, draws, plan, _: kind(
        repeated(views, draws), count=plan["batches_per_epoch"], size=plan["batch_size"], seed=plan["seed"]
    )


ROLES: dict[str, Role] = {
    "coarse": Role(
        _coarse_batches,
        LobesLoss,
        _coarse,
        CLASSES,
        _coarse_record,
    ),
    "fine": Role(
        _volumes(FineBatches),
        LobesLoss,
        _fine,
        CLASSES,
        lambda _, __: {"spacing_mm": FINE_MM, **_LOBES_INPUT},
    ),
    "fissures": Role(
        _volumes(fissures.FissureBatches),
        lambda: DiceCELoss(softmax=True, to_onehot_y=True, batch=True, weight=torch.tensor(fissures.CLASS_WEIGHTS)),
        _fissures,
        fissures.CLASSES,
        lambda _, __: {"spacing_mm": FINE_MM, **_LOBES_INPUT},
    ),
    **{plane: _of_slices(plane) for plane in PLANES},
    VOLUME: Role(_volumes(lesion_volumes.VolumeBatches), LesionsLoss, _volume, 2, _volume_record),
}


def tuned(
    views: Sequence[View], role: str, channels: int, context: Callable[[], AbstractContextManager[Any]]
) -> Callable[[nn.Module], dict[str, float]]:
    """The validation of a role: mean Dice over its classes and the tuning views that contain them."""
    how = ROLES[role]

    def validation(network: nn.Module) -> dict[str, float]:
        values = []
        for view in views:
            with context():
                found, truth = how.outputs(network, view, channels)
            hot = [nn.functional.one_hot(x.long(), how.classes).movedim(-1, 0)[None].float() for x in (found, truth)]
            values.append(compute_dice(*hot, include_background=False)[0].numpy())
        # Dice is undefined for a view without lesions.
        return {DICE: float(np.nanmean(np.stack(values)))}

    return validation
