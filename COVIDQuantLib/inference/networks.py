"""The networks of a job: bundles are loaded once, kept on their device, and run for lobes and lesions."""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSequence, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from torch import nn

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import COVIDQuantError, UnfitInputError
from COVIDQuantLib.inference.device import CPU_INSTEAD, Device, choose_device
from COVIDQuantLib.inference.lesions import AXIAL, PLANES, VOLUME, LesionsNetwork, find_lesions_by_network
from COVIDQuantLib.inference.lobes import LobesNetworks, find_lobes_by_networks
from COVIDQuantLib.inference.lungmask_slices import lobes_by_lungmask
from COVIDQuantLib.inference.lungs import find_lungs_by_slices
from COVIDQuantLib.models import Bundle, default_bundle, find_bundle
from COVIDQuantLib.networks.fold import fold_batch_norms
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.segmentation.patient.bounds import Patient

_LUNGMASK = "lungmask-unet"
# A bundle for lobes may lack it.
_OPTIONAL = {"fissures"}
# What the bundle of each step may be for.
_TASKS = {"lobes": ("lobes", "lungs"), "lesions": ("lesions",)}


class Networks:
    """Loaded bundles on a device.

    A bundle is read when its step first runs, so a step with a given mask needs no bundle.

    Args:
        lobes: bundle for lungs and lobes; by name or folder, None for the shipped one.
        lesions: bundle for the lesions, likewise.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UsageError: no such device here.
    """

    def __init__(self, lobes: str | None = None, lesions: str | None = None, device: str = "auto") -> None:
        self.device: Device = choose_device(device)
        self._wanted = {"lobes": lobes, "lesions": lesions}
        self._bundles: dict[str, Bundle] = {}
        self._loaded: dict[tuple[str, str], nn.Module] = {}

    def bundle(self, step: str) -> Bundle:
        """The bundle of a step (``lobes`` or ``lesions``).

        Raises:
            UnfitInputError: it is missing, damaged or for another task.
        """
        if step not in self._bundles:
            self._bundles[step] = _bundle(self._wanted[step], *_TASKS[step])
        return self._bundles[step]

    @property
    def finds_lobes(self) -> bool:
        """Whether the first bundle finds lobes; otherwise only right and left lung."""
        return self.bundle("lobes").task == "lobes"

    @property
    def keeps_to_chest(self) -> bool:
        """Whether the first bundle's networks are restricted to the patient and the chest while they run."""
        return "slices" not in self.bundle("lobes").networks

    def record(self, step: str, notices: Sequence[CTWarning] = ()) -> dict[str, Any]:
        """How a step (``lobes`` or ``lesions``) ran, for ``metrics.json``; ``notices`` are its warnings."""
        device = self.device.describe()
        if any(notice.code == CPU_INSTEAD for notice in notices):
            device += "; CPU where its memory was insufficient"
        return {"model": self.bundle(step).record(), "device": device, "precision": self.device.precision}

    def lobes(
        self,
        ct: CTVolume,
        notices: MutableSequence[CTWarning],
        report: Report = silent,
        patient: Patient | None = None,
        odds: MutableMapping[str, OddsMap] | None = None,
    ) -> np.ndarray:
        """Lobes 1..5 (or lungs 1 right, 2 left) of a canonical CT; see :func:`find_lobes_by_networks`."""
        bundle = self.bundle("lobes")
        if "slices" in bundle.networks:
            record = bundle.network("slices")
            if record.architecture != _LUNGMASK:
                return find_lungs_by_slices(ct, self._of_slices("lobes", "slices"), self.device, notices, report)
            return lobes_by_lungmask(self._network("lobes", "slices"), ct, record, self.device, report, notices)
        windows = 1 if bundle.network("coarse").input.get("soft_window_hu") is None else 2
        _check_channels(bundle, "coarse", windows, "windows for")
        roles = {role: self._network("lobes", role) for role in ("coarse", "fine", *_OPTIONAL & bundle.networks.keys())}
        networks = LobesNetworks.of(roles, {role: bundle.network(role).input for role in roles})
        return find_lobes_by_networks(ct, networks, self.device, notices, report, patient, odds)

    def lesions(
        self,
        ct: CTVolume,
        lungs: np.ndarray,
        notices: MutableSequence[CTWarning],
        report: Report = silent,
        odds: MutableMapping[str, OddsMap] | None = None,
    ) -> np.ndarray:
        """Bool mask of the pneumonia in the lungs of a canonical CT; see :func:`find_lesions_by_network`."""
        planes = self.load_lesions()
        axial = planes.pop(AXIAL)
        return find_lesions_by_network(ct, lungs, axial, self.device, notices, report, planes, odds)

    def load_lesions(self) -> dict[str, LesionsNetwork]:
        """The networks of the lesions by role, read unless they were before.

        Raises:
            UnfitInputError: the bundle or its weights are missing or damaged.
        """
        there = self.bundle("lesions").networks
        return {role: self._of_slices("lesions", role) for role in (*PLANES, VOLUME) if role in there}

    def _of_slices(self, step: str, role: str) -> LesionsNetwork:
        bundle = self.bundle(step)
        record = bundle.network(role).input
        _check_channels(bundle, role, record.get("channels", 1), "channels")
        return LesionsNetwork.of(self._network(step, role), record)

    def _network(self, step: str, role: str) -> nn.Module:
        if (step, role) not in self._loaded:
            network = self.bundle(step).load(role)
            self._loaded[step, role] = fold_batch_norms(network).eval()
        return self._loaded[step, role]


def _check_channels(bundle: Bundle, role: str, wanted: int, of_what: str) -> None:
    """Refuse a bundle with a network of more or fewer channels than its input record describes."""
    channels = bundle.network(role).settings.get("in_channels", 1)
    if channels != wanted:
        raise UnfitInputError(
            f"the {role} network of {bundle.name} has in_channels {channels}, its input has {of_what} {wanted}",
            str(bundle.path),
            "Correct configs/metadata.json, or get the bundle again.",
        )


def _bundle(name: str | None, *tasks: str) -> Bundle:
    if name is None:
        return default_bundle(tasks[0])
    bundle = find_bundle(name)
    if bundle.task not in tasks:
        raise UnfitInputError(
            f"the bundle {bundle.name} is for {bundle.task}, not for {tasks[0]}",
            str(bundle.path),
            f"Choose a bundle for {' or '.join(tasks)}; see `covidquant models list`.",
        )
    return bundle


def warm_networks(lobes: str | None, lesions: str | None, device: str) -> Networks:
    """The networks of a plan, loaded on first use and kept for the next CT.

    A bundle that was replaced on disk meanwhile is loaded again.
    """
    return _warm(lobes, lesions, device, (_stamp(lobes, "lobes"), _stamp(lesions, "lesions")))


@lru_cache(maxsize=2)
def _warm(lobes: str | None, lesions: str | None, device: str, _stamps: tuple[str, ...]) -> Networks:
    return Networks(lobes, lesions, device)


def _stamp(name: str | None, step: str) -> str:
    """A stamp that changes when a bundle is replaced; empty for an unusable one."""
    try:
        return str(_bundle(name, *_TASKS[step]).record())
    except COVIDQuantError:
        return ""
