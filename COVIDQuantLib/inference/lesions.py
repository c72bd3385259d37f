"""Lesions by a network that looks at the lungs slice by slice (rows P1, C1, Y1)."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.inference.device import Device, autocast, with_less_memory
from COVIDQuantLib.inference.lattice import Box, Lattice, Triple, sample, sections_back
from COVIDQuantLib.inference.slice_input import neighbour_indices, window
from COVIDQuantLib.progress import Report, part, silent

_BATCH = 16
_MARGIN_MM = 6.0


@dataclass(frozen=True)
class LesionsNetwork:
    """A network for slices and what it wants to see.

    Attributes:
        network: ``[n, channels, j, i]`` in 0..1 to one logit a pixel.
        channels: 1, or 3 and more with the neighbouring slices.
        pixel_mm: size of its pixels; None for the CT's own.
        least_section_mm: thinner sections are averaged to this distance; None for the CT's own sections.
        neighbour_mm: distance of the neighbouring slices; None for the adjacent ones.
        window_hu: CT numbers that become 0 and 1.
        cut: probability above which a voxel is lesion.
    """

    network: nn.Module
    channels: int = 1
    pixel_mm: float | None = 1.5
    least_section_mm: float | None = 1.5
    neighbour_mm: float | None = 5.0
    window_hu: tuple[float, float] = (-1350.0, 150.0)
    cut: float = 0.5

    @classmethod
    def of(cls, network: nn.Module, record: dict[str, Any]) -> LesionsNetwork:
        """From a bundle's network and its ``input`` record."""
        low, high = record["window_hu"]
        names = ("channels", "pixel_mm", "least_section_mm", "neighbour_mm", "cut")
        return cls(network, window_hu=(low, high), **{name: record[name] for name in names if name in record})

    def step(self, spacing: Triple) -> Triple:
        """Distance of the points it sees of a CT with this spacing, along ``k, j, i``, millimetres."""
        return max(self.least_section_mm or 0.0, spacing[0]), self.pixel_mm or spacing[1], self.pixel_mm or spacing[2]

    @property
    def level(self) -> float:
        """The logit above which a voxel is lesion."""
        return float(np.log(self.cut / (1 - self.cut)))


def find_lesions_by_network(
    ct: CTVolume,
    lungs: np.ndarray,
    network: LesionsNetwork,
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report = silent,
) -> np.ndarray:
    """The pneumonia within the lungs.

    Args:
        ct: the CT on a canonical grid.
        lungs: ``[k, j, i]`` on that grid, nonzero in the lungs.
        network: on the CPU or on the device; it is moved where it runs.
        device: where to compute.
        notices: gets what the reader should know about how it ran.
        report: progress; may raise ``Cancelled``.

    Returns:
        bool ``[k, j, i]``.

    Raises:
        MemoryRanOutError: memory is not enough even on the CPU.
    """
    lesions = np.zeros(ct.hu.shape, bool)
    spacing = ct.geometry.spacing_kji
    inside = lungs > 0
    found = ndimage.find_objects(inside.view(np.uint8))
    if not found:
        return lesions
    box = _widened(found[0], ct.hu.shape, spacing)
    lattice = Lattice.over(ct.hu.shape, spacing, network.step(spacing), box)
    report(0.05)
    lung = sample(inside.view(np.uint8), spacing, lattice) > 0.5
    seen = window(sample(ct.hu, spacing, lattice), *network.window_hu, lung)
    logits = run_slices(network, seen, lung, lattice.step[0], device, notices, part(report, 0.2, 0.85))
    box = lattice.box_in(ct.hu.shape, spacing)
    for first, values in sections_back(logits[None], lattice, spacing, box):
        report(0.85 + 0.15 * (first - box[0].start) / (box[0].stop - box[0].start))
        lesions[first : first + values.shape[1], box[1], box[2]] = (values[0] > network.level).numpy()
    report(1.0)
    lesions &= inside
    return lesions


def run_slices(
    network: LesionsNetwork,
    seen: torch.Tensor,
    lung: torch.Tensor,
    section_mm: float,
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report,
) -> torch.Tensor:
    """Logits ``[k, j, i]`` on the CPU; slices without lung are not looked at."""
    distance = 1.0 if network.neighbour_mm is None else network.neighbour_mm / section_mm
    beside = neighbour_indices(len(seen), distance, network.channels)
    rows = torch.nonzero(lung.flatten(1).any(dim=1)).ravel()
    logits = torch.full(seen.shape, _NOWHERE)

    def attempt(batch: int, where: Device) -> None:
        network.network.to(where.torch, memory_format=torch.channels_last)
        for first in range(0, len(rows), batch):
            report(first / len(rows))
            few = rows[first : first + batch]
            slices = seen[beside[few]].to(where.torch, memory_format=torch.channels_last)
            with torch.inference_mode(), autocast(where):
                answer = network.network(slices)[:, 0]
            logits[few] = answer.float().cpu()

    with_less_memory(attempt, device, _BATCH, notices)
    return logits


_NOWHERE = -20.0


def _widened(box: Box, shape: tuple[int, ...], spacing: Triple) -> Box:
    edges = [
        slice(max(0, s.start - round(_MARGIN_MM / mm)), min(n, s.stop + round(_MARGIN_MM / mm)))
        for s, mm, n in zip(box, spacing, shape, strict=True)
    ]
    return edges[0], edges[1], edges[2]
