"""Evaluation of trained networks on whole chests with known truth, with the inference of ``covidquant quantify``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import nn

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.inference.device import Device
from COVIDQuantLib.inference.lesions import AXIAL, LesionsNetwork, find_lesions_by_network
from COVIDQuantLib.inference.lobes import LobesNetworks, find_lobes_by_networks
from COVIDQuantLib.progress import Report
from COVIDQuantLib.training.label_free.subjects import Chest


def measure(
    task: str,
    networks: Mapping[str, nn.Module],
    inputs: Mapping[str, dict[str, Any]],
    chests: Iterator[tuple[int, Chest]],
    device: Device,
    report: Report,
) -> list[dict[str, object]]:
    """Mean figures over chests, as records of measure, value and n.

    Args:
        task: ``lobes`` or ``lesions``.
        networks: by role.
        inputs: their records in the bundle.
        chests: by number.
        device: where to compute.
        report: called for every chest; may raise ``Cancelled``.

    Returns:
        Dice of lungs and mean Dice of the lobes; or Dice of the lesions within the true lungs, and the extent found
        in lungs without, in percent.
    """
    figures: dict[str, list[float]] = {}
    for _, chest in chests:
        report(0.0)
        if task == "lobes":
            found = _lobes(chest, networks, inputs, device)
        else:
            found = _lesions(chest, networks, inputs, device)
        for name, value in found.items():
            figures.setdefault(name, []).append(value)
    return [
        {"measure": name, "value": round(float(np.mean(values)), 6), "n": len(values)}
        for name, values in figures.items()
    ]


def _lobes(
    chest: Chest,
    networks: Mapping[str, nn.Module],
    inputs: Mapping[str, dict[str, Any]],
    device: Device,
) -> dict[str, float]:
    together = LobesNetworks.of({role: network.eval() for role, network in networks.items()}, inputs)
    try:
        found = find_lobes_by_networks(chest.ct, together, device, [])
    except UnfitInputError:
        found = np.zeros(chest.lobes.shape, np.uint8)
    each = [dice(found == lobe.label, chest.lobes == lobe.label) for lobe in LOBES if (chest.lobes == lobe.label).any()]
    return {"lung dice": dice(found > 0, chest.lobes > 0), "mean lobe dice": float(np.mean(each))}


def _lesions(
    chest: Chest,
    networks: Mapping[str, nn.Module],
    inputs: Mapping[str, dict[str, Any]],
    device: Device,
) -> dict[str, float]:
    lungs = (chest.lobes > 0).astype(np.uint8)
    planes = {role: LesionsNetwork.of(network.eval(), inputs[role]) for role, network in networks.items()}
    found = find_lesions_by_network(chest.ct, lungs, planes.pop(AXIAL), device, [], beside=planes)
    if not chest.lesions.any():
        return {"extent found where there is none, percent": 100.0 * float(found.sum()) / float(lungs.sum())}
    return {"lesion dice": dice(found, chest.lesions)}
