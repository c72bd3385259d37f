"""Segment lesions with networks that process the lungs slice by slice (rows P1, C1, Y1), and one that sees a volume.

An axial slice through the diaphragm's dome, blurred by breathing, looks like ground glass; a coronal slice shows the
diaphragm. What is a vessel or a small lesion shows best in three dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, MutableSequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.inference.device import Device, autocast, with_less_memory
from COVIDQuantLib.inference.lattice import Lattice, between, sample, sections_back
from COVIDQuantLib.inference.lesion_density import doubt_what_is_not_dense
from COVIDQuantLib.inference.lesion_pieces import NOWHERE, PieceLimits, drop_doubtful_pieces
from COVIDQuantLib.inference.slice_input import neighbour_indices, usual_lung_hu, volume_input, window
from COVIDQuantLib.inference.volumes import run_volume
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.geometry import Triple

_BATCH = 16
_MARGIN_MM = 6.0
_LEAST_HEIGHT_MM = 100.0
_PIECE_ML = 5.0
AXIAL = "slices"
# The role of a network that sees the lungs as a volume.
VOLUME = "volume"


@dataclass(frozen=True)
class Plane:
    """How a CT is cut into slices.

    Attributes:
        order: the CT's axes as slices, rows and columns.
        sideways: axis of a network's input ``[n, channels, rows, columns]`` along which right and left lie.
    """

    order: tuple[int, int, int]
    sideways: int

    @property
    def back(self) -> tuple[int, int, int]:
        """The axes of slices, rows and columns in the CT's order."""
        a, b, c = sorted(range(3), key=self.order.__getitem__)
        return a, b, c


# The roles that the networks of a lesions bundle may have. Rows of the last two run from the feet to the head.
PLANES = {
    AXIAL: Plane((0, 1, 2), 3),
    "coronal": Plane((1, 0, 2), 3),
    "sagittal": Plane((2, 0, 1), 1),
}


@dataclass(frozen=True)
class LesionsNetwork:
    """A network for slices, or for the lungs as a volume, and its input format.

    Attributes:
        network: ``[n, channels, j, i]`` in 0..1 to one logit a pixel.
        channels: 1, or 3 and more with the neighbouring slices; 2 for a volume (:func:`volume_input`).
        pixel_mm: size of its pixels; None for the CT's own. Of a volume the distance of all points.
        least_section_mm: thinner sections are averaged to this distance; None for the CT's own sections.
        neighbour_mm: distance of the neighbouring slices; None for the adjacent ones.
        window_hu: CT numbers that become 0 and 1.
        cut: probability above which a voxel is lesion.
        piece_cut: a connected component of 5 mL or more whose mean log odds are below those of this probability is
            dropped; pneumonia of that size has a core that the networks are certain of, a diaphragm blurred by
            breathing does not. None keeps all components.
        dense_piece_cut: the same, milder, for components of that size of which more than 35 % is above −300 HU, as
            such artefacts are fainter; None for ``piece_cut``.
        small_piece_cut: the same for smaller components, in which every voxel is near the edge: lower, or None.
        core_cut: the mean of a component is taken over its voxels above this probability; one without any is dropped.
            Thus a lower cut, which draws outlines wider, does not make a component more doubtful. None for all voxels.
        diseased: share of the lungs (0..1) from which they are diseased, by the components that the cuts above keep,
            and the milder ``piece_cut`` and ``small_piece_cut`` there, as a faint opacity is mostly disease then;
            several such, shares ascending.
        across_mm: standard deviation (mm) of a Gaussian over the log odds of neighbouring slices, which the network
            sees one by one; 0 for none.
        denser_hu: of all networks together, after the components: where the CT, averaged over about a millimetre, is
            less than this above the median of healthy lung, the log odds are lowered.
        odds_per_hu: by this for each HU that is missing; 0 for not at all.
        mirrored: each slice is also processed with left and right exchanged, and the log odds are averaged.
        weight: of its log odds in the mean over all networks.
    """

    network: nn.Module
    channels: int = 1
    pixel_mm: float | None = 1.5
    least_section_mm: float | None = 1.5
    neighbour_mm: float | None = 5.0
    window_hu: tuple[float, float] = (-1350.0, 150.0)
    cut: float = 0.5
    piece_cut: float | None = None
    dense_piece_cut: float | None = None
    small_piece_cut: float | None = None
    core_cut: float | None = None
    diseased: tuple[tuple[float, float, float], ...] = ()
    across_mm: float = 0.0
    denser_hu: float = 0.0
    odds_per_hu: float = 0.0
    mirrored: bool = False
    weight: float = 1.0

    @classmethod
    def of(cls, network: nn.Module, record: dict[str, Any]) -> LesionsNetwork:
        """From a bundle's network and its ``input`` record."""
        low, high = record["window_hu"]
        names = {field.name for field in fields(cls)} - {"network", "window_hu", "diseased"}
        given = {name: record[name] for name in names if name in record}
        diseased = tuple((share, one, other) for share, one, other in record.get("diseased", ()))
        return cls(network, window_hu=(low, high), diseased=diseased, **given)

    def step(self, spacing: Triple) -> Triple:
        """Distance of its input points for a CT with this spacing, along ``k, j, i``, millimetres."""
        return max(self.least_section_mm or 0.0, spacing[0]), self.pixel_mm or spacing[1], self.pixel_mm or spacing[2]

    def even_step(self, spacing: Triple) -> Triple:
        """Distance of its input points in coronal slices: equal along rows and columns."""
        pixel = self.pixel_mm or min(spacing[1:])
        return pixel, pixel, pixel

    @property
    def level(self) -> float:
        """The logit above which a voxel is lesion."""
        return _log_odds(self.cut)

    @property
    def piece_limits(self) -> PieceLimits:
        """What a component needs to be kept; without cuts, any is."""
        large, small = (-np.inf if cut is None else _log_odds(cut) for cut in (self.piece_cut, self.small_piece_cut))
        core = self.level if self.core_cut is None else _log_odds(self.core_cut)
        diseased = tuple((share, _log_odds(one), _log_odds(other)) for share, one, other in self.diseased)
        dense = np.inf if self.dense_piece_cut is None else _log_odds(self.dense_piece_cut)
        return PieceLimits(self.level, large, small, core, diseased, dense)


def find_lesions_by_network(
    ct: CTVolume,
    lungs: np.ndarray,
    network: LesionsNetwork,
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report = silent,
    beside: Mapping[str, LesionsNetwork] | None = None,
    odds: MutableMapping[str, OddsMap] | None = None,
) -> np.ndarray:
    """Segment the pneumonia within the lungs.

    Args:
        ct: the CT on a canonical grid.
        lungs: ``[k, j, i]`` on that grid, nonzero in the lungs.
        network: for axial slices; on the CPU or on the device, it is moved as needed.
        device: where to compute.
        notices: receives warnings about how it ran.
        report: progress; may raise ``Cancelled``.
        beside: networks for other slices of ``PLANES``, by role, and perhaps ``VOLUME``; all log odds are averaged, and
            the axial network's cut applies. They are not used where the lungs are cut so short that such a slice shows
            only a strip.
        odds: receives the log odds of lesion, minus those of the cut, as ``lesions``.

    Returns:
        bool ``[k, j, i]``.

    Raises:
        MemoryRanOutError: even the CPU has too little memory.
    """
    lesions = np.zeros(ct.hu.shape, bool)
    spacing = ct.geometry.spacing_kji
    inside = lungs > 0
    found = ndimage.find_objects(inside.view(np.uint8))
    if not found:
        return lesions
    box = _widened(found[0], ct.hu.shape, spacing)
    height_mm = (found[0][0].stop - found[0][0].start) * spacing[0]
    networks = {AXIAL: network, **((beside or {}) if height_mm >= _LEAST_HEIGHT_MM else {})}
    lattice = Lattice.over(ct.hu.shape, spacing, network.step(spacing), box)
    logits = _mean_logits(ct, inside, box, lattice, networks, device, notices, part(report, 0.0, 0.85))
    _settle(logits, ct, inside, lattice, network)
    if odds is not None:
        odds["lesions"] = OddsMap.of(logits.numpy() - network.level, lattice.start, lattice.step)
    box = lattice.box_in(ct.hu.shape, spacing)
    for first, values in sections_back(logits[None], lattice, spacing, box):
        report(0.85 + 0.15 * (first - box[0].start) / (box[0].stop - box[0].start))
        lesions[first : first + values.shape[1], box[1], box[2]] = (values[0] > network.level).numpy()
    report(1.0)
    lesions &= inside
    return lesions


def _mean_logits(
    ct: CTVolume,
    inside: np.ndarray,
    box: Slices,
    lattice: Lattice,
    networks: Mapping[str, LesionsNetwork],
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report,
) -> torch.Tensor:
    """Weighted mean of all networks' log odds on a lattice, ``[k, j, i]`` on the CPU."""
    total = torch.zeros(lattice.shape)
    for number, (role, network) in enumerate(networks.items()):
        span = part(report, number / len(networks), (number + 1) / len(networks))
        if role == AXIAL:
            logits = _look(ct, inside, lattice, network, PLANES[AXIAL], device, notices, span)
        else:
            even = Lattice.over(ct.hu.shape, ct.geometry.spacing_kji, network.even_step(ct.geometry.spacing_kji), box)
            if role == VOLUME:
                said = _look_whole(ct, inside, even, network, device, notices, span)
            else:
                said = _look(ct, inside, even, network, PLANES[role], device, notices, span)
            logits = between(said[None], even, lattice)[0]
        total += network.weight * logits
    return total / sum(network.weight for network in networks.values())


def _settle(logits: torch.Tensor, ct: CTVolume, inside: np.ndarray, lattice: Lattice, network: LesionsNetwork) -> None:
    """Apply the rules on doubtful pieces and on density to the log odds of all networks, in place."""
    if not (network.piece_limits.drop_any or network.odds_per_hu):
        return
    hu, lung = _sampled(ct, inside, lattice)
    if network.piece_limits.drop_any:
        drop_doubtful_pieces(logits, hu, lung, network.piece_limits, _PIECE_ML * 1000.0 / float(np.prod(lattice.step)))
    limits = network.denser_hu, network.odds_per_hu
    doubt_what_is_not_dense(logits, hu, lung, lattice.step, network.level, limits)


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def _sampled(ct: CTVolume, inside: np.ndarray, lattice: Lattice) -> tuple[torch.Tensor, torch.Tensor]:
    """CT numbers on a lattice, and whether a point is lung, both ``[k, j, i]``."""
    spacing = ct.geometry.spacing_kji
    return sample(ct.hu, spacing, lattice), sample(inside.view(np.uint8), spacing, lattice) > 0.5


def _look(
    ct: CTVolume,
    inside: np.ndarray,
    lattice: Lattice,
    network: LesionsNetwork,
    plane: Plane,
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report,
) -> torch.Tensor:
    """Logits of a network on a lattice, ``[k, j, i]`` on the CPU."""
    report(0.05)
    seen, lung = _sampled(ct, inside, lattice)
    seen = window(seen, *network.window_hu, lung)
    seen, lung = seen.permute(plane.order), lung.permute(plane.order)
    section_mm = lattice.step[plane.order[0]]
    sideways = plane.sideways if network.mirrored else None
    said = run_slices(network, seen, lung, section_mm, device, notices, part(report, 0.2, 1.0), sideways)
    if network.across_mm:
        across = network.across_mm / section_mm
        said = torch.from_numpy(ndimage.gaussian_filter1d(said.numpy(), across, axis=0, mode="nearest"))
    return said.permute(plane.back).contiguous()


def _look_whole(
    ct: CTVolume,
    inside: np.ndarray,
    lattice: Lattice,
    network: LesionsNetwork,
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report,
) -> torch.Tensor:
    """Logits of a network for volumes on a lattice, ``[k, j, i]`` on the CPU."""
    report(0.05)
    seen, lung = _sampled(ct, inside, lattice)
    seen = volume_input(seen, network.window_hu, lung, usual_lung_hu(seen, lung))
    if not network.mirrored:
        return run_volume(network.network, seen, device, notices, part(report, 0.1, 1.0))[0]
    said = run_volume(network.network, seen, device, notices, part(report, 0.1, 0.55))[0]
    return (said + run_volume(network.network, seen.flip(3), device, notices, part(report, 0.55, 1.0))[0].flip(2)) / 2


def run_slices(
    network: LesionsNetwork,
    seen: torch.Tensor,
    lung: torch.Tensor,
    section_mm: float,
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report,
    sideways: int | None = None,
) -> torch.Tensor:
    """Logits ``[slices, rows, columns]`` on the CPU, as ``seen`` and ``lung``; slices without lung are skipped.

    Each slice is also processed mirrored along the axis ``sideways``.
    """
    distance = 1.0 if network.neighbour_mm is None else network.neighbour_mm / section_mm
    beside = neighbour_indices(len(seen), distance, network.channels)
    rows = torch.nonzero(lung.flatten(1).any(dim=1)).ravel()
    logits = torch.full(seen.shape, NOWHERE)

    def attempt(batch: int, where: Device) -> None:
        network.network.to(where.torch, memory_format=torch.channels_last)
        for first in range(0, len(rows), batch):
            report(first / len(rows))
            few = rows[first : first + batch]
            slices = seen[beside[few]].to(where.torch, memory_format=torch.channels_last)
            with torch.inference_mode(), autocast(where):
                answer = network.network(slices).float()
                if sideways is not None:
                    other_way = network.network(slices.flip(sideways)).float()
                    # Mirror back; slices whose neighbours were exchanged are unaffected.
                    answer = (answer + (other_way.flip(3) if sideways == 3 else other_way)) / 2
            logits[few] = answer[:, 0].cpu()

    with_less_memory(attempt, device, _BATCH, notices)
    return logits


def _widened(box: Slices, shape: tuple[int, ...], spacing: Triple) -> Slices:
    edges = [
        slice(max(0, s.start - round(_MARGIN_MM / mm)), min(n, s.stop + round(_MARGIN_MM / mm)))
        for s, mm, n in zip(box, spacing, shape, strict=True)
    ]
    return edges[0], edges[1], edges[2]
