"""The networks of a job: bundles loaded once, kept warm on their device, asked for lobes and lesions."""

from __future__ import annotations

from collections.abc import MutableSequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.inference.device import Device, choose_device
from COVIDQuantLib.inference.lesions import LesionsNetwork, find_lesions_by_network
from COVIDQuantLib.inference.lobes import LobesNetworks, find_lobes_by_networks
from COVIDQuantLib.inference.lungmask_slices import lobes_by_lungmask
from COVIDQuantLib.inference.lungs import find_lungs_by_slices
from COVIDQuantLib.models import Bundle, default_bundle, find_bundle
from COVIDQuantLib.networks.fold import fold_batch_norms
from COVIDQuantLib.progress import Report, silent

_LUNGMASK = "lungmask-unet"


class Networks:
    """Loaded bundles on a device.

    Args:
        lobes: bundle for lungs and lobes; by name or folder, None for the shipped one.
        lesions: bundle for the lesions, likewise.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UnfitInputError: a bundle is missing, damaged or for another task.
        UsageError: no such device here.
    """

    def __init__(self, lobes: str | None = None, lesions: str | None = None, device: str = "auto") -> None:
        self.device: Device = choose_device(device)
        self._bundles = {"lobes": _bundle(lobes, "lobes", "lungs"), "lesions": _bundle(lesions, "lesions")}
        self._loaded: dict[tuple[str, str], nn.Module] = {}

    @property
    def finds_lobes(self) -> bool:
        """Whether the first bundle parts the lungs into lobes; else only right from left."""
        return self._bundles["lobes"].task == "lobes"

    def record(self, step: str) -> dict[str, Any]:
        """How a step (``lobes`` or ``lesions``) is made, for ``metrics.json``."""
        return {
            "model": self._bundles[step].record(),
            "device": self.device.describe(),
            "precision": self.device.precision,
        }

    def lobes(self, ct: CTVolume, notices: MutableSequence[CTWarning], report: Report = silent) -> np.ndarray:
        """Lobes 1..5 (or lungs 1 right, 2 left) of a canonical CT; see :func:`find_lobes_by_networks`."""
        bundle = self._bundles["lobes"]
        if "slices" in bundle.networks:
            record = bundle.network("slices")
            if record.architecture != _LUNGMASK:
                lungs = LesionsNetwork.of(self._network("lobes", "slices"), record.input)
                return find_lungs_by_slices(ct, lungs, self.device, notices, report)
            return lobes_by_lungmask(self._network("lobes", "slices"), ct, record, self.device, report, notices)
        inputs = {role: bundle.network(role).input for role in ("coarse", "fine")}
        networks = LobesNetworks.of(self._network("lobes", "coarse"), self._network("lobes", "fine"), inputs)
        return find_lobes_by_networks(ct, networks, self.device, notices, report)

    def lesions(
        self, ct: CTVolume, lungs: np.ndarray, notices: MutableSequence[CTWarning], report: Report = silent
    ) -> np.ndarray:
        """Bool mask of the pneumonia in the lungs of a canonical CT; see :func:`find_lesions_by_network`."""
        record = self._bundles["lesions"].network("slices")
        network = LesionsNetwork.of(self._network("lesions", "slices"), record.input)
        return find_lesions_by_network(ct, lungs, network, self.device, notices, report)

    def _network(self, step: str, role: str) -> nn.Module:
        if (step, role) not in self._loaded:
            network = self._bundles[step].load(role)
            self._loaded[step, role] = fold_batch_norms(network).eval()
        return self._loaded[step, role]


def _bundle(name: str | None, *tasks: str) -> Bundle:
    if name is None:
        return default_bundle(tasks[0])
    bundle = find_bundle(name)
    if bundle.task not in tasks:
        raise UnfitInputError(
            f"the bundle {bundle.name} is for {bundle.task}, not for {tasks[0]}",
            str(bundle.path),
            f"Name a bundle for {' or '.join(tasks)}; see `covidquant models list`.",
        )
    return bundle


@lru_cache(maxsize=2)
def warm_networks(lobes: str | None, lesions: str | None, device: str) -> Networks:
    """The networks of a plan, loaded the first time it is asked for and kept for the next CT."""
    return Networks(lobes, lesions, device)


def free_memory() -> None:
    """Let go of warm networks and of what torch keeps on the GPU."""
    warm_networks.cache_clear()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
