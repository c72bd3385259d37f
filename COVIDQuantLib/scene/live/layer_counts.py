"""Counting voxels of layered labels: what was counted last, and how much a change changes it.

Where lobes on different layers overlap, the lobe with the lowest label value has the voxel (right upper, right
middle, right lower, left upper, left lower), whatever the order in which the segments are listed; several segments
of one role count as their union.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT
from COVIDQuantLib.quantification.histogram import HU_BINS, count_voxels
from COVIDQuantLib.scene.nodes.layers import Member
from COVIDQuantLib.scene.nodes.volumes import whole_hu
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantLib.voxels.box import Box, in_threads
from COVIDQuantLib.voxels.placed_labels import LabelCopy, PlacedLabels


@dataclass
class Tally:
    """Counts of some voxels.

    Attributes:
        counts: int64 ``[6, 2, 4096]`` as in the joint histogram.
        overlap: voxels that more than one lobe claimed.
    """

    counts: np.ndarray
    overlap: int = 0

    @classmethod
    def nothing(cls) -> Tally:
        """No voxels."""
        return cls(np.zeros((LABEL_COUNT, 2, HU_BINS), np.int64))

    def add(self, other: Tally) -> None:
        """Take in the counts of other voxels."""
        self.counts += other.counts
        self.overlap += other.overlap


class CountedLayer:
    """The copy of a layer that was counted last, on the CT's grid.

    Attributes:
        members: see :class:`~COVIDQuantLib.scene.nodes.layers.Layer`.
        copy: the layer's own label values.
        stamp: the layer's stamp when it was copied.
        resampled: whether the layer does not lie on the CT's voxels.
        reaches_outside: whether it has labels where the CT has no voxel.
    """

    def __init__(self, members: tuple[Member, ...], dtype: np.dtype) -> None:
        self.members = members
        self.copy = LabelCopy(dtype)
        self.stamp: tuple[object, ...] | None = None
        self.resampled = False
        self.reaches_outside = False
        self._lesion_values = [value for _, value, role in members if role == LESION_ROLE]
        self._lobe_values = [(value, role) for _, value, role in members if role != LESION_ROLE]

    @property
    def labels(self) -> PlacedLabels:
        """The labels last counted."""
        return self.copy.labels

    def lesions(self, box: Box) -> np.ndarray | None:
        """Where a box has lesion, bool; None if the layer holds no lesion there or nowhere."""
        if not self._lesion_values or self.labels.box.intersect(box) is None:
            return None
        labels = self.labels.crop(box)
        found = labels == self._lesion_values[0]
        for value in self._lesion_values[1:]:
            found |= labels == value
        return found

    def lobes(self, box: Box) -> np.ndarray | None:
        """uint8 lobe label values of a box; None if the layer holds no lobe there or nowhere."""
        if not self._lobe_values or self.labels.box.intersect(box) is None:
            return None
        labels = self.labels.crop(box)
        lobes = np.zeros(labels.shape, np.uint8)
        # Arithmetic on whole bytes: far quicker than writing through a mask or looking up a table.
        for value, role in self._lobe_values:
            claimed = (labels == value).view(np.uint8)
            claimed *= np.uint8(role)
            np.maximum(lobes, claimed, out=lobes)
        return lobes


def tally(voxels: np.ndarray, layers: Sequence[CountedLayer], box: Box) -> Tally:
    """Count the voxels of a box.

    Args:
        voxels: raw CT ``[k, j, i]`` in HU, any number type.
        layers: the labels.
        box: what to count.
    """
    total = Tally.nothing()
    if not layers or not box.voxels:
        return total
    for part in in_threads(lambda chunk: _tally_chunk(voxels, layers, chunk), box):
        total.add(part)
    return total


def _tally_chunk(voxels: np.ndarray, layers: Sequence[CountedLayer], chunk: Box) -> Tally:
    lobes, lesions, overlap = merge(layers, chunk)
    hu, padding = whole_hu(voxels[chunk.slices])
    return Tally(count_voxels(hu, lobes, lesions, padding), overlap)


def merge(layers: Sequence[CountedLayer], box: Box) -> tuple[np.ndarray, np.ndarray, int]:
    """Lobe labels and lesions of a box from all layers.

    Returns:
        uint8 label values, bool lesions, and the number of voxels that more than one lobe claims.
    """
    lobes: np.ndarray | None = None
    lesions: np.ndarray | None = None
    contested: np.ndarray | None = None
    for layer in layers:
        lesion, claimed = layer.lesions(box), layer.lobes(box)
        if lesion is not None:
            lesions = lesion if lesions is None else lesions | lesion
        if claimed is None or lobes is None:
            lobes = claimed if lobes is None else lobes
            continue
        both = (lobes != 0) & (claimed != 0) & (lobes != claimed)
        contested = both if contested is None else contested | both
        lobes = np.where((lobes == 0) | ((claimed != 0) & (claimed < lobes)), claimed, lobes)
    return (
        np.zeros(box.shape, np.uint8) if lobes is None else lobes,
        np.zeros(box.shape, bool) if lesions is None else lesions,
        0 if contested is None else int(np.count_nonzero(contested)),
    )
