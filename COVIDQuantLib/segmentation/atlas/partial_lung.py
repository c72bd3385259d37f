"""Estimate the frame of a lung that is only partly in the CT, from how its outline changes with height."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.segmentation.atlas.lung_frame import FloatArray, LungFrame

# Heights of the profile in box units; the lung's percentile box leaves its tips outside.
PROFILE_HEIGHTS = np.linspace(-1.15, 1.05, 23)
_OUTLINE_PERCENT = 4.0
_STEP_MM = 5.0
_OUTLINE_SIGMA_MM = 8.0
_END_SIGMA_MM = 3.0
# Right and left lung end at nearly the same heights.
_SIDES_SIGMA_MM = 10.0
_STARTS = (-0.8, -0.4, 0.0, 0.4, 0.8)


@dataclass(frozen=True)
class LungSizes:
    """Half edges of lungs in the population: logarithms of millimetres along x, y, z.

    Attributes:
        mean: ``(3,)``.
        covariance: ``(3, 3)``.
    """

    mean: FloatArray
    covariance: FloatArray


@dataclass(frozen=True)
class LungTemplate:
    """Template of a whole lung.

    Attributes:
        frame: of the reference lung; its base and walls are used where they are not visible.
        profile: from :func:`lung_profile`.
        sizes: of the population.
    """

    frame: LungFrame
    profile: FloatArray
    sizes: LungSizes


@dataclass(frozen=True)
class PartialLung:
    """The visible part of a lung.

    Attributes:
        points: positions inside it, ``(n, 3)`` millimetres.
        cut_below: whether it continues below the CT.
        cut_above: whether it continues above.
    """

    points: FloatArray
    cut_below: bool
    cut_above: bool

    @property
    def is_cut(self) -> bool:
        """Whether a part is missing at either end."""
        return self.cut_below or self.cut_above


def lung_profile(points: FloatArray, frame: LungFrame) -> FloatArray:
    """Outline of a lung by height: least and greatest x and y in box units, ``(heights, 4)``."""
    box = 2 * (points - frame.low) / (frame.high - frame.low) - 1
    rows = np.full((len(PROFILE_HEIGHTS), 4), np.nan)
    for row, height in enumerate(PROFILE_HEIGHTS):
        slab = box[np.abs(box[:, 2] - height) < 0.06]
        if len(slab) > 10:
            rows[row] = _outline(slab)
    heights = np.arange(len(rows))
    for column in rows.T:
        known = ~np.isnan(column)
        column[:] = np.interp(heights, heights[known], column[known])
    return rows


def _outline(slab: FloatArray) -> FloatArray:
    low, high = np.percentile(slab[:, :2], (_OUTLINE_PERCENT, 100 - _OUTLINE_PERCENT), axis=0)
    return np.array([low[0], high[0], low[1], high[1]])


def frames_of_lungs(lungs: Mapping[str, PartialLung], templates: Mapping[str, LungTemplate]) -> dict[str, LungFrame]:
    """Frames of lungs, whole or cut, by side.

    For cut lungs, the most likely boxes given the outlines of the sections, the visible ends, the population's sizes,
    and that both lungs are at the same height. A lung that is whole keeps its own frame.
    """
    whole = {side: LungFrame.of(lung.points) for side, lung in lungs.items() if not lung.is_cut}
    if len(whole) == len(lungs):
        return whole
    # Here, for it takes a sixth of a worker's start.
    from scipy.optimize import least_squares

    problem = _Problem(lungs, templates, whole)
    fits = [least_squares(problem.residuals, problem.start(share), max_nfev=30) for share in _STARTS]
    boxes = problem.boxes(min(fits, key=lambda fit: fit.cost).x)
    frames = {}
    for side in lungs:
        if side in whole:
            frames[side] = whole[side]
            continue
        centre, half = boxes[side]
        shape = templates[side].frame
        frames[side] = LungFrame(centre - half, centre + half, shape.base, shape.front, shape.back)
    return frames


class _Problem:
    """The boxes of the lungs as unknowns: per side the centre and the logarithm of the half edges."""

    def __init__(
        self,
        lungs: Mapping[str, PartialLung],
        templates: Mapping[str, LungTemplate],
        whole: Mapping[str, LungFrame],
    ) -> None:
        self._lungs = lungs
        self._templates = templates
        self._whole = whole
        self._sections = {side: _sections(lung.points) for side, lung in lungs.items()}
        self._whitening = {side: np.linalg.inv(np.linalg.cholesky(templates[side].sizes.covariance)) for side in lungs}

    def start(self, share: float) -> FloatArray:
        """An initial guess with the visible part at ``share`` of the lung's height, −1..1."""
        unknowns = []
        for side, lung in self._lungs.items():
            mean = self._templates[side].sizes.mean
            middle = 0.5 * (lung.points.min(axis=0) + lung.points.max(axis=0))
            middle[2] -= share * np.exp(mean[2])
            unknowns.append(np.concatenate([middle, mean]))
        return np.concatenate(unknowns)

    def boxes(self, unknowns: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Centre and half edges by side."""
        rows = unknowns.reshape(-1, 6)
        return {
            side: (row[:3], np.exp(np.clip(row[3:], 2.0, 6.0))) for side, row in zip(self._lungs, rows, strict=True)
        }

    def residuals(self, unknowns: FloatArray) -> FloatArray:
        """Misfits, each in its own standard deviation."""
        boxes = self.boxes(unknowns)
        parts = [self._lung_residuals(side, *box) for side, box in boxes.items()]
        if len(boxes) == 2:
            (right, right_half), (left, left_half) = boxes.values()
            tops = right[2] + right_half[2] - left[2] - left_half[2]
            bottoms = right[2] - right_half[2] - left[2] + left_half[2]
            parts.append(np.array([tops, bottoms]) / _SIDES_SIGMA_MM)
        return np.concatenate(parts)

    def _lung_residuals(self, side: str, centre: FloatArray, half: FloatArray) -> FloatArray:
        lung, template = self._lungs[side], self._templates[side]
        size = self._whitening[side] @ (np.log(half) - template.sizes.mean)
        if side in self._whole:
            frame = self._whole[side]
            return np.concatenate([size, (centre - half - frame.low), (centre + half - frame.high)])
        heights, outlines = self._sections[side]
        box = (heights - centre[2]) / half[2]
        expected = np.stack([np.interp(box, PROFILE_HEIGHTS, column) for column in template.profile.T], axis=1)
        expected = expected * half[[0, 0, 1, 1]] + centre[[0, 0, 1, 1]]
        # Neighbouring sections are correlated: together they weigh as one section per 20 mm.
        weight = np.sqrt(_STEP_MM / 20.0) / _OUTLINE_SIGMA_MM
        misfit = np.arctan((outlines - expected) * weight / 3.0).ravel() * 3.0
        beyond = np.clip(np.abs(box) - 1.1, 0, None) * half[2] / _END_SIGMA_MM
        ends = []
        if not lung.cut_above:
            ends.append((lung.points[:, 2].max() - centre[2] - PROFILE_HEIGHTS[-1] * half[2]) / _END_SIGMA_MM)
        if not lung.cut_below:
            ends.append((lung.points[:, 2].min() - centre[2] - PROFILE_HEIGHTS[0] * half[2]) / _END_SIGMA_MM)
        return np.concatenate([size, misfit, beyond, np.array(ends)])


def _sections(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Heights and outlines (millimetres) of slabs of the lung every few millimetres."""
    slab = np.floor((points[:, 2] - points[:, 2].min()) / _STEP_MM).astype(int)
    heights, outlines = [], []
    for number in range(slab.max() + 1):
        inside = points[slab == number]
        if len(inside) > 10:
            heights.append(inside[:, 2].mean())
            outlines.append(_outline(inside))
    return np.array(heights), np.reshape(np.array(outlines), (-1, 4))
