"""A bundle: a folder with a trained model's weights, its training record and measured accuracy.

The layout is MONAI's (``configs/metadata.json``, ``configs/inference.json``, ``models/``); what COVIDQuant needs is
under ``"covidquant"`` in the metadata. ``docs/models.md`` describes it. See also
:mod:`~COVIDQuantLib.models.catalogue` (available bundles) and :mod:`~COVIDQuantLib.models.write`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.models.metadata import NetworkRecord, network_records, read_metadata
from COVIDQuantLib.models.weights import checked_tensors, load_network
from COVIDQuantLib.progress import Report, silent

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Bundle:
    """A trained model on disk; its metadata are checked, its weights only when they are loaded.

    Attributes:
        path: its folder.
        name: its name, and that of its folder once installed.
        version: of this model.
        task: ``lobes``, ``lungs`` or ``lesions``.
        networks: by role.
        metadata: all of ``configs/metadata.json``.
    """

    path: Path
    name: str
    version: str
    task: str
    networks: dict[str, NetworkRecord] = field(hash=False)
    metadata: dict[str, Any] = field(hash=False, repr=False)

    def network(self, role: str) -> NetworkRecord:
        """The record of a role.

        Raises:
            UnfitInputError: the bundle has no such network.
        """
        if role not in self.networks:
            has = ", ".join(self.networks)
            raise UnfitInputError(f"the bundle {self.name} has no network {role!r}, only {has}", str(self.path))
        return self.networks[role]

    def load(self, role: str, *, half_to_float: bool = True) -> torch.nn.Module:
        """A network with its weights, in eval mode on the CPU, without gradients.

        The SHA-256 is computed from exactly the bytes that are loaded.

        Args:
            role: which of the bundle's networks.
            half_to_float: convert float16 weights to float32; otherwise each tensor keeps its stored type.

        Raises:
            UnfitInputError: no such role; or the weights are damaged, altered or another architecture's.
        """
        return load_network(self.network(role), half_to_float=half_to_float)

    def verify(self, report: Report = silent) -> None:
        """Check every network: SHA-256, size, names, shapes and values of the tensors against the architecture.

        Args:
            report: progress.

        Raises:
            UnfitInputError: names the file and the reason.
        """
        for number, record in enumerate(self.networks.values()):
            report(number / len(self.networks))
            checked_tensors(record)
        report(1.0)

    def record(self) -> dict[str, Any]:
        """The bundle's record for ``metrics.json``: name, version, task, and SHA-256 of the weights of each role."""
        return {
            "name": self.name,
            "version": self.version,
            "task": self.task,
            "sha256": {role: network.sha256 for role, network in self.networks.items()},
        }


def read_bundle(path: str | Path, task: str | None = None) -> Bundle:
    """Read the bundle in a folder; metadata only.

    Args:
        path: its folder.
        task: the required task; None accepts any.

    Raises:
        UnfitInputError: no bundle, damaged, of a newer format, or for another task.
    """
    folder = Path(path)
    metadata = read_metadata(folder)
    ours = metadata["covidquant"]
    if task is not None and ours["task"] != task:
        what = f"the bundle {ours['name']} is for {ours['task']}, not for {task}"
        raise UnfitInputError(what, str(folder), f"Choose a bundle for {task}.")
    networks = network_records(metadata, folder)
    return Bundle(folder.absolute(), ours["name"], metadata["version"], ours["task"], networks, metadata)
