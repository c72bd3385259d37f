"""Chests with known lobes and lesions, resampled once to the networks' lattices.

No labels were drawn by a reader: lobes and lesions are known because they were simulated (phantoms, painted chests,
lesions put into healthy lung), or unknown and left out of the loss (real CTs, for which only the lungs are known).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.inference.lattice import Lattice, sample
from COVIDQuantLib.inference.lesions import PLANES
from COVIDQuantLib.voxels.geometry import Geometry, Triple

COARSE_MM = 5.0
FINE_MM = 2.0
PIXEL_MM = 1.5
VOLUME_MM = 2.0
MARGIN_MM = 16.0
# Where the patient's outline is known, a wider surrounding of the lungs is included.
_WIDE_MARGIN_MM = 26.0
# Lung whose lobe is not known: right, left.
RIGHT_LUNG, LEFT_LUNG = 6, 7
# Not known whether it is lung; left out of the loss.
UNKNOWN = 8
# Hard examples: lesions too faint to be seen, lesions that networks miss, and what they take for lesions.
UNSEEN, MISSED, FALSE = 1, 2, 3


@dataclass
class Chest:
    """One chest on its own grid.

    Attributes:
        hu: int16 ``[k, j, i]``, canonical axes.
        spacing: along ``k, j, i``, millimetres.
        lobes: uint8, 1..5 as in the contract, 6 and 7 right and left lung of unknown lobe, 8 unknown.
        lesions: bool, the pneumonia.
        body: bool, the patient; None if that is not known.
        aorta: bool, a dilated aorta; None if there is none, or it is not known.
        hard: uint8, ``UNSEEN``, ``MISSED``, ``FALSE``, else 0; None if they are not marked.
    """

    hu: np.ndarray
    spacing: Triple
    lobes: np.ndarray
    lesions: np.ndarray
    body: np.ndarray | None = None
    hard: np.ndarray | None = None
    aorta: np.ndarray | None = None

    @property
    def ct(self) -> CTVolume:
        """Its CT, on a grid along the canonical axes."""
        k_mm, j_mm, i_mm = self.spacing
        return CTVolume(self.hu, Geometry(self.hu.shape, (i_mm, j_mm, k_mm)))

    def box(self, margin_mm: float = MARGIN_MM) -> tuple[slice, slice, slice]:
        """The box of the lungs with a margin.

        Raises:
            ValueError: there are no lungs.
        """
        found = ndimage.find_objects((self.lobes > 0).astype(np.uint8))
        if not found:
            raise ValueError("a chest without lungs cannot be trained on")
        pads = [round(margin_mm / mm) for mm in self.spacing]
        edges = [
            slice(max(0, s.start - pad), min(n, s.stop + pad))
            for s, pad, n in zip(found[0], pads, self.hu.shape, strict=True)
        ]
        return edges[0], edges[1], edges[2]


def labels_on(labels: np.ndarray, spacing: Triple, lattice: Lattice) -> np.ndarray:
    """Label values on a lattice: the label with the greatest share around each point, uint8 ``[k, j, i]``."""
    best = torch.full(lattice.shape, -1.0)
    result = torch.zeros(lattice.shape, dtype=torch.uint8)
    for value in np.unique(labels):
        share = sample((labels == value).astype(np.float32), spacing, lattice)
        better = share > best
        result[better] = int(value)
        best = torch.maximum(best, share)
    return result.numpy()


def plain_labels(lobes: np.ndarray) -> np.ndarray:
    """Labels as the disease generators take them: lobes, or 1 and 2 for lungs of unknown lobe."""
    known = np.where(lobes <= LEFT_LUNG, lobes, 0)
    return np.where(known == RIGHT_LUNG, 1, np.where(known == LEFT_LUNG, 2, known)).astype(np.uint8)


def coarse_view(chest: Chest) -> dict[str, np.ndarray]:
    """The whole CT at 5 mm: ``hu`` int16, ``lobes`` uint8, ``lesions`` and, if known, ``body`` and ``aorta``."""
    return _view(chest, Lattice.over(chest.hu.shape, chest.spacing, (COARSE_MM,) * 3))


def fine_view(chest: Chest) -> dict[str, np.ndarray]:
    """The lungs' box at 2 mm: ``hu``, ``lobes``, ``lesions`` and, if it is known, ``body``."""
    margin = MARGIN_MM if chest.body is None else _WIDE_MARGIN_MM
    lattice = Lattice.over(chest.hu.shape, chest.spacing, (FINE_MM,) * 3, chest.box(margin))
    return _view(chest, lattice)


def slices_view(chest: Chest) -> dict[str, np.ndarray]:
    """The lungs' box at 1.5 mm in plane and the CT's own sections (at least 1.5 mm apart), with ``spacing``."""
    step = (max(PIXEL_MM, chest.spacing[0]), PIXEL_MM, PIXEL_MM)
    lattice = Lattice.over(chest.hu.shape, chest.spacing, step, chest.box(6.0))
    return {**_view(chest, lattice), "spacing": np.array(step, np.float32)}


def plane_view(chest: Chest, plane: str) -> dict[str, np.ndarray]:
    """The lungs' box at 1.5 mm cut into coronal or sagittal slices (``PLANES``), with ``spacing`` in that order."""
    step = (PIXEL_MM,) * 3
    view = _view(chest, Lattice.over(chest.hu.shape, chest.spacing, step, chest.box(6.0)))
    turned = {name: np.ascontiguousarray(array.transpose(PLANES[plane].order)) for name, array in view.items()}
    return {**turned, "spacing": np.array(step, np.float32)}


def volume_view(chest: Chest) -> dict[str, np.ndarray]:
    """The lungs' box at 2 mm: ``hu``, ``lobes``, ``lesions`` and, if they are marked, the ``hard`` examples."""
    return _view(chest, Lattice.over(chest.hu.shape, chest.spacing, (VOLUME_MM,) * 3, chest.box(8.0)))


def _view(chest: Chest, lattice: Lattice) -> dict[str, np.ndarray]:
    view = {
        "hu": sample(chest.hu, chest.spacing, lattice).round().short().numpy(),
        "lobes": labels_on(chest.lobes, chest.spacing, lattice),
    }
    masks = {"lesions": chest.lesions, "body": chest.body, "aorta": chest.aorta}
    for name, mask in masks.items():
        if mask is not None:
            view[name] = (sample(mask.astype(np.float32), chest.spacing, lattice) > 0.5).numpy()
    if chest.hard is not None:
        view["hard"] = labels_on(chest.hard, chest.spacing, lattice)
    return view
