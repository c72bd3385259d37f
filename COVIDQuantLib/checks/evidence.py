"""The input of every check: a result and its CT on the working grids, with derived arrays computed once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES, SIDES, labels_of_side
from COVIDQuantLib.checks.bounds import Bounds
from COVIDQuantLib.checks.second_path import aerated_lung
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.grades import Place
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.voxels.block_grid import block_means, block_shares
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.voxels.morphology import close, dilate, mean_around
from COVIDQuantLib.voxels.sampling_grids import Grids

# A voxel is aerated below this and dense above that, far enough from the edge's own values on both sides.
AERATED_HU = -600
DENSE_HU = -300
# The place of a finding is where most of it is within a ball of about this size.
_PLACE_MM = 15.0
# Lung is closed over hollows up to twice this width, on a grid of this spacing.
_CLOSING_MM = 18.0
_CLOSING_GRID_MM = 5.0
# The mediastinum is about twice this wide.
_MIDDLE_MM = 35.0
# More lung than this on the first or last slice means that the lungs are cut.
_CUT_CM2 = 3.0


class Evidence:
    """A canonical CT with lobes and lesions, on samples and on blocks of samples.

    Args:
        ct: the CT, canonical.
        lobes: uint8 label values ``[k, j, i]`` on its voxels.
        lesions: bool, same shape.
        bounds: where the patient and the chest are.
        odds: the networks' odds of ``lungs`` and ``lesions``, if available.

    Attributes:
        geometry: of the CT.
        grids: see :class:`~COVIDQuantLib.voxels.sampling_grids.Grids`.
        hu, lobes, lesions, measured: on the samples; ``measured`` is false in padding.
        patient, cavity: bool, on the blocks.
        odds: see above.
    """

    def __init__(
        self,
        ct: CTVolume,
        lobes: np.ndarray,
        lesions: np.ndarray,
        bounds: Bounds,
        odds: Mapping[str, OddsMap] | None = None,
    ) -> None:
        self.odds = odds or {}
        self.geometry: Geometry = ct.geometry
        self.grids = Grids.of(ct.geometry.shape, ct.geometry.spacing_kji)
        self.hu = self.grids.samples(ct.hu)
        self.lobes = self.grids.samples(lobes)
        self.lesions = self.grids.samples(lesions != 0)
        self.measured = np.ones(self.hu.shape, bool)
        if ct.padding is not None:
            self.measured = ~self.grids.samples(ct.padding)
            self.lobes[~self.measured] = 0
        self.patient = self.grids.at_blocks(bounds.patient, bounds.factors)
        self.cavity = self.grids.at_blocks(bounds.cavity, bounds.factors)
        self.ml = self.grids.sample_ml
        self.block_ml = float(np.prod(self.grids.block_spacing)) / 1000.0

    @cached_property
    def lung(self) -> np.ndarray:
        """Samples in any lobe."""
        return self.lobes != 0

    @cached_property
    def lung_ml(self) -> float:
        """Volume of the lungs; at least a tiny value, so that shares of it are defined."""
        return max(float(np.count_nonzero(self.lung)) * self.ml, 1e-6)

    @cached_property
    def lesion_ml(self) -> float:
        """Volume of the lesions, in and outside the lobes."""
        return float(np.count_nonzero(self.lesions)) * self.ml

    @cached_property
    def lung_hu(self) -> np.ndarray:
        """HU of the lungs' samples, a flat array."""
        return self.hu[self.lung]

    @cached_property
    def lesion_hu(self) -> np.ndarray:
        """HU of the lesions' samples, a flat array."""
        return self.hu[self.lesions]

    @cached_property
    def lobe_shares(self) -> dict[int, np.ndarray]:
        """By label value the share of each block in that lobe."""
        return {lobe.label: self.shares(self.lobes == lobe.label) for lobe in LOBES}

    @cached_property
    def lobe_ml(self) -> dict[int, float]:
        """By label value the volume."""
        return {label: float(share.sum(dtype=np.float64)) * self.block_ml for label, share in self.lobe_shares.items()}

    @cached_property
    def lung_share(self) -> np.ndarray:
        """Share of each block in any lobe."""
        return self.shares(self.lung)

    @cached_property
    def block_hu(self) -> np.ndarray:
        """Mean HU of each block."""
        return block_means(self.hu, self.grids.factors)

    @cached_property
    def aerated(self) -> np.ndarray:
        """Blocks of aerated lung by the second path."""
        return aerated_lung(self.block_hu, self.patient, self.grids.block_spacing)

    @cached_property
    def lateral(self) -> np.ndarray:
        """Columns of blocks (along ``i``) away from the midline, where trachea, heart and great vessels are.

        The midline is halfway between the centres of both lungs; with a single lung every column counts.
        """
        columns = np.arange(self.patient.shape[2])
        middles = []
        for side in SIDES:
            lung = np.sum([self.lobe_shares[label].sum(axis=(0, 1)) for label in labels_of_side(side)], axis=0)
            middles.append(float(np.average(columns, weights=lung)) if lung.any() else np.nan)
        midline = float(np.mean(middles))
        if not np.isfinite(midline):
            return np.ones(len(columns), bool)
        return np.asarray(np.abs(columns - midline) * self.grids.block_spacing[2] > _MIDDLE_MM)

    @cached_property
    def missed_air(self) -> np.ndarray:
        """Samples of aerated lung by the second path, away from the trachea, that are in no lobe."""
        near = ndimage.binary_dilation(self.aerated) & self.lateral
        return self.on_samples(near) & (self.hu < AERATED_HU) & ~self.lung & self.measured

    @cached_property
    def closed_lung(self) -> np.ndarray:
        """Blocks within the aerated lung of the second path once its hollows are filled."""
        spacing = self.grids.block_spacing
        steps = tuple(max(1, round(_CLOSING_GRID_MM / mm)) for mm in spacing)
        coarse = np.ascontiguousarray(self.aerated[:: steps[0], :: steps[1], :: steps[2]])
        wide = tuple(mm * n for mm, n in zip(spacing, steps, strict=True))
        filled = close(coarse, _CLOSING_MM, (wide[0], wide[1], wide[2]))
        for axis, step in enumerate(steps):
            filled = np.repeat(filled, step, axis=axis)
        k, j, i = self.aerated.shape
        return filled[:k, :j, :i] | self.aerated

    @cached_property
    def near_lung(self) -> np.ndarray:
        """Blocks within 8 mm of the closed lung."""
        return dilate(self.closed_lung, 8.0, self.grids.block_spacing)

    @cached_property
    def is_cut(self) -> bool:
        """Whether the image ends within the lungs, above or below."""
        cm2 = self.grids.sample_spacing[1] * self.grids.sample_spacing[2] / 100.0
        return any(np.count_nonzero(self.lung[k]) * cm2 > _CUT_CM2 for k in (0, -1))

    def shares(self, samples: np.ndarray) -> np.ndarray:
        """The share of each block that some samples fill, 0..1."""
        return block_shares(samples, self.grids.factors)

    def on_samples(self, blocks: np.ndarray) -> np.ndarray:
        """Each block's value for all its samples."""
        for axis, factor in enumerate(self.grids.factors):
            blocks = np.repeat(blocks, factor, axis=axis) if factor > 1 else blocks
        k, j, i = self.hu.shape
        return blocks[:k, :j, :i]

    def percent_of_lung(self, ml: float) -> float:
        """A volume as a share of the lungs, percent."""
        return 100.0 * ml / self.lung_ml

    def place(self, blocks: np.ndarray) -> Place | None:
        """The place with most of something, LPS millimetres.

        Args:
            blocks: how much of it is in each block, bool or 0..1; None if it is empty.
        """
        if not blocks.any():
            return None
        size = [max(1, round(_PLACE_MM / mm)) for mm in self.grids.block_spacing]
        # For a thin structure only its own blocks count, so that the place is on it.
        around = mean_around(blocks, blocks > 0, size) * (blocks > 0)
        found = np.unravel_index(int(around.argmax()), around.shape)
        k, j, i = (self.grids.middles(axis, int(n) + 1)[-1] for axis, n in enumerate(found))
        x, y, z = (self.geometry.index_to_lps @ (i, j, k, 1.0))[:3]
        return float(x), float(y), float(z)
