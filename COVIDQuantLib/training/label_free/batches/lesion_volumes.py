"""Training batches for a lesion network that sees volumes: patches at 2 mm of chests whose lesions were simulated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage

from COVIDQuantLib.ct.volume import HU_MIN
from COVIDQuantLib.inference.slice_input import usual_lung_hu, volume_input
from COVIDQuantLib.simulation.fields.deformation import WarpRange, draw_warp, pull
from COVIDQuantLib.training.label_free.batches.lesion_slices import (
    WEIGHT_STEPS,
    WINDOW_HU,
    Lesions,
    misjudged,
    recoloured,
)
from COVIDQuantLib.training.label_free.batches.lobes import Batch, DrawnPatches, View
from COVIDQuantLib.training.label_free.subjects import VOLUME_MM

# Shares of the patches with a lesion, in chests that have any, and with a vessel or another dense place, of the rest.
_SICK, _DENSE_SHARE = 0.6, 0.4
# Dense places: lung above this, no lesion; every n-th point is kept, and every n-th point of a lesion.
_DENSE_HU, _FEW = -550, 23
# How far from the middle of a patch its lesion may lie, points.
_ASIDE = 16.0
# Share of the patches whose dense disease is missing in the lung mask, and how dense that is.
_DENSE_LOST, _LOST_HU = 0.15, -300
_WARP = WarpRange(degrees=12, scale=0.15, elastic=1.5, control=18)


@dataclass(frozen=True)
class _Places:
    """Points ``[n, 3]`` of a chest on which a patch may be centred, and the CT number of its aerated lung."""

    lesions: tuple[np.ndarray, ...]
    dense: np.ndarray
    lung: np.ndarray
    usual_hu: float


@dataclass(frozen=True)
class VolumeBatches(DrawnPatches):
    """Patches in random pose and intensity; more than half of them have lesions.

    Every lesion of a chest is as likely, so that small ones are seen as often as large ones. The views are of
    :func:`~COVIDQuantLib.training.label_free.subjects.volume_view`, inputs ``[b, 2, k, j, i]`` 0..1, targets
    ``[b, 2, k, j, i]``: 1 in lesions, else 0, and the weight of the point in the loss.
    """

    shape: tuple[int, int, int] = (48, 56, 56)
    size: int = 3

    def _one(self, rng: np.random.Generator) -> Batch:
        number = int(rng.integers(len(self.views)))
        view = self.views[number]
        if number not in self._known:
            self._known[number] = _known(view)
        weighed, places = self._known[number]
        points = draw_warp(self.shape, _centre(places, rng), _WARP, rng)
        if rng.random() < 0.5:
            points[..., 2] = view["hu"].shape[2] - 1 - points[..., 2]
        hu = pull(torch.from_numpy(view["hu"])[None].float(), points, outside=HU_MIN)[0]
        masks = np.stack([view["lobes"] > 0, weighed.weight, weighed.rest]).astype(np.float32)
        lungs, weight, rest = pull(torch.from_numpy(masks), points, nearest=True)
        weight = weight / WEIGHT_STEPS
        if rng.random() < _DENSE_LOST:
            # A lung mask may miss dense disease; the rest must be found nevertheless.
            gone = (weight > 0) & (hu > _LOST_HU)
            lungs, weight = lungs.masked_fill(gone, 0.0), weight.masked_fill(gone, 0.0)
            rest = rest.masked_fill(gone, 1.0)
        inside = weight > 0
        total = torch.where(inside, weight.clamp(min=1.0), torch.where(lungs > 0.5, rest, 1.0))
        lungs = misjudged(lungs, rng)
        back = points[..., 1].mean(dim=(0, 2)) / view["hu"].shape[1]
        shown = recoloured(hu, lungs, back.clamp(0, 1)[None, :, None], rng)
        image = volume_input(shown, WINDOW_HU, lungs > 0.5, places.usual_hu + _change(hu, shown, lungs > 0.5))
        return image, torch.stack([inside.float(), total])

    @cached_property
    def _known(self) -> dict[int, tuple[Lesions, _Places]]:
        return {}


def _known(view: View) -> tuple[Lesions, _Places]:
    """Weights of a chest's lesions, and the points on which patches are centred."""
    weighed = Lesions.of(view["lesions"], np.full(3, VOLUME_MM), view.get("hard"))
    pieces, _ = ndimage.label(weighed.weight > 0)
    few = [
        np.argwhere(pieces[box] == number)[::_FEW] + np.array([part.start for part in box])
        for number, box in enumerate(ndimage.find_objects(pieces), start=1)
    ]
    lung = view["lobes"] > 0
    dense = lung & (view["hu"] > _DENSE_HU) & ~view["lesions"]
    usual = usual_lung_hu(torch.from_numpy(view["hu"]), torch.from_numpy(lung))
    return weighed, _Places(
        tuple(points.astype(np.int16) for points in few),
        np.argwhere(dense)[::_FEW].astype(np.int16),
        np.argwhere(lung)[:: 50 * _FEW].astype(np.int16),
        usual,
    )


def _change(before: torch.Tensor, after: torch.Tensor, lungs: torch.Tensor) -> float:
    """By how much the CT numbers of the lung in a patch have changed, HU."""
    return float((after - before)[lungs].median()) if lungs.any() else 0.0


def _centre(places: _Places, rng: np.random.Generator) -> np.ndarray:
    """The middle of a patch."""
    points = places.lung
    if places.lesions and rng.random() < _SICK:
        points = places.lesions[int(rng.integers(len(places.lesions)))]
    elif len(places.dense) and rng.random() < _DENSE_SHARE:
        points = places.dense
    return points[int(rng.integers(len(points)))] + rng.uniform(-1, 1, 3) * _ASIDE
