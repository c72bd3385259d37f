"""Connected components of a lesion mask: position, size, lobes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.geometry import Triple

# Smaller components are not worth a reader's time: a ball 6 mm across.
MIN_ML = 0.1


@dataclass(frozen=True)
class Component:
    """One connected part of the lesions.

    Attributes:
        id: index of its first voxel, ``"k-j-i"``; does not change unless the component itself is edited.
        box: slices ``k, j, i`` of the smallest box around it.
        mask: bool, its voxels within the box.
        volume_ml: its volume.
        centroid_kji: mean position of its voxels, in voxels of the whole array.
        lobes: names of the lobes it lies in, largest share first; empty if only the lungs are known.
        part_of: id of the connected component that it was cut from; empty if it is a whole component.
    """

    id: str
    box: Slices
    mask: np.ndarray = field(repr=False, compare=False)
    volume_ml: float
    centroid_kji: tuple[float, float, float]
    lobes: tuple[str, ...]
    part_of: str = ""

    def mirrored(self, columns: int) -> Component:
        """The same component in the mirror image of an array with ``columns`` voxels along ``i``."""
        k, j, i = self.box
        box = (k, j, slice(columns - i.stop, columns - i.start))
        centre = (*self.centroid_kji[:2], columns - 1 - self.centroid_kji[2])
        return replace(self, box=box, mask=self.mask[:, :, ::-1], centroid_kji=centre)

    def cut(self, labels: np.ndarray, lobes: np.ndarray) -> list[Component]:
        """Its pieces, given an array over its box in which every voxel of it has a piece number from 1."""
        voxel_ml = self.volume_ml / np.count_nonzero(self.mask)
        pieces = []
        for label, span in enumerate(ndimage.find_objects(labels), start=1):
            if span is not None:
                box = _shifted(span, self.box)
                pieces.append(_component(labels[span] == label, box, lobes, voxel_ml, self.id))
        return pieces


def find_components(
    lesions: np.ndarray, lobes: np.ndarray, spacing_kji: Triple, min_ml: float = MIN_ML
) -> list[Component]:
    """The face-connected components of a lesion mask, largest first.

    Args:
        lesions: nonzero in lesion, ``[k, j, i]``.
        lobes: lobe labels 0..5, same shape; a bool array where only the lungs are known.
        spacing_kji: millimetres between voxels along ``k, j, i``.
        min_ml: smaller components are left out.

    Raises:
        ValueError: the shapes differ.
    """
    if lesions.shape != lobes.shape:
        raise ValueError(f"lesions and lobes differ in shape: {lesions.shape}, {lobes.shape}")
    around = ndimage.find_objects((lesions != 0).view(np.uint8))
    if not around:
        return []
    box = around[0]
    labels, _ = ndimage.label(lesions[box] != 0)
    voxel_ml = float(np.prod(sorted(spacing_kji))) / 1000.0
    sizes = np.bincount(labels.ravel())
    found = []
    for label, part in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[label] * voxel_ml >= min_ml:
            mask = labels[part] == label
            found.append(_component(mask, _shifted(part, box), lobes, voxel_ml))
    return sorted(found, key=lambda component: (-component.volume_ml, component.id))


def _shifted(part: Slices, box: Slices) -> Slices:
    k, j, i = (slice(p.start + b.start, p.stop + b.start) for p, b in zip(part, box, strict=True))
    return k, j, i


def _component(mask: np.ndarray, box: Slices, lobes: np.ndarray, voxel_ml: float, part_of: str = "") -> Component:
    where = np.nonzero(mask)
    first = [int(at[0]) + span.start for at, span in zip(where, box, strict=True)]
    centre = [float(at.mean()) + span.start for at, span in zip(where, box, strict=True)]
    return Component(
        "-".join(map(str, first)),
        box,
        mask,
        len(where[0]) * voxel_ml,
        (centre[0], centre[1], centre[2]),
        lobe_names(lobes[box][mask]),
        part_of,
    )


def lobe_names(labels: np.ndarray) -> tuple[str, ...]:
    """Names of the lobes among voxel labels, most frequent first; none for a bool array."""
    if labels.dtype == bool:
        return ()
    counts = np.bincount(labels, minlength=1 + max(lobe.label for lobe in LOBES))
    present = sorted((lobe for lobe in LOBES if counts[lobe.label]), key=lambda lobe: (-counts[lobe.label], lobe.label))
    return tuple(lobe.name for lobe in present)
