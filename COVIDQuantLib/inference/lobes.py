"""Segment lungs and lobes with networks (row H1): coarse for the whole chest, finer for boundaries and fissures."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, MutableSequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from COVIDQuantLib.anatomy import FISSURES, HORIZONTAL, OBLIQUE
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.inference.device import Device
from COVIDQuantLib.inference.lattice import Lattice, between, sections_back
from COVIDQuantLib.inference.lobes_bounds import keep_to_chest, keep_to_patient, lungs_on_grid, patient_alone
from COVIDQuantLib.inference.lobes_rules import (
    leave_out_air,
    leave_out_fat,
    lung_odds,
    take_in_dense_disease,
    take_in_likely_disease,
    tidy,
    without_crumbs,
)
from COVIDQuantLib.inference.lung_edge import sharpen_lung_edge
from COVIDQuantLib.inference.volumes import run_volume
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.segmentation.lobes.refinement import part_along_fissures
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.segmentation.patient.bounds import ChestBounds, Patient, find_chest, find_patient
from COVIDQuantLib.voxels.box import Slices

CLASSES = 6
# Classes of the network of the fissures; 0 is none.
FISSURE_CLASS = {OBLIQUE: 1, HORIZONTAL: 2}
WINDOW_HU = (-1000.0, 400.0)
# The mediastinal window (W 400, L 40), in which effusion, muscle and consolidation differ.
SOFT_WINDOW_HU = (-160.0, 240.0)
# The lobes that appear as each lobe when left and right are exchanged; a left lung has no middle lobe.
_MIRROR_OF = {1: (4,), 2: (), 3: (5,), 4: (1, 2), 5: (3,)}
_MARGIN_MM = 16.0
_LEAST_LUNG_ML = 30.0


@dataclass(frozen=True)
class LobesNetworks:
    """The networks of the lobes.

    Attributes:
        coarse: CT at ``coarse_mm``, in one or two windows, to 6 logits.
        fine: CT at ``fine_mm`` and the 6 coarse probabilities to 6 logits.
        fissures: CT at ``fine_mm`` to 3 logits (none, oblique, horizontal fissure); None if there is none.
        coarse_mm: spacing of the first pass.
        fine_mm: spacing of the others.
        window_hu: CT numbers that become −1 and 1.
        soft_window_hu: the same for a second channel of the coarse network, to tell soft tissues apart; None if it has
            one channel.
        mirrored: coarse and fine network also see the chest with left and right exchanged, and their log odds of lung
            are averaged. What they take for lung on one side of the body alone, such as an aorta, then counts half.
    """

    coarse: nn.Module
    fine: nn.Module
    fissures: nn.Module | None = None
    coarse_mm: float = 5.0
    fine_mm: float = 2.0
    window_hu: tuple[float, float] = WINDOW_HU
    mirrored: bool = False
    soft_window_hu: tuple[float, float] | None = None

    @classmethod
    def of(cls, networks: Mapping[str, nn.Module], inputs: Mapping[str, Mapping[str, Any]]) -> LobesNetworks:
        """From a bundle's networks by role (``coarse``, ``fine``, perhaps ``fissures``) and their ``input`` records."""
        low, high = inputs["coarse"]["window_hu"]
        coarse_mm, fine_mm = (float(inputs[role]["spacing_mm"]) for role in ("coarse", "fine"))
        mirrored = bool(inputs["coarse"].get("mirrored", False))
        fissures, soft = networks.get("fissures"), inputs["coarse"].get("soft_window_hu")
        soft = None if soft is None else (float(soft[0]), float(soft[1]))
        return cls(networks["coarse"], networks["fine"], fissures, coarse_mm, fine_mm, (low, high), mirrored, soft)


def coarse_input(
    hu: torch.Tensor,
    window_hu: tuple[float, float] = WINDOW_HU,
    soft_window_hu: tuple[float, float] | None = None,
) -> torch.Tensor:
    """The coarse network's input ``[c, k, j, i]``, a channel for each window, from CT numbers ``[k, j, i]``."""
    windows = [window_hu] if soft_window_hu is None else [window_hu, soft_window_hu]
    return torch.stack([lobes_window(hu, window) for window in windows])


def lobes_window(hu: torch.Tensor, window_hu: tuple[float, float] = WINDOW_HU) -> torch.Tensor:
    """Map CT numbers to the lobes networks' input: the window to −1..1."""
    low, high = window_hu
    return ((hu - (low + high) / 2) / ((high - low) / 2)).clamp(-1.0, 1.0)


def find_lobes_by_networks(
    ct: CTVolume,
    networks: LobesNetworks,
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report = silent,
    patient: Patient | None = None,
    odds: MutableMapping[str, OddsMap] | None = None,
) -> np.ndarray:
    """Segment the lungs and lobes of a CT.

    Args:
        ct: the CT on a canonical grid.
        networks: on the CPU or on the device; they are moved as needed.
        device: where to compute.
        notices: gets what the reader should know about how it ran.
        report: progress; may raise ``Cancelled``.
        patient: of this CT, if it is known.
        odds: receives the log odds of lung as ``lungs``.

    Returns:
        uint8 ``[k, j, i]``, label values of the contract.

    Raises:
        UnfitInputError: no lungs were found.
        MemoryRanOutError: even the CPU has too little memory.
    """
    spacing = ct.geometry.spacing_kji
    report(0.0)
    patient = patient or find_patient(ct)
    report(0.05)
    lattice = Lattice.over(ct.hu.shape, spacing, (networks.coarse_mm,) * 3)
    seen = coarse_input(patient_alone(ct, patient, lattice), networks.window_hu, networks.soft_window_hu)
    report(0.1)
    other_way = seen.flip(3) if networks.mirrored else None
    logits = _both_ways(networks.coarse, seen, other_way, device, notices, part(report, 0.1, 0.25))
    keep_to_patient(logits, patient, lattice)
    chance = torch.softmax(logits, dim=0)
    coarse = without_crumbs(chance.argmax(dim=0).numpy() > 0)
    box = _lungs_box(coarse, lattice, ct)
    bounds = find_chest(ct, lungs_on_grid(coarse, lattice, patient), patient)
    fine = Lattice.over(ct.hu.shape, spacing, (networks.fine_mm,) * 3, box)
    hu = patient_alone(ct, patient, fine)
    report(0.4)
    image, chance = lobes_window(hu, networks.window_hu)[None], between(chance, lattice, fine)
    other_way = torch.cat([image, _exchanged(chance)]).flip(3) if networks.mirrored else None
    seen = torch.cat([image, chance])
    logits = _both_ways(networks.fine, seen, other_way, device, notices, part(report, 0.4, 0.6))
    _settle(logits, hu, bounds, fine)
    if odds is not None:
        odds["lungs"] = OddsMap.of(lung_odds(logits).numpy(), fine.start, fine.step)
    lobes = _labels(logits, fine, ct, part(report, 0.6, 0.7))
    if networks.fissures is None:
        report(1.0)
        return lobes
    seen = lobes_window(hu, networks.window_hu)[None]
    logits = run_volume(networks.fissures, seen, device, notices, part(report, 0.7, 0.85))
    return _parted(lobes, logits, fine, ct, notices, part(report, 0.85, 1.0))


def _both_ways(
    network: nn.Module,
    seen: torch.Tensor,
    other_way: torch.Tensor | None,
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report,
) -> torch.Tensor:
    """Logits ``[6, k, j, i]``; log odds of lung averaged with those for ``other_way``, left and right exchanged."""
    if other_way is None:
        return run_volume(network, seen, device, notices, report)
    logits = run_volume(network, seen, device, notices, part(report, 0.0, 0.5))
    there = lung_odds(run_volume(network, other_way, device, notices, part(report, 0.5, 1.0)).flip(3))
    # The lobes' shares stay.
    logits[1:] += (there - lung_odds(logits)) / 2
    return logits


def _exchanged(chances: torch.Tensor) -> torch.Tensor:
    """The coarse probabilities of a chest whose left and right are exchanged, on the same points."""
    empty = torch.zeros_like(chances[0])
    return torch.stack([chances[0], *(sum((chances[n] for n in _MIRROR_OF[value]), empty) for value in _MIRROR_OF)])


def _parted(
    lobes: np.ndarray,
    logits: torch.Tensor,
    lattice: Lattice,
    ct: CTVolume,
    notices: MutableSequence[CTWarning],
    report: Report,
) -> np.ndarray:
    """Divide the lobes again along the fissures found by the third network (logits ``[3, k, j, i]``)."""
    chances = torch.softmax(logits, dim=0).numpy()
    chance = {fissure.name: chances[FISSURE_CLASS[fissure.kind]] for fissure in FISSURES}
    unseen: list[str] = []
    lobes = part_along_fissures(lobes, ct.geometry, chance, lattice.start, lattice.step, report, unseen)
    if unseen:
        names = " and ".join(f"the {name} fissure" for name in unseen)
        notices.append(CTWarning("fissure-unseen", f"Little of {names} is visible: the border there is a guess."))
    return lobes


def _settle(logits: torch.Tensor, hu: torch.Tensor, bounds: ChestBounds, lattice: Lattice) -> None:
    """Apply the postprocessing rules to the fine network's logits ``[6, k, j, i]``, in place."""
    keep_to_chest(logits, bounds, lattice)
    leave_out_air(logits, hu)
    leave_out_fat(logits, hu)
    tidy(logits)
    take_in_dense_disease(logits)
    take_in_likely_disease(logits, hu, lattice.step[0])
    # Again, for what the rules have taken in. So the penalty per millimetre counts twice, and figures depend on that.
    keep_to_chest(logits, bounds, lattice)


def _lungs_box(lungs: np.ndarray, lattice: Lattice, ct: CTVolume) -> Slices:
    """The box of CT voxels around the lungs found by the coarse network."""
    if np.count_nonzero(lungs) * float(np.prod(lattice.step)) / 1000 < _LEAST_LUNG_ML:
        raise UnfitInputError(
            "no lungs were found on this CT",
            ct.source.where,
            "Give a chest CT, or your own lobes; --method model-free finds lungs in another way.",
            code="no-lungs",
        )
    spacing = ct.geometry.spacing_kji
    edges = []
    for axis in range(3):
        points = np.flatnonzero(lungs.any(axis=tuple(a for a in range(3) if a != axis)))
        where = lattice.positions(axis)[points[[0, -1]]]
        low = int(np.floor((where[0] - _MARGIN_MM) / spacing[axis]))
        high = int(np.ceil((where[1] + _MARGIN_MM) / spacing[axis])) + 1
        edges.append(slice(max(0, low), min(ct.hu.shape[axis], high)))
    return edges[0], edges[1], edges[2]


def _labels(logits: torch.Tensor, lattice: Lattice, ct: CTVolume, report: Report) -> np.ndarray:
    """The most likely class at each voxel of the CT, with the lungs' edge refined by CT numbers."""
    spacing = ct.geometry.spacing_kji
    labels = np.zeros(ct.hu.shape, np.uint8)
    box = lattice.box_in(ct.hu.shape, spacing)
    here = labels[box]
    lobes, odds = np.empty(here.shape, np.uint8), np.empty(here.shape, np.float16)
    for first, values in sections_back(logits.clamp(-30.0, 30.0), lattice, spacing, box):
        start = first - box[0].start
        report(0.8 * start / len(here))
        part = slice(start, start + values.shape[1])
        lobe, best = _greatest(values)
        lobes[part] = lobe.numpy()
        here[part] = lobe.masked_fill_(best <= values[0], 0).numpy()
        odds[part] = lung_odds(values).numpy()
    sharpen_lung_edge(here, odds, lobes, ct.hu[box])
    report(1.0)
    return labels


def _greatest(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The most likely lobe, uint8, and its logit, from ``[6, k, j, i]``."""
    best = values[1]
    lobe = torch.ones(best.shape, dtype=torch.uint8)
    for value in range(2, CLASSES):
        lobe.masked_fill_(values[value] > best, value)
        best = torch.maximum(best, values[value])
    return lobe, best
