"""Synthetic COVID-19 lesions in healthy lungs: training data without manual annotation.

The idea, healthy lungs into which lesions of known outline are put, is that of Yao et al., *Label-free segmentation of
COVID-19 lesions in lung CT*, IEEE TMI 2021. Beyond it, the shapes, places, kinds and densities here follow the disease
(subpleural, dorsal, basal, multifocal; ground glass, crazy paving, consolidation with air bronchograms), the density is
the physics of it (air replaced by fluid, so vessels stay visible and noise stays), and thick sections average the shape
as a scanner does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN
from COVIDQuantLib.simulation.fields.arrays import Axes, FloatArray
from COVIDQuantLib.simulation.fields.shapes import smooth_step
from COVIDQuantLib.simulation.fields.tiled_noise import NoiseTiles
from COVIDQuantLib.simulation.lesions.training_density import AERATED_HU, FLUID_HU, fill_share
from COVIDQuantLib.simulation.lesions.training_shapes import Place, signed_depth
from COVIDQuantLib.simulation.lesions.training_spread import (
    BoolArray,
    Labels,
    Lesion,
    Lungs,
    Style,
    draw_lesions,
    reach_box,
    side_table,
)
from COVIDQuantLib.voxels.box import Slices

_FINE_MM = 2.5
_LEAST_SHARE = 1e-3


def _average(values: FloatArray, factors: npt.NDArray[np.int64]) -> FloatArray:
    """Mean over blocks of ``factors`` points."""
    k, j, i = (n // f for n, f in zip(values.shape, factors, strict=True))
    if (factors == 1).all():
        return values
    return values.reshape(k, factors[0], j, factors[1], i, factors[2]).mean((1, 3, 5), dtype=np.float32)


def _edge(depth: FloatArray, axes: Axes, width: float) -> FloatArray:
    """Weight 0..1 across a soft edge, one half on the contour.

    Args:
        depth: signed depth, positive inside; where it changes by less than 1 per mm, the contour is farther away.
        axes: positions in mm.
        width: of the edge, mm.
    """
    square = np.full(depth.shape, 1e-4, np.float32)
    for number, axis in enumerate(axes):
        if len(axis) > 1:
            square += np.gradient(depth, float(axis[1] - axis[0]), axis=number) ** 2
    return smooth_step(0.5 + depth / (np.sqrt(square) * np.float32(width)))


class _Canvas:
    """The fill of all lesions on the CT's grid.

    Args:
        labels: lobes or lungs, ``[k, j, i]``.
        lungs: the same, coarse.
        fields: noise.

    Attributes:
        labels: as given.
        around: the same, one voxel wider.
        fill: share of the air that is replaced.
        truth: the lesion mask.
    """

    def __init__(self, labels: Labels, lungs: Lungs, fields: NoiseTiles) -> None:
        self.labels, self._lungs, self._fields = labels, lungs, fields
        # Voxels with partial volume of lung and chest wall become denser too, although not labelled lung.
        self.around = np.where(labels > 0, labels, ndimage.maximum_filter(labels, 3))
        # Odd, so that a majority of a voxel's points is never a tie.
        self._factors = (2 * np.ceil((lungs.spacing / _FINE_MM - 1.2) / 2) + 1).clip(min=1).astype(np.int64)
        self.fill = np.zeros(labels.shape, np.float32)
        self.truth = np.zeros(labels.shape, bool)

    def blurred(self, voxels: float) -> FloatArray:
        """The fill, blurred by a Gaussian of this standard deviation as by a scanner."""
        found = ndimage.find_objects((self.fill > 0).astype(np.uint8))
        if found:
            box = tuple(slice(max(part.start - 3, 0), part.stop + 3) for part in found[0])
            self.fill[box] = ndimage.gaussian_filter(self.fill[box], voxels, truncate=3.0)
        return self.fill

    def _place(self, box: Slices) -> Place:
        """The fine grid within voxels of the CT."""
        spacing = self._lungs.spacing
        axes: Axes = tuple(
            (((np.arange(part.start * f, part.stop * f) + 0.5) / f - 0.5) * s).astype(np.float32)
            for part, f, s in zip(box, self._factors, spacing, strict=True)
        )
        return Place(axes, self._lungs.fine(self._lungs.depth, axes), self._fields)

    def add(self, lesion: Lesion, growth: float) -> None:
        """Draws a lesion, grown by mm."""
        box = reach_box(lesion.shape, np.zeros(3, np.float32), self._lungs.spacing, self.labels.shape)
        place = self._place(box)
        depth = signed_depth(lesion.shape, place) + np.float32(growth)
        inside = _average((depth > 0).astype(np.float32), self._factors) >= 0.5
        allowed = lesion.allowed[self.around[box]]
        self.truth[box] |= inside & allowed & (self.labels[box] > 0)
        # Density is computed only where the lesion is, not in the whole box.
        touched = _average((depth > -1.5 * lesion.density.soft).astype(np.float32), self._factors) > 0
        found = ndimage.find_objects((touched & allowed).astype(np.uint8))
        if not found:
            return
        part = found[0]
        fine = tuple(slice(p.start * f, p.stop * f) for p, f in zip(part, self._factors, strict=True))
        axes: Axes = tuple(axis[p] for axis, p in zip(place.axes, fine, strict=True))  # type: ignore[assignment]
        near = Place(axes, place.depth[fine], self._fields)
        fill = fill_share(lesion.density, near, depth[fine]) * _edge(depth[fine], axes, lesion.density.soft)
        target = self.fill[box][part]
        np.maximum(target, _average(fill, self._factors) * allowed[part], out=target)


def _densify(hu: FloatArray, fill: FloatArray, canvas: _Canvas, thicker: float) -> FloatArray:
    """Replaces air by fluid; denser structures and noise are kept, bronchi stay open.

    Args:
        hu: the CT.
        fill: share of air replaced.
        canvas: what is lung.
        thicker: how much vessels within lesions swell, 0..1.
    """
    where = ndimage.find_objects((fill > 0.005).astype(np.uint8))
    if not where:
        return hu
    box = where[0]
    part, share, inside = hu[box], fill[box], canvas.labels[box] > 0
    base = ndimage.gaussian_filter(part, (0, 0.8, 0.8))
    usual = float(np.median(part[inside])) if inside.any() else AERATED_HU
    spread = 1.4826 * float(np.median(np.abs((part - base)[inside]))) if inside.any() else 0.0
    # Bronchi are clearly darker than the lung around them; outside the mask nothing but partial volume may change.
    open_air = smooth_step((usual - 60 - base) / 70)
    share = share * (1 - 0.85 * open_air) * (inside | ((base > -700) & (canvas.around[box] > 0)))
    if thicker:
        vessels = ndimage.gaussian_filter(smooth_step((base - usual - 150) / 250), (0, 0.9, 0.9))
        share = np.maximum(share, thicker * vessels * smooth_step(share * 6))
    detail = part - base
    # Detail above the noise is anatomy, which fluid hides.
    kept = detail * smooth_step(2 - np.abs(detail) / (2.5 * spread + 1e-3))
    result = hu.copy()
    filled = base + share * np.maximum(FLUID_HU - base, 0) + detail * (1 - share) + kept * share
    result[box] = np.where(share > _LEAST_SHARE, filled, part)
    return result


def insert_lesions(
    hu: npt.NDArray[np.generic],
    lobes: Labels,
    spacing_kji: npt.ArrayLike,
    rng: np.random.Generator,
    extent_percent: float,
    style: Style | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Puts COVID-19 pneumonia into a CT.

    The truth is the half-way contour of each lesion's soft edge, within the labels; vessels and bronchi within the
    contour belong to it, as experts annotate it. In thick sections a voxel is lesion when half of it is.

    Args:
        hu: CT numbers, ``[k, j, i]``, canonical (k to the head, j to the back).
        lobes: label values 1..5 of the lobes, or 1 and 2 of the lungs; 0 outside.
        spacing_kji: mm.
        rng: random generator.
        extent_percent: wanted share of the labelled voxels, 0..100.
        style: how the disease is spread; drawn if None.

    Returns:
        The CT with lesions (float32, within −1024..3071) and the lesion mask (bool).
    """
    image = np.asarray(hu, np.float32)
    spacing = np.asarray(spacing_kji, np.float32)
    if extent_percent <= 0 or not (lobes > 0).any():
        return np.clip(image, HU_MIN, HU_MAX), np.zeros(lobes.shape, bool)
    lungs = Lungs(lobes, spacing)
    if not len(lungs.points):
        return np.clip(image, HU_MIN, HU_MAX), np.zeros(lobes.shape, bool)
    fields = NoiseTiles(rng)
    lesions, growth = draw_lesions(lungs, side_table(lobes), fields, rng, min(extent_percent, 95.0) / 100, style)
    thicker = float(rng.choice([0.0, rng.uniform(0.2, 0.9)]))
    blur = float(rng.uniform(0.2, 0.8))
    canvas = _Canvas(lobes, lungs, fields)
    for lesion in lesions:
        canvas.add(lesion, growth)
    return np.clip(_densify(image, canvas.blurred(blur), canvas, thicker), HU_MIN, HU_MAX), canvas.truth
