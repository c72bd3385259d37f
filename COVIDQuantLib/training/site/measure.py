"""Evaluation of a slice network on cases: Dice, sensitivity and PPV per scan, as in the papers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from COVIDQuantLib.evaluation.overlap import mask_overlap
from COVIDQuantLib.inference.device import Device
from COVIDQuantLib.inference.lesions import LesionsNetwork, find_lesions_by_network
from COVIDQuantLib.inference.lungs import find_lungs_by_slices
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.training.augment import IMAGE
from COVIDQuantLib.training.recipe import Recipe
from COVIDQuantLib.training.settings import FitSettings
from COVIDQuantLib.training.site.prepare import CaseStore, ct_lungs, read_case
from COVIDQuantLib.training.site.slices import Reference, TakeSlice, used_slices

# A logit for certain background.
_NOWHERE = -20.0
DICE, SENSITIVITY, PPV = "dice", "sensitivity", "ppv"


@dataclass
class Scores:
    """Agreement of masks with the truth, scan by scan.

    Attributes:
        dice: per scan; NaN without target.
        sensitivity: per scan; NaN without target.
        ppv: per scan; NaN without target, 0 where nothing was found.
        false_ml: volume found in the scans without target, millilitres.
    """

    dice: list[float] = field(default_factory=list)
    sensitivity: list[float] = field(default_factory=list)
    ppv: list[float] = field(default_factory=list)
    false_ml: list[float] = field(default_factory=list)

    def add(self, found: torch.Tensor, truth: torch.Tensor, voxel_ml: float) -> None:
        """Add one scan.

        Args:
            found: bool ``[k, j, i]``.
            truth: bool of the same shape.
            voxel_ml: volume of a voxel.
        """
        if not bool(truth.any()):
            self.false_ml.append(float(found.sum()) * voxel_ml)
            return
        overlap = mask_overlap(found.numpy(), truth.numpy())
        self.dice.append(overlap.dice or 0.0)
        self.sensitivity.append(overlap.sensitivity or 0.0)
        self.ppv.append(overlap.ppv or 0.0)

    def means(self) -> dict[str, float]:
        """Mean over the scans with target; NaN if there are none."""
        lists = {DICE: self.dice, SENSITIVITY: self.sensitivity, PPV: self.ppv}
        return {name: float(np.mean(values)) if values else float("nan") for name, values in lists.items()}

    def records(self, data: str, machine: str) -> list[dict[str, object]]:
        """The figures for a bundle's metadata."""
        figures = [(name, value, len(self.dice)) for name, value in self.means().items() if self.dice]
        if self.false_ml:
            figures.append(("volume found where there is none, mL", float(np.mean(self.false_ml)), len(self.false_ml)))
        return [
            {"data": data, "measure": name, "value": round(value, 6), "n": n, "machine": machine}
            for name, value, n in figures
        ]


class SliceMeter:
    """Measures a network on prepared cases.

    Args:
        store: the cases.
        recipe: their window, batch size and threshold.
        settings: device and precision.
    """

    def __init__(self, store: CaseStore, recipe: Recipe, settings: FitSettings) -> None:
        self._store, self._recipe, self._settings = store, recipe, settings
        self._take = TakeSlice(store, recipe["input"]["window_hu"])

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Means on the network's own slices, fast enough for every epoch."""
        scores = Scores()
        for number in range(len(self._store)):
            item = self._store[number]
            voxel_ml = float(item["lattice"][1].prod()) / 1000.0
            found = self.logits(network, number) > self._level
            if self._store.preparation.masked:
                found &= item["lungs"] > 0
            scores.add(found, item["target"] > 0, voxel_ml)
        return scores.means()

    def on_ct_grid(self, network: nn.Module, device: Device, report: Report = silent) -> Scores:
        """Scores against the given masks on the CT's own grid, with the inference of ``covidquant quantify``."""
        scores, task = Scores(), self._recipe["task"]
        asked = LesionsNetwork.of(network.eval(), self._recipe.network_input())
        for number, case in enumerate(self._store.cases):
            report(number / len(self._store))
            ct, target, _ = read_case(case, task, with_lungs=False)
            if task == "lesions":
                lungs = ct_lungs(self._store[number], ct.hu.shape)
                found = find_lesions_by_network(ct, lungs, asked, device, [])
            else:
                found = find_lungs_by_slices(ct, asked, device, []) > 0
            scores.add(torch.from_numpy(found), torch.from_numpy(target > 0), ct.geometry.voxel_volume_ml)
        report(1.0)
        return scores

    @property
    def _level(self) -> float:
        """The logit above which a pixel counts."""
        cut = self._recipe["training"]["threshold"]
        return math.log(cut / (1.0 - cut))

    def logits(self, network: nn.Module, number: int) -> torch.Tensor:
        """The network's logits on its slices, float32 ``[k, j, i]``; far below 0 for slices that are not used."""
        item = self._store[number]
        answer = torch.full(item["hu"].shape, _NOWHERE)
        slices = used_slices(self._store, number, self._recipe["data"]["slices"]).tolist()
        size = self._recipe["training"]["batch_size"]
        for first in range(0, len(slices), size):
            few = slices[first : first + size]
            images = torch.stack([self._take(Reference(number, k))[IMAGE] for k in few])
            with torch.inference_mode(), self._settings.autocast():
                answer[few] = network(images.to(self._settings.device)).float().cpu()[:, 0]
        return answer
