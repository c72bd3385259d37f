"""Lungs at coarse steps, on which the training's lesions are placed before they are drawn on the CT's grid."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.simulation.fields.arrays import Axes, FloatArray
from COVIDQuantLib.simulation.fields.interpolation import lerp

_COARSE_MM = 4.0


class CoarseLungs:
    """Labels of lobes or lungs at coarse steps, in millimetres from the first voxel.

    Args:
        labels: ``[k, j, i]``.
        spacing: along k, j, i, mm.
        centred: take the middle voxel of each step, not its first one.

    Attributes:
        spacing: as given.
        steps: voxels from one coarse point to the next, by axis.
        labels: at the coarse points.
        inside: whether they are lung.
        origin: place of the first of them.
        step: their distance.
        axes: positions along z, y, x.
    """

    def __init__(self, labels: np.ndarray, spacing: FloatArray, *, centred: bool) -> None:
        self.spacing = spacing
        self.steps = np.maximum(1, np.round(_COARSE_MM / spacing)).astype(int)
        first = (self.steps - 1) // 2 if centred else np.zeros(3, int)
        self.labels = labels[tuple(slice(f, None, s) for f, s in zip(first, self.steps, strict=True))]
        self.inside = self.labels > 0
        self.origin = first * spacing
        self.step = self.steps * spacing
        z, y, x = (
            (o + np.arange(n) * s).astype(np.float32)
            for o, n, s in zip(self.origin, self.labels.shape, self.step, strict=True)
        )
        self.axes: Axes = (z, y, x)

    def fine(self, field: FloatArray, axes: Axes) -> FloatArray:
        """A coarse field at the points of a grid that three axes span, mm."""
        return lerp(field, [(a - o) / s for a, o, s in zip(axes, self.origin, self.step, strict=True)])
