"""Where a voxel grid lies in the patient: shape, spacing, origin and direction cosines in LPS millimetres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Geometry:
    """A voxel grid in the patient (DICOM's LPS: x to the left, y to the back, z to the head).

    Arrays on the grid are indexed ``[k, j, i]`` (slowest first); spacing, origin and direction are in the
    order ``i, j, k`` as in SimpleITK and NRRD.

    Attributes:
        shape: voxels along ``k, j, i``.
        spacing: millimetres between voxel centres along ``i, j, k``.
        origin: LPS position of the centre of voxel ``[0, 0, 0]``, millimetres.
        direction: nine numbers row by row; column ``n`` is the unit vector of axis ``i, j, k``.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres (papers.md, Definitions: from spacing)."""
        # Sorted, so that the order in which a file stores its axes cannot change the last digit.
        return float(np.prod(sorted(self.spacing))) / 1000.0

    @property
    def spacing_kji(self) -> Triple:
        """Spacing in the order of the array's axes."""
        return self.spacing[2], self.spacing[1], self.spacing[0]

    @property
    def index_to_lps(self) -> np.ndarray:
        """4×4 matrix from ``(i, j, k, 1)`` to LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @classmethod
    def of_image(cls, image: sitk.Image) -> Geometry:
        """The grid of a three-dimensional SimpleITK image."""
        i, j, k = image.GetSize()
        return cls((k, j, i), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    def to_image(self, array: np.ndarray) -> sitk.Image:
        """A SimpleITK image of an array (``[k, j, i]``) that lies on this grid.

        Raises:
            ValueError: the array does not have this grid's shape.
        """
        if array.shape != self.shape:
            raise ValueError(f"array of shape {array.shape} is not on a grid of shape {self.shape}")
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def same_grid(self, other: Geometry, tolerance: float = 1e-3) -> bool:
        """Whether both grids have the same voxels: no corner is further off than ``tolerance`` voxels."""
        if self.shape != other.shape:
            return False
        k, j, i = (n - 1 for n in self.shape)
        corners = np.array([(a, b, c, 1.0) for a in (0, i) for b in (0, j) for c in (0, k)]).T
        offset = (self.index_to_lps @ corners - other.index_to_lps @ corners)[:3]
        return bool(np.linalg.norm(offset, axis=0).max() <= tolerance * min(self.spacing))

    def as_record(self) -> dict[str, Any]:
        """The geometry for ``metrics.json``."""
        return {
            "shape_kji": list(self.shape),
            "spacing_mm_ijk": list(self.spacing),
            "origin_lps_mm": list(self.origin),
            "direction": list(self.direction),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Geometry:
        """The grid that :meth:`as_record` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        k, j, i = (int(n) for n in record["shape_kji"])
        x, y, z = (float(mm) for mm in record["spacing_mm_ijk"])
        left, back, up = (float(mm) for mm in record["origin_lps_mm"])
        direction = tuple(float(c) for c in record["direction"])
        if min(k, j, i) < 1 or min(x, y, z) <= 0 or len(direction) != 9:
            raise ValueError("this is no grid")
        if not np.isfinite([x, y, z, left, back, up, *direction]).all():
            raise ValueError("a grid has finite numbers")
        if abs(np.linalg.det(np.reshape(direction, (3, 3)))) < 0.5:
            raise ValueError("the axes of a grid are at right angles")
        return cls((k, j, i), (x, y, z), (left, back, up), direction)


@dataclass(frozen=True)
class Reorientation:
    """An exact axis permutation and flip that brings a grid next to the anatomical axes, and back.

    In the canonical grid ``i`` runs to the left, ``j`` to the back and ``k`` to the head (an axial stack seen
    from the feet), as near as the direction cosines allow; nothing is resampled.

    Attributes:
        source: the grid as stored.
        canonical: the same voxels reordered.
        axes: for each canonical array axis (k, j, i) the source array axis it comes from.
        flips: for each canonical array axis whether it runs against the source axis.
    """

    source: Geometry
    canonical: Geometry
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @classmethod
    def of(cls, source: Geometry) -> Reorientation:
        """The reorientation of a grid, chosen so that the axes' cosines fit best together."""
        cosines = np.reshape(source.direction, (3, 3))
        # Best one-to-one assignment of stored axes to L, P, S; greedy choices fail near 45 degrees.
        best = max(_PERMUTATIONS, key=lambda p: sum(abs(cosines[row, p[row]]) for row in range(3)))
        signs = [1.0 if cosines[row, best[row]] >= 0 else -1.0 for row in range(3)]
        direction = np.stack([cosines[:, best[row]] * signs[row] for row in range(3)], axis=1)
        spacing = tuple(source.spacing[best[row]] for row in range(3))
        sizes_ijk = source.shape[::-1]
        corner = np.ones(4)
        for row in range(3):
            corner[best[row]] = 0 if signs[row] > 0 else sizes_ijk[best[row]] - 1
        origin = (source.index_to_lps @ corner)[:3]
        shape_ijk = [sizes_ijk[best[row]] for row in range(3)]
        canonical = Geometry(
            (shape_ijk[2], shape_ijk[1], shape_ijk[0]),
            (spacing[0], spacing[1], spacing[2]),
            (float(origin[0]), float(origin[1]), float(origin[2])),
            tuple(float(c) for c in direction.ravel()),
        )
        axes = (2 - best[2], 2 - best[1], 2 - best[0])
        flips = (signs[2] < 0, signs[1] < 0, signs[0] < 0)
        return cls(source, canonical, axes, flips)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The source array's view in canonical order."""
        return np.transpose(array, self.axes)[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]

    def undo(self, array: np.ndarray) -> np.ndarray:
        """The canonical array back in source order, contiguous."""
        flipped = array[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]
        return np.ascontiguousarray(np.transpose(flipped, np.argsort(self.axes)))


_PERMUTATIONS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
