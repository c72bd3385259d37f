"""The voxel grid of a phantom and the finer sections it is rendered on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray
from COVIDQuantLib.voxels.geometry import Geometry

# Distance of the rendered sections (coarser where pixels are); thicker sections are averages of several.
_FINE_MM = 1.5


@dataclass(frozen=True)
class Grid:
    """Where the rendered voxels lie.

    Attributes:
        x: LPS positions of the columns, float32.
        y: of the rows.
        z: of the fine sections, from the feet up.
        pixel_mm: width of a pixel.
        thickness_mm: distance and thickness of the final sections.
        fine: number of fine sections averaged into each final one.
    """

    x: FloatArray
    y: FloatArray
    z: FloatArray
    pixel_mm: float
    thickness_mm: float
    fine: int

    @classmethod
    def make(
        cls, matrix: int, pixel_mm: float, thickness_mm: float, slices: int, centre: tuple[float, float, float]
    ) -> Grid:
        """A grid of ``slices`` sections about a centre (x, y, z)."""
        fine = math.ceil(thickness_mm / max(_FINE_MM, 0.6 * pixel_mm) - 1e-6)
        across = (np.arange(matrix) - (matrix - 1) / 2) * pixel_mm
        count = slices * fine
        up = (np.arange(count) - (count - 1) / 2) * (thickness_mm / fine)
        x, y, z = ((line + c).astype(np.float32) for line, c in zip((across, across, up), centre, strict=True))
        return cls(x, y, z, pixel_mm, thickness_mm, fine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the fine volume ``[k, j, i]``."""
        return len(self.z), len(self.y), len(self.x)

    @property
    def section_axes(self) -> tuple[FloatArray, FloatArray]:
        """``x`` as a row and ``y`` as a column."""
        return self.x[None, :], self.y[:, None]

    @property
    def geometry(self) -> Geometry:
        """The grid of the final sections."""
        first = float(self.z[: self.fine].astype(float).mean())
        shape = (len(self.z) // self.fine, len(self.y), len(self.x))
        spacing = (self.pixel_mm, self.pixel_mm, self.thickness_mm)
        return Geometry(shape, spacing, (float(self.x[0]), float(self.y[0]), first))
