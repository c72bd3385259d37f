"""Lungs by a network that looks at whole sections (row C1): what a site's own ``lungs`` bundle does."""

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
    """The lungs, right and left told apart by where they lie.

    Args:
        ct: the CT on a canonical grid.
        network: sees whole sections through its window, nothing masked.
        device: where to compute.
        notices: gets what the reader should know about how it ran.
        report: progress; may raise ``Cancelled``.

    Returns:
        uint8 ``[k, j, i]``, 1 right, 2 left.

    Raises:
        MemoryRanOutError: memory is not enough even on the CPU.
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
