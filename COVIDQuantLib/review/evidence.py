"""The input of the cues: the chest averaged over blocks, and one component within it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN
from COVIDQuantLib.review.components import Component
from COVIDQuantLib.review.moving_walls import find_walls
from COVIDQuantLib.segmentation.lesions.normal_lung import lung_level
from COVIDQuantLib.voxels.block_grid import BlockGrid
from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.geometry import Triple

# Margin around a component, in blocks, for the lung beside it.
_MARGIN = 3
# Fine enough for a doubled edge 4 mm thick, coarse enough to average the noise.
BLOCK_MM = 1.9
# Margins around the lungs along k, j, i: for what lies under the diaphragm, and for a neighbour on every side.
MARGINS_MM = (34.0, 6.0, 6.0)
# A block is inside the component if at least this fraction of it is.
_INSIDE = 0.5
# A smaller fraction of a block is ignored.
_BESIDE = 0.1
# A block, the next one and the one after that, along the first axis, in both directions.
_TRIPLES = (
    (np.s_[:-2], np.s_[1:-1], np.s_[2:]),
    (np.s_[2:], np.s_[1:-1], np.s_[:-2]),
)


@dataclass(frozen=True)
class Evidence:
    """One component and its surroundings in blocks; all arrays ``[k, j, i]`` of one shape, canonical orientation.

    Attributes:
        spacing: size of a block, mm.
        weight: float32 share of each block that the component fills.
        hu: float32 mean HU of the component's voxels in each block, or of the whole block if there are none.
        lung: bool.
        heart: float32 distance to the heart, mm.
        diaphragm: float32 distance to the diaphragm, mm.
        height: float32 ``[k]``, 0 at the lungs' lower end to 1 at the upper.
        base_hu: HU of this patient's normal lung.
    """

    spacing: Triple
    weight: np.ndarray
    hu: np.ndarray
    lung: np.ndarray
    heart: np.ndarray
    diaphragm: np.ndarray
    height: np.ndarray
    base_hu: float

    @cached_property
    def total(self) -> float:
        """Sum of the weights; 0 where the component lies outside the blocks."""
        return float(self.weight.sum(dtype=np.float64))

    @cached_property
    def inside(self) -> np.ndarray:
        """Blocks that are mainly component; if there are none, those with the largest share of it."""
        enough = self.weight >= _INSIDE
        return enough if enough.any() else (self.weight > 0) & (self.weight >= self.weight.max())

    @cached_property
    def wall(self) -> np.ndarray:
        """Distance to the nearer of heart and diaphragm, mm."""
        return np.minimum(self.heart, self.diaphragm)

    @cached_property
    def volume_ml(self) -> float:
        """Volume of the component, from the weights."""
        return self.total * float(np.prod(self.spacing)) / 1000.0

    def share(self, where: np.ndarray) -> float:
        """The fraction of the component in a set of blocks."""
        return float(self.weight[where].sum(dtype=np.float64)) / self.total if self.total else 0.0

    def mean(self, values: np.ndarray, where: np.ndarray | None = None) -> float:
        """Mean of a field over the component, or its part in a set of blocks; 0 if that is empty."""
        weight = self.weight if where is None else self.weight * where
        total = float(weight.sum(dtype=np.float64))
        return float((weight * values).sum(dtype=np.float64)) / total if total else 0.0

    @cached_property
    def points(self) -> np.ndarray:
        """Positions of the inside blocks, mm, ``[n, 3]`` (k, j, i)."""
        return np.argwhere(self.inside) * np.asarray(self.spacing)

    @cached_property
    def far_drops(self) -> tuple[np.ndarray, np.ndarray]:
        """The drop in density at the side away from the wall, and the inside blocks at that side.

        In HU (float32), to the lower of the next two blocks away from the wall; the largest over all directions.
        """
        drops = np.full(self.weight.shape, -np.inf, np.float32)
        free = self.lung & (self.weight < _BESIDE)
        for axis, size in enumerate(self.spacing):
            fields: list[np.ndarray] = [self.wall, self.inside, free, self.hu, drops]
            wall, inside, open_, hu, best = (np.moveaxis(field, axis, 0) for field in fields)
            for here, next_, after in _TRIPLES:
                out = inside[here] & open_[next_] & (wall[next_] > wall[here] + 0.4 * size)
                beyond = np.where(open_[after], np.minimum(hu[after], hu[next_]), hu[next_])
                best[here] = np.where(out, np.maximum(best[here], hu[here] - beyond), best[here])
        found = drops > -np.inf
        return np.where(found, drops, 0), found


@dataclass(frozen=True)
class Chest:
    """A CT and its lungs averaged over blocks.

    Attributes:
        blocks: where the blocks lie.
        hu: float32 ``[k, j, i]``, mean HU.
        lung: bool.
        heart: float32, distance to the heart, mm.
        diaphragm: float32, distance to the diaphragm, mm.
        base_hu: HU of normal lung.
    """

    blocks: BlockGrid
    hu: np.ndarray
    lung: np.ndarray
    heart: np.ndarray
    diaphragm: np.ndarray
    base_hu: float

    @classmethod
    def of(cls, ct_hu: np.ndarray, lungs: np.ndarray, spacing_kji: Triple) -> Chest | None:
        """Average a CT in canonical orientation over blocks; None if there is no lung.

        Args:
            ct_hu: integer HU ``[k, j, i]``.
            lungs: bool, same shape.
            spacing_kji: millimetres between voxels.
        """
        found = ndimage.find_objects(lungs.view(np.uint8))
        if not found:
            return None
        box: Slices = found[0]
        blocks = BlockGrid.around(box, lungs.shape, spacing_kji, BLOCK_MM, MARGINS_MM)
        voxels = blocks.voxels(blocks.all)
        hu = blocks.means(np.clip(ct_hu[voxels], HU_MIN, HU_MAX))
        lung = blocks.means(lungs[voxels].view(np.uint8)) >= _INSIDE
        top_is_cut = box[0].stop >= lungs.shape[0]
        heart, diaphragm = find_walls(hu, lung, blocks.spacing, top_is_cut=top_is_cut).distances(blocks.spacing)
        return cls(blocks, hu, lung, heart, diaphragm, lung_level(hu[lung]))

    def evidence(self, ct_hu: np.ndarray, component: Component) -> Evidence:
        """One component of the CT in blocks."""
        box = self._around(component)
        voxels = self.blocks.voxels(box)
        mask = _pasted(component, voxels)
        count = self.blocks.sums(mask.view(np.uint8))
        total = self.blocks.sums(np.where(mask, np.clip(ct_hu[voxels], HU_MIN, HU_MAX), 0))
        hu = np.where(count > 0, total / np.maximum(count, 1), self.hu[box])
        weight = count / np.float32(np.prod(self.blocks.factors))
        return Evidence(
            self.blocks.spacing,
            weight,
            hu.astype(np.float32),
            self.lung[box],
            self.heart[box],
            self.diaphragm[box],
            self._heights[box[0]],
            self.base_hu,
        )

    def in_voxels(self, labels: np.ndarray, component: Component) -> np.ndarray:
        """Block labels of a component's evidence, sampled at its voxels, over its box; 0 outside the component.

        Voxels beyond the blocks take the nearest block's label; a voxel without a label gets label 1.
        """
        spans = []
        for axis, (span, around) in enumerate(zip(component.box, self._around(component), strict=True)):
            block = (np.arange(span.start, span.stop) - self.blocks.first[axis]) // self.blocks.factors[axis]
            spans.append(np.clip(block - around.start, 0, labels.shape[axis] - 1))
        return np.where(component.mask, np.maximum(labels[np.ix_(*spans)], 1), 0)

    def _around(self, component: Component) -> Slices:
        return self.blocks.over(component.box, _MARGIN)

    @cached_property
    def _heights(self) -> np.ndarray:
        found = np.flatnonzero(self.lung.any(axis=(1, 2)))
        low, high = (found[0], found[-1]) if found.size else (0, 1)
        heights = (np.arange(self.lung.shape[0]) - low) / max(1, high - low)
        return np.clip(heights, 0.0, 1.0).astype(np.float32)


def _pasted(component: Component, voxels: Slices) -> np.ndarray:
    """The component's mask over another box."""
    mask = np.zeros(tuple(span.stop - span.start for span in voxels), bool)
    both = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(component.box, voxels, strict=True)]
    if all(span.stop > span.start for span in both):
        target = tuple(slice(s.start - v.start, s.stop - v.start) for s, v in zip(both, voxels, strict=True))
        source = tuple(slice(s.start - c.start, s.stop - c.start) for s, c in zip(both, component.box, strict=True))
        mask[target] = component.mask[source]
    return mask
