"""Segment lungs with a network that processes whole sections (row C1), as in a site's own ``lungs`` bundle."""

from __future__ import annotations

from collections.abc import MutableSequence

import numpy as np
import torch

from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.inference.device import Device
from COVIDQuantLib.inference.lattice import Lattice, sample, sections_back
from COVIDQuantLib.inference.lesions import LesionsNetwork, run_slices
from COVIDQuantLib.inference.slice_input import window
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.segmentation.lungs.user_lungs import part_lungs


def find_lungs_by_slices(
    ct: CTVolume,
    network: LesionsNetwork,
    device: Device,
    notices: MutableSequence[CTWarning],
    report: Report = silent,
) -> np.ndarray:
    """Segment the lungs; right and left are distinguished by position.

    Args:
        ct: the CT on a canonical grid.
        network: processes whole sections through its window, without a mask.
        device: where to compute.
        notices: receives warnings about how it ran.
        report: progress; may raise ``Cancelled``.

    Returns:
        uint8 ``[k, j, i]``, 1 right, 2 left.

    Raises:
        MemoryRanOutError: even the CPU has too little memory.
    """
    spacing = ct.geometry.spacing_kji
    lattice = Lattice.over(ct.hu.shape, spacing, network.step(spacing))
    seen = window(sample(ct.hu, spacing, lattice), *network.window_hu)
    report(0.1)
    everywhere = torch.ones(seen.shape, dtype=torch.bool)
    logits = run_slices(network, seen, everywhere, lattice.step[0], device, notices, part(report, 0.1, 0.85))
    lungs = np.zeros(ct.hu.shape, bool)
    box = lattice.box_in(ct.hu.shape, spacing)
    for first, values in sections_back(logits[None], lattice, spacing, box):
        lungs[first : first + values.shape[1], box[1], box[2]] = (values[0] > network.level).numpy()
    report(0.9)
    return part_lungs(lungs.view(np.uint8), ct.geometry)
