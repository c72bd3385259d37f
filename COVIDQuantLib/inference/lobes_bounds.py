"""Restrict the lobes networks' input and output to the patient and the chest."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.inference.lattice import Lattice, sample
from COVIDQuantLib.inference.lobes_rules import NEVER
from COVIDQuantLib.segmentation.patient.bounds import WALL_MM, ChestBounds, Patient
from COVIDQuantLib.voxels.morphology import dilate

# Value that replaces table and blanket in the input, and its distance from the patient's skin.
_NOTHING_HU, _SKIN_MM = -1000.0, 3.0
# Reduction of the log odds of lung per millimetre beyond the costal surface.
_PER_MM = 1.5


def patient_alone(ct: CTVolume, patient: Patient, lattice: Lattice) -> torch.Tensor:
    """A CT on a lattice, float32 ``[k, j, i]``, with everything outside the patient replaced by air."""
    hu = sample(ct.hu, ct.geometry.spacing_kji, lattice)
    near = dilate(patient.mask, _SKIN_MM, patient.spacing)
    return hu.masked_fill_(torch.from_numpy(~patient.at(near, _places(lattice))), _NOTHING_HU)


def keep_to_patient(logits: torch.Tensor, patient: Patient, lattice: Lattice) -> None:
    """Exclude lung outside the patient; ``logits`` are ``[6, k, j, i]``, changed in place."""
    outside = torch.from_numpy(~patient.at(patient.mask, _places(lattice)))
    logits[1:] -= NEVER * outside


def keep_to_chest(logits: torch.Tensor, bounds: ChestBounds, lattice: Lattice) -> None:
    """Make lung increasingly unlikely beyond the costal surface, and impossible outside the patient.

    Args:
        logits: ``[6, k, j, i]`` on the CPU, changed in place.
        bounds: of this CT.
        lattice: the points of the logits.
    """
    keep_to_patient(logits, bounds.body, lattice)
    beyond = torch.from_numpy(bounds.body.at(bounds.beyond_mm(), _places(lattice)))
    logits[1:] -= torch.where(beyond > WALL_MM, NEVER, _PER_MM * beyond)


def _places(lattice: Lattice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return lattice.positions(0), lattice.positions(1), lattice.positions(2)


def lungs_on_grid(lungs: np.ndarray, lattice: Lattice, patient: Patient) -> np.ndarray:
    """Lungs of the coarse network on the patient's working grid, dilated by a point: air within them is lung."""
    wide = ndimage.binary_dilation(lungs)
    indices = [
        np.clip(np.rint((mm - start) / step).astype(np.intp), 0, count - 1)
        for mm, start, step, count in zip(patient.middles(), lattice.start, lattice.step, lattice.shape, strict=True)
    ]
    on_grid: np.ndarray = wide[np.ix_(*indices)]
    return on_grid
