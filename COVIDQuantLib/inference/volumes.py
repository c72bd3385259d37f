"""Run a 3D network on a whole volume, in slabs as thick as memory allows."""

from __future__ import annotations

from collections.abc import MutableSequence

import torch
from torch import nn
from torch.nn import functional

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.inference.device import Device, autocast, with_less_memory
from COVIDQuantLib.progress import Report

# Slab thickness in points, number of slabs per batch (halved when memory runs out), and the halo at a slab's ends.
_SLAB, _SLABS, _HALO = 48, 8, 24
# Points of padding at every side, removed afterwards; sides are then multiples of _FACTOR.
_RIM, _FACTOR = 4, 8


def run_volume(
    network: nn.Module, seen: torch.Tensor, device: Device, notices: MutableSequence[CTWarning], report: Report
) -> torch.Tensor:
    """Logits ``[classes, k, j, i]`` on the CPU, of a volume ``[channels, k, j, i]``.

    Zero padding inside a network would look like tissue, and air beside it like lung. So the volume is padded by
    repeating its edges, and the network's output for that rim is dropped.

    Args:
        network: ``[n, channels, k, j, i]`` to ``[n, classes, k, j, i]``, coarsest level 8 times as coarse; it is moved
            as needed.
        seen: its input.
        device: where to compute.
        notices: receives warnings about how it ran.
        report: progress; may raise ``Cancelled``.

    Raises:
        MemoryRanOutError: even the CPU has too little memory.
    """
    whole = seen.shape[1:]
    pads = [pad for n in reversed(whole) for pad in (_RIM, _RIM + -(n + 2 * _RIM) % _FACTOR)]
    seen = functional.pad(seen[None], pads, mode="replicate")[0]

    def attempt(batch: int, where: Device) -> torch.Tensor:
        network.to(where.torch, memory_format=torch.channels_last_3d)
        pieces = []
        thick = _SLAB * batch
        for first in range(0, seen.shape[1], thick):
            report(first / seen.shape[1])
            low, high = max(0, first - _HALO), min(seen.shape[1], first + thick + _HALO)
            slab = seen[None, :, low:high].to(where.torch, memory_format=torch.channels_last_3d)
            with torch.inference_mode(), autocast(where):
                logits = network(slab)[0]
            pieces.append(logits[:, first - low : first - low + thick].float().cpu())
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    result = with_less_memory(attempt, device, _SLABS, notices)
    report(1.0)
    k, j, i = whole
    # A copy, since tensors from inference mode cannot be changed in place.
    return result[:, _RIM : _RIM + k, _RIM : _RIM + j, _RIM : _RIM + i].clone()
